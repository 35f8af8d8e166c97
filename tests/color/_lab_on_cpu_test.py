"""The CPU's way to Lab, held to tfio's definition and to the formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.color import _lab_on_cpu

tfio = runtime.import_quietly("tensorflow_io")


def _tfio_lab(images: tf.Tensor) -> tf.Tensor:
  return tfio.experimental.color.rgb_to_lab(tf.cast(images, tf.float32) / 255.0)


def _lab_by_formula(images: np.ndarray) -> np.ndarray:
  """CIE 15:2004, Sec. 8.2.1, of sRGB (IEC 61966-2-1) under D65, float64."""
  rgb = images / 255.0
  light = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
  x, y, z = (
    light @ [0.412453, 0.357580, 0.180423] / 0.95047,
    light @ [0.212671, 0.715160, 0.072169],
    light @ [0.019334, 0.119193, 0.950227] / 1.08883,
  )

  def f(t):
    return np.where(t > (24 / 116) ** 3, np.cbrt(t), 841 / 108 * t + 16 / 116)

  return np.stack([116 * f(y) - 16, 500 * (f(x) - f(y)), 200 * (f(y) - f(z))], -1)


def _check(images: np.ndarray) -> None:
  ours = tf.function(_lab_on_cpu.rgb_to_lab)(images).numpy()
  assert ours.shape == images.shape and ours.dtype == np.float32
  # Up to 1.3e-4, by the processor: 500 times the difference of two roots, each an ulp or two off.
  np.testing.assert_allclose(ours, tf.function(_tfio_lab)(images).numpy(), rtol=0, atol=2e-4)
  # 1.7e-4 of it is tfio's, which rounds the standard's 24 / 116 and 841 / 108.
  np.testing.assert_allclose(ours, _lab_by_formula(images), rtol=0, atol=3e-4)


def _grid(levels: np.ndarray) -> np.ndarray:
  """(1, n, n n, 3) uint8: every combination of the levels."""
  grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1)
  return grid.astype(np.uint8).reshape(1, len(levels), -1, 3)


def test_a_dense_sample_of_colors():
  _check(_grid(np.append(np.arange(0, 255, 5), 255)))


def test_dark_colors_on_both_sides_of_the_cut():
  images = _grid(np.arange(48))
  luminance = (_lab_by_formula(images)[..., 0] + 16) / 116
  assert 0.2 < (luminance > 24 / 116).mean() < 0.95  # So that both cases are looked at.
  _check(images)


@pytest.mark.slow
@pytest.mark.parametrize("red", range(0, 256, 32))
def test_every_color(red):
  rest = np.arange(256)
  grid = np.stack(np.meshgrid(np.arange(red, red + 32), rest, rest, indexing="ij"), -1)
  _check(grid.astype(np.uint8))


def test_the_table_is_tfios_curve():
  grays = np.arange(256, dtype=np.float32).reshape(1, 1, 256, 1).repeat(3, -1) / 255
  luminance = tfio.experimental.color.rgb_to_xyz(grays).numpy()[0, 0, :, 1]
  np.testing.assert_allclose(_lab_on_cpu.linear_levels(), luminance, rtol=1e-6)


def test_black_and_white():
  ends = tf.constant([[[[0, 0, 0], [255, 255, 255]]]], tf.uint8)
  black, white = _lab_on_cpu.rgb_to_lab(ends).numpy()[0, 0]
  np.testing.assert_allclose(black, 0, atol=1e-6)
  # The matrix has six digits: its white is not quite D65's.
  np.testing.assert_allclose(white, [100, 0, 0], atol=5e-3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (0, 8, 8), (3, 8, 8)])
def test_any_number_of_pixels(shape):
  images = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
  _check(images)


def test_unknown_shape_and_xla():
  images = np.random.default_rng(0).integers(0, 256, (2, 5, 3, 3)).astype(np.uint8)
  unknown = tf.TensorSpec((None, None, None, 3), tf.uint8)
  graph = tf.function(_lab_on_cpu.rgb_to_lab, input_signature=[unknown])
  assert graph.get_concrete_function().output_shapes.as_list() == [None, None, None, 3]
  np.testing.assert_allclose(graph(images), _tfio_lab(images), atol=2e-4)
  compiled = tf.function(_lab_on_cpu.rgb_to_lab, jit_compile=True)
  np.testing.assert_allclose(compiled(images), _tfio_lab(images), atol=2e-4)
