"""Disjoint towers, one a branch, their features concatenated layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf.aggregation.aggregation import Aggregation, Features, TowerBuilder
from sbae_tf.config import Branch


class Concat(Aggregation):
  """A tower a branch; nothing crosses between them but the concatenation of their features."""

  def __init__(self, branches: Sequence[Branch], build_tower: TowerBuilder) -> None:
    self.towers = tuple(
      build_tower(len(branch.inputs), f"tower_{''.join(branch.inputs)}_{i}")
      for i, branch in enumerate(branches)
    )

  def branch_features(self, inputs: Sequence[tf.Tensor], *, training: bool) -> tuple[Features, ...]:
    return tuple(tower(x, training=training) for tower, x in zip(self.towers, inputs))

  def merge(self, features: Sequence[Features]) -> dict[str, tf.Tensor]:
    return {name: tf.concat([f[name] for f in features], axis=-1) for name in features[0]}


def build(branches: Sequence[Branch], build_tower: TowerBuilder) -> Concat:
  """One tower a branch, features concatenated along channels, in the order of the branches.

  Args:
    branches: what is predicted from what.
    build_tower: makes a tower for a number of input channels, under a name.

  Reference: Zhang, Isola, Efros 2017, Sec. 3.2: F_l = {F1_l, F2_l}.
  """
  return Concat(branches, build_tower)
