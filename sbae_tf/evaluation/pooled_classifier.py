"""A linear classifier on the pooled features of an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

# Those of the backbones.
_MOMENTUM = 0.9
_EPSILON = 1e-5


class PooledClassifier(tf.Module):
  """Softmax regression on feature maps' means over their pixels, one map after the other.

  The means are batch-normalized, without scale and offset: layers come with numbers of different
  sizes, and of one learning rate for all weights only the largest would profit. Statistics of the
  encoder as it was before training would not do: as soon as it learns they are those of another
  network, and a fresh one gives other numbers already where its own normalization sees a batch.

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
    self._mean = tf.Variable(tf.zeros(channels), trainable=False, name="classifier_mean")
    self._variance = tf.Variable(tf.ones(channels), trainable=False, name="classifier_variance")
    self._batches = tf.Variable(0.0, trainable=False, name="classifier_batches")
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
    mean, variance = self._statistics(pooled) if training else (self._mean, self._variance)
    return self._linear(tf.nn.batch_normalization(pooled, mean, variance, None, None, _EPSILON))

  def _statistics(self, pooled: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A batch's mean and variance, (C,) float32 each; also moves what is remembered to them.

    What is remembered is the plain mean of the first ten batches, then a moving one. Keras's layer
    moves from zeros and ones: after twenty steps an eighth of these is still there, and the pooled
    variances are a hundredth.
    """
    batch = tf.nn.moments(pooled, axes=[0])
    kept = tf.minimum(_MOMENTUM, self._batches / (self._batches + 1))
    for variable, value in zip((self._mean, self._variance), batch):
      variable.assign(kept * variable + (1 - kept) * value)
    self._batches.assign_add(1.0)
    return batch


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
