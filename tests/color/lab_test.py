"""CIE Lab against published values and the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.color import lab


def _lab_by_formula(rgb: np.ndarray) -> np.ndarray:
  """CIE 1976 L*a*b* of sRGB in [0, 1]: IEC 61966-2-1, D65 white (0.95047, 1, 1.08883)."""
  rgb = rgb.astype(np.float64)
  linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
  to_xyz = np.array(
    [
      [0.4124564, 0.3575761, 0.1804375],
      [0.2126729, 0.7151522, 0.0721750],
      [0.0193339, 0.1191920, 0.9503041],
    ]
  )
  xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
  f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
  x, y, z = np.moveaxis(f, -1, 0)
  return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def test_agrees_with_the_formula():
  images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
  ours = lab.build().encode(tf.constant(images)).numpy()
  np.testing.assert_allclose(ours, _lab_by_formula(images / 255), atol=0.02)


@pytest.mark.parametrize(
  ("rgb", "expected"),  # Values of brucelindbloom.com's calculator, sRGB and D65.
  [
    ((255, 0, 0), (53.24, 80.09, 67.20)),
    ((0, 255, 0), (87.73, -86.18, 83.18)),
    ((0, 0, 255), (32.30, 79.19, -107.86)),
    ((255, 255, 255), (100.0, 0.0, 0.0)),
    ((0, 0, 0), (0.0, 0.0, 0.0)),
    ((119, 119, 119), (50.03, 0.0, 0.0)),
  ],
)
def test_known_colors(rgb, expected):
  value = lab.build().encode(tf.constant([[[rgb]]], tf.uint8)).numpy().ravel()
  np.testing.assert_allclose(value, expected, atol=0.02)


def test_gray_has_no_color():
  grays = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
  ab = lab.build().encode(tf.constant(grays)).numpy()[..., 1:]
  assert np.abs(ab).max() < 0.01
