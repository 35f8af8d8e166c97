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
  """

  towers: tuple[tf.keras.Model, ...]

  def tower_inputs(self, inputs: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """What each tower sees where the branches see `inputs`: by itself a branch a tower.

    Args:
      inputs: as for `branch_features`.

    Returns:
      For each tower (B, H, W, C) float32, or of several B where it serves several branches.
    """
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

  @abc.abstractmethod
  def merge(self, features: Sequence[Features]) -> dict[str, tf.Tensor]:
    """The representation: what `branch_features` gave, as one set of named feature maps."""
