"""Each pixel's values by an l2 loss."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf.color.color_space import Channel
from sbae_tf.tasks._pixel_mean import pixel_mean
from sbae_tf.tasks._pointwise_head import pointwise_head
from sbae_tf.tasks.proxy_task import ProxyTask


class Regression(ProxyTask):
  """Predicts the values of each pixel."""

  def __init__(self, channels: Sequence[Channel], *, native: bool = False) -> None:
    """Makes the task.

    Args:
      channels: the target channels.
      native: whether the loss is in the channels' units; else each is scaled from its range to
        [-1, 1].
    """
    self._middle = [0.0 if native else (channel.high + channel.low) / 2 for channel in channels]
    self._half = [1.0 if native else (channel.high - channel.low) / 2 for channel in channels]

  def build_head(self, features: int, *, name: str) -> tf.keras.Model:
    return pointwise_head(features, len(self._middle), name=name)

  def target(self, values: tf.Tensor) -> tf.Tensor:
    """(B, h, w, C) float32 in native units to the same in those of the loss."""
    return (values - tf.constant(self._middle, tf.float32)) / tf.constant(self._half, tf.float32)

  def loss(self, target: tf.Tensor, output: tf.Tensor, known: tf.Tensor | None = None) -> tf.Tensor:
    """Half the squared error, summed over channels, a mean over pixels.

    Reference: Zhang, Isola, Efros 2017, Sec. 3.1.
    Differs from the paper: a mean over the pixels where the paper has their sum; unless `native`,
      channels in [-1, 1] and not in Lab units, so that one learning rate serves both losses.
    """
    per_pixel = 0.5 * tf.reduce_sum(tf.math.squared_difference(target, output), axis=-1)
    return pixel_mean(per_pixel, known)

  def decode(self, output: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    del values
    return output * tf.constant(self._half, tf.float32) + tf.constant(self._middle, tf.float32)


def build(channels: Sequence[Channel], *, native: bool = False) -> Regression:
  """Regression of the target channels, any number of them.

  Args:
    channels: the target channels.
    native: whether the loss is in the channels' units, and not of channels scaled to [-1, 1].
  """
  return Regression(channels, native=native)
