"""A tower for each set of inputs: branches that see the same stand on one."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf.aggregation.aggregation import Aggregation, Features, TowerBuilder
from sbae_tf.config import Branch


class ByInputs(Aggregation):
  """Disjoint towers, on each of which there may be several heads."""

  def __init__(self, branches: Sequence[Branch], build_tower: TowerBuilder) -> None:
    self.tower_channels = tuple(dict.fromkeys(branch.inputs for branch in branches))
    self.tower_of = tuple(self.tower_channels.index(branch.inputs) for branch in branches)
    self.towers = tuple(
      build_tower(len(channels), f"tower_{''.join(channels)}_{i}")
      for i, channels in enumerate(self.tower_channels)
    )

  def tower_inputs(self, inputs: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    return tuple(inputs[self.tower_of.index(index)] for index in range(len(self.towers)))

  def branch_features(self, inputs: Sequence[tf.Tensor], *, training: bool) -> tuple[Features, ...]:
    seen = self.tower_inputs(inputs)
    features = [tower(x, training=training) for tower, x in zip(self.towers, seen)]
    return tuple(features[index] for index in self.tower_of)


def build(
  branches: Sequence[Branch], build_tower: TowerBuilder, channels: Sequence[str]
) -> ByInputs:
  """One tower for each set of inputs, features concatenated along channels.

  Branches of the same inputs, in the same order, are heads on one tower, and their gradients add up
  in it. Towers are in the order in which branches first see their inputs.

  Args:
    branches: what is predicted from what.
    build_tower: makes a tower for a number of input channels, under a name.
    channels: unused: names of all channels of the color space.

  Reference: Zhang, Isola, Efros 2017, Sec. 4.2: L and ab from HHA.
  Differs from the paper: the heads are single layers on the last feature map, where the paper
    splits after conv5 into two stacks of 512 channels.
  """
  del channels
  return ByInputs(branches, build_tower)
