"""HSV's plane of hue and chroma against Python's `colorsys`, which follows Smith 1978."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.color import hsv


def _encode(*colors: tuple[int, int, int]) -> np.ndarray:
  """(N, 3): V, x and y."""
  return hsv.build().encode(tf.constant([[colors]], tf.uint8)).numpy()[0, 0]


def test_agrees_with_colorsys():
  levels = (0, 1, 60, 128, 254, 255)
  colors = [(r, g, b) for r in levels for g in levels for b in levels]
  for found, color in zip(_encode(*colors), colors):
    hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in color))
    chroma = saturation * value
    angle = 2 * math.pi * hue
    expected = [value, chroma * math.cos(angle), chroma * math.sin(angle)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6), color


def test_known_colors():
  half = math.sqrt(3) / 2
  red, green, cyan, gray, black, dark = _encode(
    (255, 0, 0), (0, 255, 0), (0, 255, 255), (119, 119, 119), (0, 0, 0), (1, 0, 0)
  )
  np.testing.assert_allclose(red, [1, 1, 0], atol=1e-6)
  np.testing.assert_allclose(green, [1, -0.5, half], atol=1e-6)
  np.testing.assert_allclose(cyan, [1, -1, 0], atol=1e-6)
  np.testing.assert_allclose(gray, [119 / 255, 0, 0], atol=1e-6)
  np.testing.assert_array_equal(black, [0, 0, 0])
  np.testing.assert_allclose(dark, [1 / 255, 1 / 255, 0], atol=1e-6)  # And not 1 from gray.


def test_the_mean_of_two_reds_is_red():
  """Of hues of 350 and 10 degrees the mean is 180."""
  one, other = (
    tuple(round(255 * level) for level in colorsys.hsv_to_rgb(degrees / 360, 1, 1))
    for degrees in (350, 10)
  )
  mean = _encode(one, other).mean(axis=0)
  assert math.degrees(math.atan2(mean[2], mean[1])) == pytest.approx(0, abs=0.5)
  red, green, blue = hsv.build().decode(tf.constant([[[mean]]], tf.float32)).numpy()[0, 0, 0]
  assert red == pytest.approx(1) and max(green, blue) < 0.05


def test_more_chroma_than_there_is_becomes_the_most_that_the_value_allows():
  rgb = hsv.build().decode(tf.constant([[[[0.5, 0.9, 0.0], [0.5, 0.5, 0.0]]]])).numpy()[0, 0]
  np.testing.assert_allclose(rgb, [[0.5, 0, 0]] * 2, atol=1e-6)
