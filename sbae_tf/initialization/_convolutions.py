"""The convolutions of a tower, each with the batch normalization behind it."""

from __future__ import annotations

import collections
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class NormalizedConvolution(NamedTuple):
  """A convolution and the batch normalization that alone sees its output.

  Attributes:
    convolution: a `Conv2D`.
    normalization: a `BatchNormalization`.
  """

  convolution: tf.keras.layers.Conv2D
  normalization: tf.keras.layers.BatchNormalization

  def scale(self, factor: float | np.ndarray) -> None:
    """Multiplies the convolution's weights, and leaves what the normalization gives as it is.

    Mean and variance that it remembers follow: z = g (W x - m) / sqrt(v + e) + b is the same of
    r W, r m and r^2 (v + e) - e. In training, where the batch's own statistics are in their place,
    it is the same but for e, which is far below the variance. A channel with a variance so small
    that the new one would be negative keeps its weights.

    Args:
      factor: r, above 0: one for all, or (K,) one for each output channel.
    """
    mean, variance = self.normalization.moving_mean, self.normalization.moving_variance
    epsilon = self.normalization.epsilon
    factors = np.broadcast_to(np.asarray(factor, np.float64), mean.shape)
    scaled = factors**2 * (variance.numpy().astype(np.float64) + epsilon) - epsilon
    factors = np.where(scaled >= 0, factors, 1.0)
    for variable in (*self.convolution.trainable_variables, mean):  # Channels are the last axis.
      variable.assign((variable.numpy() * factors).astype(np.float32))
    variance.assign(np.where(scaled >= 0, scaled, variance.numpy()).astype(np.float32))


def normalized_convolutions(tower: tf.keras.Model) -> list[NormalizedConvolution]:
  """Finds a tower's convolutions.

  Args:
    tower: a functional model.

  Returns:
    Its convolutions, each one after those whose outputs it sees.

  Raises:
    ValueError: a layer has weights and is neither a convolution that batch normalization alone
      follows, nor that batch normalization. The convolutions may have no groups, no dilation and no
      activation. Or there is none.
  """
  takers = collections.defaultdict(list)
  for layer in tower.layers:
    if not isinstance(layer, tf.keras.layers.InputLayer):
      for tensor in layer_inputs(layer):
        takers[id(tensor)].append(layer)
  for tensor in tf.nest.flatten(tower.outputs):
    takers[id(tensor)].append(None)
  found, known = [], set()
  for layer in tower.layers:
    if not layer.weights or id(layer) in known:
      continue
    behind = takers[id(layer.output)] if len(layer.inbound_nodes) == 1 else []
    if not (_is_plain(layer) and len(behind) == 1 and _is_normalization(behind[0])):
      raise _unknown(layer)
    known.add(id(behind[0]))
    found.append(NormalizedConvolution(layer, behind[0]))
  if not found:
    raise _unknown(None)
  return found


def layer_inputs(layer: tf.keras.layers.Layer) -> list[Any]:
  """The symbolic tensors that a layer of a functional model takes."""
  return tf.nest.flatten(layer.input)


def _is_plain(layer: tf.keras.layers.Layer) -> bool:
  return (
    type(layer) is tf.keras.layers.Conv2D  # And no kind of it, such as a transposed one.
    and layer.groups == 1
    and tuple(layer.dilation_rate) == (1, 1)
    and layer.data_format == "channels_last"
    and layer.activation is tf.keras.activations.linear
  )


def _is_normalization(layer: tf.keras.layers.Layer | None) -> bool:
  return (
    isinstance(layer, tf.keras.layers.BatchNormalization)
    and len(layer.inbound_nodes) == 1
    and list(layer.axis) == [3]
  )


def _unknown(layer: tf.keras.layers.Layer | None) -> ValueError:
  received = "none" if layer is None else f"layer '{layer.name}', {type(layer).__name__}"
  return ValueError(
    "Expected a backbone of convolutions (Conv2D without groups, dilation and activation), each "
    "followed by a BatchNormalization and nothing else: only there weights can be scaled by layers "
    f"without changing what they compute. Received: {received}."
  )
