"""A linear classifier on the pooled features of an encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.evaluation.standardized import Standardized


class PooledClassifier(tf.Module):
  """Softmax regression on means over the cells of feature maps, one map after the other.

  The means are standardized, as `Standardized` does. A map's score is the mean of its cells', for
  Adam's steps are as long for every weight: more cells would move the scores by more.

  Attributes:
    layers: names of the features, at least one.
  """

  def __init__(self, shapes: Mapping[str, Sequence[int]], *, grid: int, classes: int) -> None:
    """Makes a classifier that finds all classes equally likely.

    Args:
      shapes: names of the features, in order, to a photograph's shape: (h, w, C) or (C,).
      grid: G, cells a side, see `pool`.
      classes: K.
    """
    super().__init__(name="classifier")
    self.layers = tuple(shapes)
    # No dictionary: `tf.Module` would track it.
    self._shapes = tuple((name, tuple(shape)) for name, shape in shapes.items())
    self._grid = grid
    self._shares = np.concatenate(
      [
        np.full(_numbers(shape, grid), 1 / _cells(shape, grid), np.float32)
        for shape in shapes.values()
      ]
    )
    self._standardized = Standardized(len(self._shares), name="classifier")
    # Zeros: they depend on no seed, and the first step leaves the encoder as it is.
    self._linear = tf.keras.layers.Dense(classes, kernel_initializer="zeros", name="classifier")
    self._linear.build((None, len(self._shares)))

  def __call__(self, features: Mapping[str, tf.Tensor], *, training: bool) -> tf.Tensor:
    """Scores of the classes.

    Args:
      features: by name; others than `layers` may be among them.
      training: whether the batch's own statistics are used, and remembered.

    Returns:
      (B, K) float32, unnormalized.
    """
    pooled = pool(features, dict(self._shapes), grid=self._grid)
    return self._linear(self._standardized(pooled, training=training) * self._shares)


def pool(
  features: Mapping[str, tf.Tensor], shapes: Mapping[str, Sequence[int]], *, grid: int
) -> tf.Tensor:
  """Means of maps over the cells of a grid, and vectors as they are, side by side.

  The cells are equal parts of a map; a pixel that lies in two counts in each by its part.

  Args:
    features: by name, (B, h, w, C) or (B, C) of any float type.
    shapes: names of those that are wanted, in order, to a photograph's shape.
    grid: G: a map has G x G cells, but never more a side than pixels; 1: the mean of the map.

  Returns:
    (B, D) float32, D the numbers of all cells and vectors.
  """
  values = []
  for name, shape in shapes.items():
    value = tf.cast(features[name], tf.float32)
    if len(shape) == 3:
      rows, columns = (_weights(side, min(grid, side)) for side in shape[:2])
      # Not `tf.image.resize`: its antialiased kernels are for CPUs alone.
      value = tf.einsum("ih,jw,bhwc->bijc", rows, columns, value)
    values.append(tf.reshape(value, (-1, _numbers(shape, grid))))
  return tf.concat(values, axis=1)


def _cells(shape: Sequence[int], grid: int) -> int:
  return math.prod(min(grid, side) for side in shape[:-1])


def _numbers(shape: Sequence[int], grid: int) -> int:
  return _cells(shape, grid) * shape[-1]


def _weights(side: int, cells: int) -> np.ndarray:
  """(cells, side) float32: each pixel's part of each cell, in one direction; rows sum to 1."""
  edges = np.arange(cells + 1) * side / cells
  pixels = np.arange(side)
  shared = np.minimum(edges[1:, np.newaxis], pixels + 1) - np.maximum(
    edges[:-1, np.newaxis], pixels
  )
  return (np.maximum(shared, 0) * cells / side).astype(np.float32)
