"""PSNR and RMSE against the formulas, in NumPy and by scikit-image's Lab."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.color
import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.colorization.color_error import ColorError, squared_error_sums

_LAB = plugins.find("color", "lab").build()


def _error(original: np.ndarray, other: np.ndarray) -> ColorError:
  sums = squared_error_sums(_LAB, tf.constant(original), tf.constant(other)).numpy()
  return ColorError.of_sums(sums, original.shape[1] * original.shape[2])


def test_agrees_with_the_formulas():
  rng = np.random.default_rng(0)
  original, other = rng.integers(0, 256, (2, 1, 23, 17, 3)).astype(np.uint8)
  error = _error(original, other)
  squared = (original.astype(np.float64) - other) ** 2
  assert error.psnr_db == pytest.approx(10 * np.log10(255**2 / squared.mean()), abs=1e-4)
  difference = skimage.color.rgb2lab(original) - skimage.color.rgb2lab(other)
  distance = np.hypot(difference[..., 1], difference[..., 2])
  assert error.rmse_ab == pytest.approx(np.sqrt((distance**2).mean()), rel=1e-4)
  assert error.rmse_l == pytest.approx(np.sqrt((difference[..., 0] ** 2).mean()), rel=1e-4)


def test_known_values():
  black, white = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 255, np.uint8)
  assert _error(black, white).psnr_db == pytest.approx(0.0, abs=1e-5)
  assert _error(black, white).rmse_l == pytest.approx(100.0, abs=0.01)
  # sRGB's red and green in CIE Lab under D65: (53.24, 80.09, 67.20) and (87.73, -86.18, 83.18).
  red, green = (np.broadcast_to(np.uint8(c), (1, 4, 4, 3)) for c in ((255, 0, 0), (0, 255, 0)))
  assert _error(red, green).rmse_ab == pytest.approx(math.hypot(166.27, 15.98), abs=0.05)


def test_the_same_photograph_has_a_number():
  same = np.full((1, 10, 10, 3), 7, np.uint8)
  assert _error(same, same).psnr_db == pytest.approx(10 * math.log10(255**2 * 300))
