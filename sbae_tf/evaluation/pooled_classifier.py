"""A linear classifier on the pooled features of an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from sbae_tf.evaluation.standardized import Standardized


class PooledClassifier(tf.Module):
  """Softmax regression on feature maps' means over their pixels, one map after the other.

  The means are standardized, as `Standardized` does.

  Attributes:
    layers: names of the features, at least one: maps (B, h, w, C) or vectors (B, C).
  """

  def __init__(self, layers: Sequence[str], channels: int, *, classes: int) -> None:
    """Makes a classifier that finds all classes equally likely.

    Args:
      layers: names of the features.
      channels: C of all of them together.
      classes: K.
    """
    super().__init__(name="classifier")
    self.layers = tuple(layers)
    self._standardized = Standardized(channels, name="classifier")
    # Zeros: they depend on no seed, and the first step leaves the encoder as it is.
    self._linear = tf.keras.layers.Dense(classes, kernel_initializer="zeros", name="classifier")
    self._linear.build((None, channels))

  def __call__(self, features: Mapping[str, tf.Tensor], *, training: bool) -> tf.Tensor:
    """Scores of the classes.

    Args:
      features: by name; others than `layers` may be among them.
      training: whether the batch's own statistics are used, and remembered.

    Returns:
      (B, K) float32, unnormalized.
    """
    pooled = pool(features, self.layers)
    return self._linear(self._standardized(pooled, training=training))


def pool(features: Mapping[str, tf.Tensor], layers: Sequence[str]) -> tf.Tensor:
  """Means of maps over their pixels, and vectors as they are, side by side.

  Args:
    features: by name, (B, h, w, C) or (B, C) of any float type.
    layers: names of those that are wanted, in order.

  Returns:
    (B, sum of all C) float32.
  """
  values = [tf.cast(features[name], tf.float32) for name in layers]
  return tf.concat(
    [tf.reduce_mean(v, axis=(1, 2)) if v.shape.rank == 4 else v for v in values], axis=1
  )
