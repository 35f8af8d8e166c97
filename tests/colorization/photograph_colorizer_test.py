"""Colorization at full resolution: size and lightness stay, color is that of the network's copy."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.color
import tensorflow as tf

from sbae_tf.colorization import photograph_colorizer
from sbae_tf.colorization.photograph_colorizer import copy_size, enlarge
from tests import sure_colors


def _lightness(rgb: np.ndarray) -> np.ndarray:
  return skimage.color.rgb2lab(rgb)[..., 0]


def test_keeps_size_and_lightness_and_takes_the_color(colorizer):
  original = sure_colors.photograph(101, 77)
  colorized = colorizer(original)
  assert colorized.rgb.shape == original.shape and colorized.rgb.dtype == np.uint8
  # Half a level of red, green and blue is at most this much lightness here.
  assert np.abs(_lightness(colorized.rgb) - _lightness(original)).max() < 0.3
  assert colorized.error.rmse_l < 0.15
  ab = skimage.color.rgb2lab(colorized.rgb)[..., 1:]
  assert np.abs(ab - (-3.2, 3.4)).max() < 1.0
  gray = original[..., :1].repeat(3, axis=-1)
  assert colorizer(gray).gray_error is None and colorizer(gray).rgb.shape == original.shape


def test_measures_are_those_of_what_is_returned(colorizer):
  original = sure_colors.photograph(45, 62)
  colorized = colorizer(original)
  squared = (original.astype(np.float64) - colorized.rgb) ** 2
  assert colorized.error.psnr_db == pytest.approx(10 * np.log10(255**2 / squared.mean()), abs=1e-3)
  ab = skimage.color.rgb2lab(original)[..., 1:]
  difference = ab - skimage.color.rgb2lab(colorized.rgb)[..., 1:]
  expected = np.sqrt((difference**2).sum(-1).mean())
  assert colorized.error.rmse_ab == pytest.approx(expected, rel=1e-3)
  # Without color there is a rest of rounding, as far as Lab's gray is not quite that of sRGB.
  without = np.sqrt((ab**2).sum(-1).mean())
  assert colorized.gray_error.rmse_ab == pytest.approx(without, rel=1e-3)


def test_clipping_costs_lightness_and_says_so(colorizer):
  sure_colors.be_sure(colorizer.colorizer.model, sure_colors.VIVID)
  original = sure_colors.photograph(40, 40)
  colorized = colorizer(original)
  cost = np.sqrt(((_lightness(colorized.rgb) - _lightness(original)) ** 2).mean())
  assert cost > 3 and colorized.error.rmse_l == pytest.approx(cost, rel=1e-3)


def test_strips_make_no_difference(unsure, monkeypatch):
  unsure.image_size = 64
  original = sure_colors.photograph(50, 70)
  whole = unsure(original)
  monkeypatch.setattr(photograph_colorizer, "_STRIP", 7 * 70)
  strips = unsure(original)
  chroma = np.ptp(whole.rgb.astype(int), axis=-1)
  assert chroma.std() > 5  # There is something to see.
  assert np.abs(whole.rgb.astype(int) - strips.rgb).max() <= 1
  assert strips.error.rmse_ab == pytest.approx(whole.error.rmse_ab, rel=1e-3)


def test_at_its_own_size_it_is_the_colorizer(unsure):
  unsure.image_size = 48
  original = sure_colors.photograph(48, 64)
  expected = unsure.colorizer(original[np.newaxis])[0].numpy()
  assert np.abs(unsure(original).rgb - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("size", [(12, 16), (37, 29), (5, 90)])
def test_enlarges_bilinearly(size):
  values = np.random.default_rng(0).normal(0, 40, (5, 7, 2)).astype(np.float32)
  expected = tf.image.resize(values, size, "bilinear").numpy()
  ours = np.concatenate(
    [enlarge(values, size, rows=slice(a, min(a + 3, size[0]))) for a in range(0, size[0], 3)]
  )
  np.testing.assert_allclose(ours, expected, atol=1e-3)


@pytest.mark.parametrize(
  ("size", "expected"),
  [
    ((101, 77), (128, 96)),  # 125.9 x 96
    ((3000, 4000), (96, 128)),
    ((96, 96), (96, 96)),
    ((1, 1), (96, 96)),
    ((20, 5000), (24, 6072)),  # 16 squares: as many pixels as 384 x 384.
  ],
)
def test_copy(size, expected):
  high, wide = copy_size(*size, image_size=96, stride=8)
  assert high % 8 == wide % 8 == 0
  assert (high, wide) == expected
