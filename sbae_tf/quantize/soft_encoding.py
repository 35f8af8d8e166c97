"""Soft encoding: a pixel's value shared out among the bins nearest to it."""

from __future__ import annotations

import tensorflow as tf


def soft_encode(
  values: tf.Tensor, centers: tf.Tensor, *, neighbors: int, sigma: float
) -> tf.Tensor:
  """Shares each pixel out among its nearest bins, by a Gaussian of their centers' distances.

  Args:
    values: (B, h, w, C) float32.
    centers: (B, K, C) or (1, K, C) float32, in the same unit.
    neighbors: how many bins share a pixel, from 1 to K; where some are as far as the last of them,
      these too.
    sigma: the Gaussian's standard deviation, in that unit.

  Returns:
    (B, h, w, K) float32, not negative, 1 in sum. The bin nearest to the value has the most.

  Reference: Zhang, Isola, Efros 2016 (arXiv:1603.08511), Sec. 2.2: 10 neighbors, sigma 5.
  Differs from the paper: it has the same number of neighbors for every pixel.
  """
  # Channel by channel, and not by a product of matrices, which some devices round to 10 bits.
  pairs = zip(tf.unstack(values, axis=-1), tf.unstack(centers, axis=-1))
  squares = [
    tf.math.squared_difference(value[..., tf.newaxis], center[:, tf.newaxis, tf.newaxis])
    for value, center in pairs
  ]
  distances = tf.add_n(squares)  # (B, h, w, K), squared
  nearest = -tf.math.top_k(-distances, k=neighbors, sorted=False).values  # (B, h, w, neighbors)
  last = tf.reduce_max(nearest, axis=-1, keepdims=True)
  # From the nearest one on: far from all bins, every other exponential is 0.
  excess = distances - tf.reduce_min(nearest, axis=-1, keepdims=True)
  weights = tf.exp(excess * (-0.5 / sigma**2)) * tf.cast(distances <= last, tf.float32)
  return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)
