"""What a proxy task is: a target, a head, a loss, and a decoding."""

from __future__ import annotations

import abc

import tensorflow as tf


class ProxyTask(abc.ABC):
  """How a branch predicts its channels from the last feature map of its tower.

  Everything happens on a small map: `values` below are the target channels, averaged down to the
  (h, w) of that feature map.
  """

  @abc.abstractmethod
  def build_head(self, features: int, *, name: str) -> tf.keras.Model:
    """The head: a functional model.

    Args:
      features: F, channels of the feature map.
      name: the model's name.

    Returns:
      From (B, h, w, F) of any float type to (B, h, w, K) float32, K as the task needs.
    """

  @abc.abstractmethod
  def target(self, values: tf.Tensor) -> tf.Tensor:
    """What the loss compares with.

    Args:
      values: (B, h, w, C) float32, the target channels in native units.
    """

  @abc.abstractmethod
  def loss(self, target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """The loss of each image, a mean over its pixels.

    Args:
      target: as `target` gives it.
      output: (B, h, w, K) float32, of the head.

    Returns:
      (B,) float32.
    """

  @abc.abstractmethod
  def decode(self, output: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The predicted channels.

    Args:
      output: (B, h, w, K) float32, of the head.
      values: (B, h, w, C) float32, the true ones: only bins that depend on the image look at them.

    Returns:
      (B, h, w, C) float32 in native units.
    """
