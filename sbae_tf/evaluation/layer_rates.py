"""Optimizers whose learning rates differ by layer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class LayerRates:
  """Adam for a network and a classifier on it, a learning rate a layer.

  An optimizer for all variables of one rate. Scaled gradients would not do: the size of Adam's step
  does not depend on theirs. Nor tensorflow-addons' `MultiOptimizer`: it wants Keras layers, which a
  SavedModel does not have; it knows variables by their names, which those of two towers share; and
  it exists on TensorFlow 2.15 only.

  Attributes:
    variables: of the optimizers.
    factors: the distinct rates as parts of the classifier's, from the classifier down.
  """

  def __init__(
    self,
    classifier: Sequence[tf.Variable],
    encoder: Sequence[tf.Variable],
    *,
    maps: Sequence[str],
    decay: float = 1.0,
  ) -> None:
    """Makes the optimizers.

    Args:
      classifier: its trainable variables.
      encoder: those of the network.
      maps: names of its feature maps, from the first to the last.
      decay: the layers that make the last map learn at the classifier's rate times this, those of
        the map before times this once more, and so on; above 0. At 1 names do not matter.

    Raises:
      ValueError: of a variable cannot be told to which map it leads.

    Reference: Howard and Ruder 2018, arXiv:1801.06146, Sec. 3.2, "discriminative fine-tuning".
    """
    by_depth: dict[int, list[Any]] = {0: list(classifier)}
    for variable in encoder:
      layer = layer_of(variable.name, maps)
      if layer is None and decay != 1:
        raise ValueError(
          f"Expected variables named after the maps ({', '.join(maps)}) for `layer_decay` {decay}. "
          f"Received: {variable.name}. Leave layer_decay at 1."
        )
      depth = 0 if layer is None or decay == 1 else len(maps) - maps.index(layer)
      by_depth.setdefault(depth, []).append(variable)
    self._groups = [by_depth[depth] for depth in sorted(by_depth)]
    self.factors = [decay**depth for depth in sorted(by_depth)]
    self._optimizers = [tf.keras.optimizers.Adam() for _ in self._groups]
    for optimizer, group in zip(self._optimizers, self._groups):
      optimizer.build(group)
    self.variables = [v for optimizer in self._optimizers for v in optimizer.variables]

  def set(self, learning_rate: float) -> None:
    """Sets the classifier's learning rate, and by it the others."""
    for optimizer, factor in zip(self._optimizers, self.factors):
      optimizer.learning_rate.assign(learning_rate * factor)

  def minimize(self, loss: tf.Tensor, tape: tf.GradientTape) -> None:
    """Makes a step.

    Args:
      loss: () float32.
      tape: has recorded it.
    """
    # Without a gradient are layers behind those that the loss sees: zeros leave them as they are.
    gradients = tape.gradient(
      loss, self._groups, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    for optimizer, own, group in zip(self._optimizers, gradients, self._groups):
      optimizer.apply_gradients(zip(own, group))


def layer_of(variable: str, maps: Sequence[str]) -> str | None:
  """The map to whose layers a variable belongs, by its name.

  Args:
    variable: its name, such as `conv2_block1_conv1/kernel:0`, which is of `conv2`.
    maps: names of the maps.

  Returns:
    The one whose name stands in it first; None where none does.
  """
  found = []
  for name in maps:
    # Not `conv1` in `conv10`, nor in `deconv1`.
    match = re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![0-9])", variable)
    if match:
      found.append((match.start(), -len(name), name))
  return min(found)[2] if found else None
