"""A tower for each set of inputs: branches that see the same stand on one."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf.aggregation.aggregation import Aggregation, Features, TowerBuilder
from sbae_tf.config import Branch


class ByInputs(Aggregation):
  """Disjoint towers, on each of which there may be several heads.

  Attributes:
    tower_channels: the inputs of each tower.
    tower_of: for each branch the index of its tower.
  """

  def __init__(self, branches: Sequence[Branch], build_tower: TowerBuilder) -> None:
    self.tower_channels = tuple(dict.fromkeys(branch.inputs for branch in branches))
    self.tower_of = tuple(self.tower_channels.index(branch.inputs) for branch in branches)
    self.towers = tuple(
      build_tower(len(channels), f"tower_{''.join(channels)}_{i}")
      for i, channels in enumerate(self.tower_channels)
    )

  def branch_features(self, inputs: Sequence[tf.Tensor], *, training: bool) -> tuple[Features, ...]:
    features: dict[int, Features] = {}
    for index, x in zip(self.tower_of, inputs):
      if index not in features:
        features[index] = self.towers[index](x, training=training)
    return tuple(features[index] for index in self.tower_of)

  def merge(self, features: Sequence[Features]) -> dict[str, tf.Tensor]:
    of_towers = [features[self.tower_of.index(index)] for index in range(len(self.towers))]
    return {name: tf.concat([f[name] for f in of_towers], axis=-1) for name in of_towers[0]}


def build(branches: Sequence[Branch], build_tower: TowerBuilder) -> ByInputs:
  """One tower for each set of inputs, features concatenated along channels.

  Branches of the same inputs, in the same order, are heads on one tower, and their gradients add up
  in it. Towers are in the order in which branches first see their inputs.

  Args:
    branches: what is predicted from what.
    build_tower: makes a tower for a number of input channels, under a name.

  Reference: Zhang, Isola, Efros 2017, Sec. 4.2: L and ab from HHA.
  Differs from the paper: the heads are single layers on the last feature map, where the paper
    splits after conv5 into two stacks of 512 channels.
  """
  return ByInputs(branches, build_tower)
