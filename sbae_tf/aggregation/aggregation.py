"""What an aggregation is: the towers, what each branch sees of them, and the joint features."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

Features = Mapping[str, tf.Tensor]  # A feature map's name to (B, h, w, C).
TowerBuilder = Callable[[int, str], tf.keras.Model]  # (input channels, name) to a tower.


class Aggregation(abc.ABC):
  """Towers and how they are put together.

  Attributes:
    towers: the networks, each a functional model from (B, H, W, C) to named feature maps.
    tower_channels: for each tower the names of the channels that it takes, in their order.
    tower_of: for each branch the index of the tower that its head and loss stand on.
  """

  towers: tuple[tf.keras.Model, ...]
  tower_channels: tuple[tuple[str, ...], ...]
  tower_of: tuple[int, ...]

  def tower_inputs(self, inputs: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """What each tower sees where the branches see `inputs`: by itself a branch a tower.

    Args:
      inputs: as for `branch_features`.

    Returns:
      For each tower (B, H, W, C) float32, or of several B where it serves several branches.

    Raises:
      ValueError: the aggregation has not a tower a branch, and does not say.
    """
    if len(inputs) != len(self.towers):
      raise ValueError(
        f"Expected {type(self).__name__}.tower_inputs, for there is not a tower a branch."
      )
    return tuple(inputs)

  @abc.abstractmethod
  def branch_features(self, inputs: Sequence[tf.Tensor], *, training: bool) -> tuple[Features, ...]:
    """What each branch's head and loss stand on.

    Args:
      inputs: for each branch its input channels, (B, H, W, C) float32 in [-1, 1].
      training: whether batch normalization uses the batch.

    Returns:
      For each branch its named feature maps, in order of depth.
    """

  def merge(self, features: Sequence[Features]) -> dict[str, tf.Tensor]:
    """The representation: the towers' features of whole photographs as one set of feature maps.

    Args:
      features: of each tower, which saw all channels that it takes.

    Returns:
      Every feature map, by itself the towers' concatenated along channels.
    """
    return {name: tf.concat([f[name] for f in features], axis=-1) for name in features[0]}
