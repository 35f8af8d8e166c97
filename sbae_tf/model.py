"""The pretraining model: an encoder, and for each branch a task with its head and loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.config import PretrainConfig
from sbae_tf.encoder import Encoder
from sbae_tf.tasks.proxy_task import ProxyTask


class Batch(NamedTuple):
  """What a step computes with, for each branch.

  Attributes:
    inputs: (B, H, W, C) float32 in [-1, 1], the tower's input channels; of V B views where the
      branch's task makes V of each photograph.
    targets: as the branch's task makes them; for classification (B, h, w) int32 bins, or
      (B, h, w, K) float32 shares of them.
    known: (B, h, w) float32, the part of each square of the small map in which all target channels
      have a value; empty where color has no bands, for then all have.
  """

  inputs: tuple[tf.Tensor, ...]
  targets: tuple[tf.Tensor, ...]
  known: tuple[tf.Tensor, ...] = ()


class PretrainModel(tf.Module):
  """Encoder, heads and losses.

  Attributes:
    config: the configuration.
    encoder: what remains after pretraining.
    tasks: the proxy task of each branch.
    heads: the head of each branch, a Keras functional model.
  """

  def __init__(self, config: PretrainConfig) -> None:
    """Builds the model with fresh weights, drawn from `tf.random`'s global seed.

    Args:
      config: a valid configuration.

    Raises:
      ValueError: a component or an option is unknown or out of range.
    """
    super().__init__(name="pretrain_model")
    self.config = config
    self.encoder = Encoder(config)
    self.tasks: tuple[ProxyTask, ...] = tuple(
      plugins.find("task", branch.task.name).build(
        self.encoder.color.select(branch.targets), **branch.task.options
      )
      for branch in config.branches
    )
    last = self.encoder.feature_names[-1]
    # Once through on symbolic inputs, for the number of channels that each head gets.
    inputs = [tf.keras.Input((None, None, len(branch.inputs))) for branch in config.branches]
    features = self.encoder.branch_features(inputs, training=False)
    self.heads = [
      task.build_head(maps[last].shape[-1], name=f"head_{i}")
      for i, (task, maps) in enumerate(zip(self.tasks, features))
    ]

  def target_values(
    self, values: tf.Tensor, known: tf.Tensor | None = None
  ) -> tuple[tf.Tensor, ...]:
    """Each branch's target channels on the small map: means over the stride's squares.

    Args:
      values: (B, H, W, C) float32, all channels in native units.
      known: where they have a value, as the color space's `known` gives it.

    Returns:
      For each branch (B, h, w, len(targets)) float32 in native units.
    """
    small = self._small(values, known)
    return tuple(self.encoder.color.slice(small, branch.targets) for branch in self.config.branches)

  def _small(self, values: tf.Tensor, known: tf.Tensor | None) -> tf.Tensor:
    """Means over squares, of what is known; where nothing is, of what stands in for it."""
    mean = self._mean(values)
    if known is None:
      return mean
    part = self._mean(known)
    return tf.where(part > 0, self._mean(values * known) / tf.maximum(part, 1e-6), mean)

  def _mean(self, values: tf.Tensor) -> tf.Tensor:
    stride = self.encoder.stride
    return tf.nn.avg_pool2d(values, stride, stride, "VALID")

  def _known(self, known: tf.Tensor | None) -> tuple[tf.Tensor, ...]:
    """Each branch's `Batch.known` from (B, H, W, C)."""
    if known is None:
      return ()
    slices = (self.encoder.color.slice(known, branch.targets) for branch in self.config.branches)
    return tuple(self._mean(tf.reduce_min(part, -1, keepdims=True))[..., 0] for part in slices)

  @property
  def draws(self) -> bool:
    """Whether a task draws random numbers, so that `prepare` or `losses` needs a seed."""
    return any(task.has_views or task.corrupts for task in self.tasks)

  @property
  def files(self) -> dict[str, bytes]:
    """What the losses depend on beside the configuration, by a name with the branch's number.

    Raises:
      ValueError: a file that the configuration names cannot be read, or is not what it should be.
    """
    return {
      f"branch_{i}_{name}": content
      for i, task in enumerate(self.tasks)
      for name, content in task.files.items()
    }

  def views(self, images: tf.Tensor, seed: tf.Tensor | None) -> tuple[tf.Tensor, ...]:
    """Each branch's views of photographs: these themselves where its task makes none.

    Args:
      images: (B, H, W, S) uint8, as the color space takes them.
      seed: as for `prepare`.

    Raises:
      ValueError: as `prepare` does.
    """
    seeds = _seeds(seed, [task.has_views for task in self.tasks], salt=0)
    return tuple(task.views(images, own) for task, own in zip(self.tasks, seeds))

  def corrupted(self, inputs: Sequence[tf.Tensor], seed: tf.Tensor | None) -> tuple[tf.Tensor, ...]:
    """What each branch's tower sees in training: its inputs where its task corrupts nothing.

    Args:
      inputs: each branch's, as `prepare` gives them.
      seed: as for `losses`.

    Raises:
      ValueError: as `losses` does.
    """
    seeds = _seeds(seed, [task.corrupts for task in self.tasks], salt=1)
    return tuple(task.corrupt(x, own) for task, x, own in zip(self.tasks, inputs, seeds))

  def prepare(self, images: tf.Tensor, seed: tf.Tensor | None = None) -> Batch:
    """Photographs to inputs and targets: the one color conversion of a batch.

    Views that a task makes of its own are converted besides. Reads no variable, and so runs alike
    in the step and in a `tf.data` graph.

    Args:
      images: (B, H, W, S) uint8, as the color space takes them.
      seed: (2,) int64, for views; None where no task makes any.

    Raises:
      ValueError: a task makes views, and there is no seed.
    """
    color = self.encoder.color
    inputs, targets = [], []
    known = color.known(images)
    converted: dict[int, tuple[tf.Tensor, tf.Tensor]] = {}  # Of each view, which branches share.
    views = self.views(images, seed)
    for branch, task, view in zip(self.config.branches, self.tasks, views):
      if id(view) not in converted:
        values = color.encode(view)
        # Of views of their own tasks: with bands there are none.
        converted[id(view)] = values, self._small(values, known)
      values, small = converted[id(view)]
      inputs.append(color.scale(values, branch.inputs))
      targets.append(task.target(color.slice(small, branch.targets)))
    return Batch(tuple(inputs), tuple(targets), self._known(known))

  def outputs(self, inputs: tuple[tf.Tensor, ...], *, training: bool) -> tuple[tf.Tensor, ...]:
    """Each branch's prediction from its inputs: (B, h, w, K) float32, or what its head makes."""
    last = self.encoder.feature_names[-1]
    features = self.encoder.branch_features(inputs, training=training)
    return tuple(head(maps[last], training=training) for head, maps in zip(self.heads, features))

  def losses(
    self, batch: Batch, *, training: bool, seed: tf.Tensor | None = None
  ) -> dict[str, tf.Tensor]:
    """Each branch's loss of each photograph.

    Args:
      batch: as `prepare` gives it.
      training: whether batch normalization uses the batch.
      seed: (2,) int64, for what corrupts inputs; None where no task does that.

    Returns:
      A branch's name to (B,) float32, not yet weighted.

    Raises:
      ValueError: a task corrupts inputs, and there is no seed.
    """
    outputs = self.outputs(self.corrupted(batch.inputs, seed), training=training)
    # Only where there are bands: tasks that know nothing of them serve everywhere else.
    known: list[tuple[tf.Tensor, ...]] = [(part,) for part in batch.known]
    known = known or [()] * len(self.tasks)
    return {
      name: task.loss(target, output, *part)
      for name, task, target, output, part in zip(
        self.config.branch_names, self.tasks, batch.targets, outputs, known
      )
    }

  def total(self, losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The branches' losses in one, each times its weight; of the shape of one of them."""
    config = self.config
    return tf.add_n([b.weight * losses[n] for b, n in zip(config.branches, config.branch_names)])


def _seeds(seed: tf.Tensor | None, drawing: Sequence[bool], *, salt: int) -> list[tf.Tensor | None]:
  """A seed of its own for each branch that draws, (2,) int64; None for the others."""
  if seed is None and any(drawing):
    raise ValueError("Expected a `seed`, for a task that draws random numbers. Received: None.")
  fold_in = tf.random.experimental.stateless_fold_in
  return [
    fold_in(seed, tf.constant(2 * i + salt, tf.int64), alg="philox") if draws else None
    for i, draws in enumerate(drawing)
  ]
