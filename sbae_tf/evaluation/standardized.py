"""Features standardized by their batch, and by what is remembered of batches."""

from __future__ import annotations

import tensorflow as tf

# Those of the backbones.
_MOMENTUM = 0.9
_EPSILON = 1e-5


class Standardized(tf.Module):
  """Batch normalization without scale and offset, for what a classifier sees.

  Layers come with numbers of different sizes, and of one learning rate for all weights only the
  largest would profit. Statistics of the encoder as it was before training would not do: as soon as
  it learns they are those of another network, and a fresh one gives other numbers already where its
  own normalization sees a batch.
  """

  def __init__(self, channels: int, *, name: str) -> None:
    """Remembers nothing yet.

    Args:
      channels: C.
      name: what the variables' names begin with.
    """
    super().__init__()
    self._mean = tf.Variable(tf.zeros(channels), trainable=False, name=f"{name}_mean")
    self._variance = tf.Variable(tf.ones(channels), trainable=False, name=f"{name}_variance")
    self._batches = tf.Variable(0.0, trainable=False, name=f"{name}_batches")

  def __call__(self, values: tf.Tensor, *, training: bool) -> tf.Tensor:
    """Features of mean 0 and variance 1.

    Args:
      values: (..., C) float32.
      training: whether the batch's own statistics are used, and remembered.

    Returns:
      (..., C) float32.
    """
    mean, variance = self._statistics(values) if training else (self._mean, self._variance)
    return tf.nn.batch_normalization(values, mean, variance, None, None, _EPSILON)

  def _statistics(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A batch's mean and variance, (C,) float32 each; also moves what is remembered to them.

    What is remembered is the plain mean of the first ten batches, then a moving one. Keras's layer
    moves from zeros and ones: after twenty steps an eighth of these is still there, and the pooled
    variances are a hundredth.
    """
    batch = tf.nn.moments(values, axes=list(range(values.shape.rank - 1)))
    kept = tf.minimum(_MOMENTUM, self._batches / (self._batches + 1))
    for variable, value in zip((self._mean, self._variance), batch):
      variable.assign(kept * variable + (1 - kept) * value)
    self._batches.assign_add(1.0)
    return batch
