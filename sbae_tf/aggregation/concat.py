"""Disjoint towers, one a branch, their features concatenated layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf.aggregation.aggregation import Aggregation, Features, TowerBuilder
from sbae_tf.config import Branch


class Concat(Aggregation):
  """A tower a branch; nothing crosses between them but the concatenation of their features."""

  def __init__(self, branches: Sequence[Branch], build_tower: TowerBuilder) -> None:
    self.tower_channels = tuple(branch.inputs for branch in branches)
    self.tower_of = tuple(range(len(branches)))
    self.towers = tuple(
      build_tower(len(channels), f"tower_{''.join(channels)}_{i}")
      for i, channels in enumerate(self.tower_channels)
    )

  def branch_features(self, inputs: Sequence[tf.Tensor], *, training: bool) -> tuple[Features, ...]:
    return tuple(tower(x, training=training) for tower, x in zip(self.towers, inputs))


def build(branches: Sequence[Branch], build_tower: TowerBuilder, channels: Sequence[str]) -> Concat:
  """One tower a branch, features concatenated along channels, in the order of the branches.

  Args:
    branches: what is predicted from what.
    build_tower: makes a tower for a number of input channels, under a name.
    channels: unused: names of all channels of the color space.

  Reference: Zhang, Isola, Efros 2017, Sec. 3.2: F_l = {F1_l, F2_l}.
  """
  del channels
  return Concat(branches, build_tower)
