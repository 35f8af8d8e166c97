"""Sets a tower's filters, and scales every channel by data: Algorithm 1 of the paper.

Layer by layer, from the first one: filters of patches of what the layer sees, once the layers
before it are done; then each channel's mean and variance on the data, by which filter and bias are
scaled so that the channel has mean 0 and variance 1 before its nonlinearity.

**With batch normalization** that holds in training by itself, whatever the scale of the weights.
But the scale decides how far a step of the optimizer turns them, and without training the
statistics of the first batches are what the normalization remembers. So here, too, the weights of
every channel are divided by its standard deviation; and the mean, which the paper puts into the
bias, goes into the remembered mean of the batch normalization, whose remembered variance is 1.
The tower then gives in training and without it the same. Its scale and shift stay as the backbone
has them: 1 and 0, the paper's beta. The sum of a residual block has no weights, and is not scaled:
its two sides have variance 1 each, or are the block before.

Reference: Krähenbühl, Doersch, Donahue and Darrell 2016, arXiv:1511.06856, Sec. 3.1 and 3.3,
Algorithm 1.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.initialization._convolutions import (
  NormalizedConvolution,
  layer_inputs,
  normalized_convolutions,
)
from sbae_tf.initialization._patch_filters import patch_filters, sample_patches

_BATCH = 32  # Photographs in a layer at once.
_LEAST_VARIANCE = 1e-12  # Below, a channel is constant.


def set_filters(tower: tf.keras.Model, inputs: np.ndarray, *, seed: int) -> list[str]:
  """Makes a tower's filters of patches, and scales its channels.

  Args:
    tower: a functional model, in float32; its convolutions and the remembered statistics of its
      batch normalizations are changed.
    inputs: what it sees of N photographs, (N, H, W, C) float32.
    seed: of patches and clusters.

  Returns:
    The names of the convolutions that keep the weights that they had, but for their scale: too few
    patches differ, as those of the color of gray photographs.

  Raises:
    ValueError: a layer with weights is no convolution that batch normalization follows.
  """
  convolutions = {id(each.convolution): each for each in normalized_convolutions(tower)}
  layers = [x for x in tower.layers if not isinstance(x, tf.keras.layers.InputLayer)]
  left = collections.Counter(id(tensor) for layer in layers for tensor in layer_inputs(layer))
  values = {id(tower.input): inputs}
  kept = []
  for number, layer in enumerate(layers):
    given = [values[id(tensor)] for tensor in layer_inputs(layer)]
    for tensor in layer_inputs(layer):
      left[id(tensor)] -= 1
      if not left[id(tensor)]:
        values.pop(id(tensor), None)
    if id(layer) not in convolutions:
      values[id(layer.output)] = _apply(layer, given)
      continue
    if not _set_kernel(layer, given[0], seed=(seed, number)):
      kept.append(layer.name)
    values[id(layer.output)] = _normalize(convolutions[id(layer)], _apply(layer, given))
  return kept


def _set_kernel(
  convolution: tf.keras.layers.Conv2D, maps: np.ndarray, *, seed: tuple[int, int]
) -> bool:
  """Gives a convolution filters of patches of what it sees; False where that cannot be."""
  height, width, channels, filters = convolution.kernel.shape
  generator = np.random.default_rng(seed)
  patches = sample_patches(maps, (height, width), filters=filters, generator=generator)
  found = patch_filters(patches, filters, seed=int(generator.integers(2**31)))
  if found is None:
    return False
  kernel = found.reshape(filters, height, width, channels).transpose(1, 2, 3, 0)
  convolution.kernel.assign(kernel)
  return True


def _normalize(unit: NormalizedConvolution, maps: np.ndarray) -> np.ndarray:
  """Scales a convolution's channels to variance 1, and has their means remembered.

  Args:
    unit: the convolution.
    maps: (N, h, w, K) float32, its output; changed.

  Returns:
    (N, h, w, K) float32, its output now.
  """
  pieces = [maps[i : i + _BATCH] for i in range(0, len(maps), _BATCH)]
  count = maps[..., 0].size
  mean = sum(piece.sum((0, 1, 2), dtype=np.float64) for piece in pieces) / count
  variance = sum(np.square(piece - mean).sum((0, 1, 2)) for piece in pieces) / count
  factor = np.where(variance > _LEAST_VARIANCE, 1 / np.sqrt(np.maximum(variance, 1e-30)), 1.0)
  for weights in unit.convolution.trainable_variables:
    weights.assign(weights.numpy() * factor.astype(np.float32))
  unit.normalization.moving_mean.assign((mean * factor).astype(np.float32))
  unit.normalization.moving_variance.assign((variance * factor**2).astype(np.float32))
  maps *= factor.astype(np.float32)
  return maps


def _apply(layer: tf.keras.layers.Layer, given: Sequence[np.ndarray]) -> np.ndarray:
  """A layer's output, without training."""
  pieces = []
  for start in range(0, len(given[0]), _BATCH):
    part = [tf.constant(values[start : start + _BATCH]) for values in given]
    pieces.append(layer(part if len(part) > 1 else part[0]).numpy())
  return np.concatenate(pieces)
