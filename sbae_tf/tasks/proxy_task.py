"""What a proxy task is: a target, a head, a loss, and a decoding."""

from __future__ import annotations

import abc
from collections.abc import Mapping

import tensorflow as tf


class ProxyTask(abc.ABC):
  """How a branch predicts its channels from the last feature map of its tower.

  Everything happens on a small map: `values` below are the target channels, averaged down to the
  (h, w) of that feature map.

  A task may see to what the tower is shown: `views` come before color, `corrupt` after it. What
  they draw is a function of their seed (`sbae_tf.tasks._draws`). The module of a task with views
  says so by a literal `VIEWS`, their number, and that of one which corrupts by `CORRUPTS = True`:
  configurations are checked before it can be imported.
  """

  @property
  def has_views(self) -> bool:
    """Whether the task makes views of its own."""
    return type(self).views is not ProxyTask.views

  @property
  def corrupts(self) -> bool:
    """Whether the tower sees something else than the inputs."""
    return type(self).corrupt is not ProxyTask.corrupt

  @property
  def files(self) -> Mapping[str, bytes]:
    """What the loss depends on beside the options: the content of files that they name, by name.

    Asked for before training starts, and by nothing that only decodes. By itself, nothing.

    Raises:
      ValueError: a file cannot be read, or is not what it should be.
    """
    return {}

  def views(self, images: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """What the task makes of photographs: inputs and targets are these. By itself, nothing.

    Args:
      images: (B, H, W, 3) uint8 sRGB.
      seed: (2,) int64; None for a task without views of its own.

    Returns:
      (V B, H, W, 3) uint8 sRGB: the first view of all photographs, then the second, and so on.
    """
    del seed
    return images

  def corrupt(self, inputs: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """What the tower sees in place of its inputs. By itself, these; targets stay what they are.

    Args:
      inputs: (B, H, W, C) float32, each channel scaled from its range to [-1, 1].
      seed: (2,) int64; None for a task that does not corrupt.

    Returns:
      (B, H, W, C) float32.
    """
    del seed
    return inputs

  @abc.abstractmethod
  def build_head(self, features: int, *, name: str) -> tf.keras.Model:
    """The head: a functional model.

    Args:
      features: F, channels of the feature map.
      name: the model's name.

    Returns:
      From (B, h, w, F) of any float type to (B, h, w, K) float32, K as the task needs; to (B, K)
      for a task on whole photographs.
    """

  @abc.abstractmethod
  def target(self, values: tf.Tensor) -> tf.Tensor:
    """What the loss compares with.

    Args:
      values: (B, h, w, C) float32, the target channels in native units.
    """

  @abc.abstractmethod
  def loss(self, target: tf.Tensor, output: tf.Tensor, known: tf.Tensor | None = None) -> tf.Tensor:
    """The loss of each image, a mean over its pixels.

    Args:
      target: as `target` gives it.
      output: (B, h, w, K) float32, of the head; of V B views where the task makes them.
      known: (B, h, w) float32, 0 or more, what each pixel counts; None: all the same. An image of
        zeros alone has no loss. A task that makes views does not get it.

    Returns:
      (B,) float32, of the photographs and not of their views.
    """

  @abc.abstractmethod
  def decode(self, output: tf.Tensor, values: tf.Tensor) -> tf.Tensor | None:
    """The predicted channels.

    Args:
      output: (B, h, w, K) float32, of the head.
      values: (B, h, w, C) float32, the true ones: only bins that depend on the image look at them.

    Returns:
      (B, h, w, C) float32 in native units; None for a task that predicts no channels.
    """
