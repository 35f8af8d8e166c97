"""One tower for all branches: the channels that a branch does not see are zero."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf.aggregation.aggregation import Aggregation, Features, TowerBuilder
from sbae_tf.config import Branch


class Shared(Aggregation):
  """One tower, which takes every channel that any branch sees."""

  def __init__(
    self, branches: Sequence[Branch], build_tower: TowerBuilder, channels: Sequence[str]
  ) -> None:
    seen = {channel for branch in branches for channel in branch.inputs}
    taken = tuple(channel for channel in channels if channel in seen)
    self.tower_channels = (taken,)
    self.tower_of = (0,) * len(branches)
    self.towers = (build_tower(len(taken), f"tower_{''.join(taken)}"),)
    self._inputs = tuple(branch.inputs for branch in branches)

  def tower_inputs(self, inputs: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    return (tf.concat(self._filled(inputs), axis=0),)

  def branch_features(self, inputs: Sequence[tf.Tensor], *, training: bool) -> tuple[Features, ...]:
    (tower,) = self.towers
    if not training:
      return tuple(tower(x, training=False) for x in self._filled(inputs))
    # Together, for batch normalization: see `build`.
    (joint,) = self.tower_inputs(inputs)
    sizes = [tf.shape(x)[0] if x.shape[0] is None else x.shape[0] for x in inputs]
    parts = {name: tf.split(maps, sizes) for name, maps in tower(joint, training=True).items()}
    return tuple({name: each[i] for name, each in parts.items()} for i in range(len(inputs)))

  def _filled(self, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """For each branch all channels that the tower takes, (B, H, W, C)."""
    (taken,) = self.tower_channels
    return [_fill(x, names, taken) for x, names in zip(inputs, self._inputs)]


def _fill(x: tf.Tensor, names: Sequence[str], wanted: Sequence[str]) -> tf.Tensor:
  """(B, H, W, len(names)) to (B, H, W, len(wanted)): zeros where a channel is not there."""
  if tuple(names) == tuple(wanted):
    return x
  # Half of a gather's time on a CPU, or less.
  columns = [*tf.split(x, len(names), axis=-1), tf.zeros_like(x[..., :1])]
  places = [names.index(name) if name in names else -1 for name in wanted]
  return tf.concat([columns[place] for place in places], axis=-1)


def build(branches: Sequence[Branch], build_tower: TowerBuilder, channels: Sequence[str]) -> Shared:
  """One tower, which sees of each branch that one's inputs and zeros for all other channels.

  Zero is the middle of a channel's range, for inputs are scaled to [-1, 1]: of Lab L = 50, a = 6
  and b = -7, nearly gray. The representation of a photograph is the tower's, which is given all
  channels. It was trained on parts of them, the "domain gap" of the paper's Sec. 3.2: a branch that
  sees all channels, such as `Lab->Lab`, narrows it.

  In training, the batches of all branches go through the tower as one, and batch normalization
  takes its statistics over all of them: the tower is one function for all branches, and in use it
  has the statistics that it was trained with. In return a prediction depends on whatever else is in
  the batch, its own target included, by a mean and a variance of each channel of a layer, which all
  photographs share. Without training it depends on the branch's inputs alone. (One branch after the
  other, each would be trained with its own statistics and used with a mixture: after 250 steps of
  Eq. 4 with SimpleNet on 64 x 64 both ways had a training loss of 0.112, and held-out losses of
  0.115 together and 0.124 one by one.)

  Args:
    branches: what is predicted from what.
    build_tower: makes a tower for a number of input channels, under a name.
    channels: names of all channels of the color space; the tower takes those that are seen in this
      order.

  Reference: Zhang, Isola, Efros 2017, Eq. 4, and with `Lab->Lab` beside the other two Eq. 5, whose
    lambda is their `weight`, and 1 - 2 lambda that of `Lab->Lab`.
  Differs from the paper: each branch has a head of its own. Which values are "zeroed out", and how
    batch normalization saw the two inputs, the paper does not say.
  """
  return Shared(branches, build_tower, channels)
