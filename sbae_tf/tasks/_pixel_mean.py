"""A mean over pixels, some of which may have no value."""

from __future__ import annotations

import tensorflow as tf


def pixel_mean(per_pixel: tf.Tensor, known: tf.Tensor | None) -> tf.Tensor:
  """The mean of each image's pixels.

  Args:
    per_pixel: (B, h, w) float32.
    known: (B, h, w) float32, 0 or more, what each counts; None: all the same.

  Returns:
    (B,) float32; 0 where an image has no pixel that counts.
  """
  if known is None:
    return tf.reduce_mean(per_pixel, axis=(1, 2))
  total = tf.reduce_sum(per_pixel * known, axis=(1, 2))
  return tf.math.divide_no_nan(total, tf.reduce_sum(known, axis=(1, 2)))
