"""The pretraining model: an encoder, and for each branch a task with its head and loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.config import PretrainConfig
from sbae_tf.encoder import Encoder
from sbae_tf.tasks.proxy_task import ProxyTask


class Batch(NamedTuple):
  """What a step computes with, for each branch.

  Attributes:
    inputs: (B, H, W, C) float32 in [-1, 1], the tower's input channels.
    targets: as the branch's task makes them; (B, h, w) int32 bins for classification.
  """

  inputs: tuple[tf.Tensor, ...]
  targets: tuple[tf.Tensor, ...]


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

  def target_values(self, values: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Each branch's target channels on the small map: means over the stride's squares.

    Args:
      values: (B, H, W, C) float32, all channels in native units.

    Returns:
      For each branch (B, h, w, len(targets)) float32 in native units.
    """
    stride = self.encoder.stride
    small = tf.nn.avg_pool2d(values, stride, stride, "VALID")
    return tuple(self.encoder.color.slice(small, branch.targets) for branch in self.config.branches)

  def prepare(self, images: tf.Tensor) -> Batch:
    """Photographs to inputs and targets: the one color conversion of a batch.

    Reads no variable, and so runs alike in the step and in a `tf.data` graph.

    Args:
      images: (B, H, W, 3) uint8 sRGB.
    """
    values = self.encoder.color.encode(images)
    targets = tuple(
      task.target(small) for task, small in zip(self.tasks, self.target_values(values))
    )
    return Batch(self.encoder.branch_inputs(values), targets)

  def outputs(self, inputs: tuple[tf.Tensor, ...], *, training: bool) -> tuple[tf.Tensor, ...]:
    """Each branch's prediction, (B, h, w, K) float32, from its inputs."""
    last = self.encoder.feature_names[-1]
    features = self.encoder.branch_features(inputs, training=training)
    return tuple(head(maps[last], training=training) for head, maps in zip(self.heads, features))

  def losses(self, batch: Batch, *, training: bool) -> dict[str, tf.Tensor]:
    """Each branch's loss of each photograph.

    Args:
      batch: as `prepare` gives it.
      training: whether batch normalization uses the batch.

    Returns:
      A branch's name to (B,) float32, not yet weighted.
    """
    outputs = self.outputs(batch.inputs, training=training)
    return {
      branch.name: task.loss(target, output)
      for branch, task, target, output in zip(
        self.config.branches, self.tasks, batch.targets, outputs
      )
    }

  def total(self, losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The branches' losses in one, each times its weight; of the shape of one of them."""
    return tf.add_n([branch.weight * losses[branch.name] for branch in self.config.branches])
