"""Re-scaled bins: each image's own range, whatever it is."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.color.color_space import Channel
from sbae_tf.quantize import rescaled

L = (Channel("L", 0.0, 100.0),)
AB = (Channel("a", -86.0, 98.0), Channel("b", -108.0, 94.0))


def test_agrees_with_numpy_image_by_image():
  values = np.random.default_rng(0).normal(0, (20, 5), (4, 6, 6, 2)).astype(np.float32)
  ids = rescaled.build(AB).encode(values).numpy()
  for image, got in zip(values.astype(np.float64), ids):
    low, high = image.min((0, 1)), image.max((0, 1))
    along = np.minimum((image - low) / (high - low) * 10, 9).astype(int)
    np.testing.assert_array_equal(got, along[..., 0] * 10 + along[..., 1])


def test_blind_to_brightness_and_contrast():
  values = np.random.default_rng(1).uniform(20, 40, (1, 12, 12, 1)).astype(np.float32)
  plain = rescaled.build(L).encode(values).numpy()
  stretched = rescaled.build(L).encode(2 * values + 16).numpy()
  assert (plain != stretched).mean() < 0.02  # But for rounding at a bin's edge.
  assert plain.min() == 0 and plain.max() == 99


def test_images_of_a_batch_do_not_meet():
  values = np.random.default_rng(2).uniform(0, 100, (2, 6, 6, 1)).astype(np.float32)
  both = rescaled.build(L).encode(values).numpy()
  np.testing.assert_array_equal(both[:1], rescaled.build(L).encode(values[:1]).numpy())


def test_constant_image_decodes_to_its_color():
  values = tf.fill((1, 6, 6, 1), 42.0)
  quantizer = rescaled.build(L)
  assert (quantizer.encode(values).numpy() == 0).all()
  assert abs(float(quantizer.centers(values)[0, 0, 0]) - 42.0) < 0.01


def test_constant_image_makes_no_nan_on_the_way():
  """An int cast would hide it, and as what is up to the device."""
  tf.debugging.enable_check_numerics()
  try:
    rescaled.build(AB).encode(tf.zeros((1, 6, 6, 2)))
  finally:
    tf.debugging.disable_check_numerics()


def test_one_pixel_differs():
  values = np.full((1, 6, 6, 1), 7.0, np.float32)
  values[0, 3, 3] = 8.0
  ids = rescaled.build(L).encode(values).numpy()
  assert ids[0, 3, 3] == 99 and ids.sum() == 99
