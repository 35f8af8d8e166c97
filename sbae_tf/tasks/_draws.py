"""Random numbers that are the same on every device, compiled by XLA or not.

TensorFlow's own are not: its generator gives the same bits everywhere, of which XLA makes other
numbers.
"""

from __future__ import annotations

import math

import tensorflow as tf


def uniform(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """Uniform in (0, 1), float32, without the ends.

  Args:
    shape: (R,) int32.
    seed: (2,) int64.
  """
  bits = tf.random.stateless_uniform(
    shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
  )
  # 23 of them: with the half, all that float32 holds.
  return (tf.cast(tf.bitwise.right_shift(bits, 9), tf.float32) + 0.5) * 2.0**-23


def normal(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """Of the standard normal distribution, float32. Arguments as for `uniform`."""
  return math.sqrt(2.0) * tf.math.erfinv(2.0 * uniform(shape, seed) - 1.0)
