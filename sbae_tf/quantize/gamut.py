"""The 313 bins of 10 x 10 units that hold sRGB's colors in a and b of Lab."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from skimage import color

from sbae_tf.color.color_space import Channel
from sbae_tf.quantize.quantizer import Quantizer

CHANNELS = ("a", "b")

_WIDTH = 10

# Of the published bins, those that no touched cell has as a corner. Why they are there is not told.
_BESIDE = ((40, 90), (100, -90), (100, -10), (100, 0))


@functools.cache
def gamut_centers() -> np.ndarray:
  """The centers of the bins, by rising a, and of equal a by rising b.

  They are the corners of every cell `[10 i, 10 i + 10) x [10 j, 10 j + 10)` that a color of sRGB
  lies in, and four points beside.

  Returns:
    (313, 2) float32, whole tens: a in [-90, 100], b in [-110, 100]. Read-only.

  Reference: Zhang, Isola, Efros 2016 (arXiv:1603.08511), Sec. 2.1: the 313 values that are in
    gamut. These are the ones of `pts_in_hull.npy` in its published code, in their order. (That is
    compared with OpenCV's copy of the file, in samples/dnn/colorization.cpp.)
  """
  lab = color.rgb2lab(_outline())
  cells = np.unique(np.floor(lab[..., 1:].reshape(-1, 2) / _WIDTH).astype(int), axis=0)
  corners = np.concatenate([cells + corner for corner in ((0, 0), (0, 1), (1, 0), (1, 1))])
  # Sorted by the first column, and then by the second.
  centers = np.unique(np.concatenate([_WIDTH * corners, _BESIDE]), axis=0).astype(np.float32)
  centers.setflags(write=False)  # It is made once, for all.
  return centers


def _outline() -> np.ndarray:
  """(N, 1, 3) uint8: colors that lie in every cell of a and b which any color lies in.

  A line of equal a and b leaves the cube of sRGB through one of its faces, and so these have all
  that there is. A part of their levels does, but where a cell is just touched: by an edge.
  """
  colors = []
  for levels, others in ((np.arange(0, 256, 5), np.arange(0, 256, 5)), ((0, 255), np.arange(256))):
    x, y, end = np.meshgrid(levels, others, (0, 255))
    face = np.stack([x, y, end], axis=-1).reshape(-1, 3)
    colors += [np.roll(face, shift, axis=1) for shift in range(3)]
  return np.concatenate(colors)[:, np.newaxis].astype(np.uint8)


class GamutQuantizer(Quantizer):
  """The nearest of the bins that are in gamut; the same for every image.

  Nearest by Euclidean distance; half way between two goes to the one of greater a, or b. That holds
  for every color, and every mean of colors. What is neither goes to a bin near it.
  """

  def __init__(self) -> None:
    self._centers = gamut_centers()
    self.bins = len(self._centers)
    self._low = self._centers.min(axis=0)
    self._sides = (np.ptp(self._centers, axis=0) / _WIDTH + 1).astype(int)
    # A point that rounds to a bin is nearest to that one. All means of colors do: their convex hull
    # stays clear of the other squares of the grid.
    points = self._low + _WIDTH * np.moveaxis(np.indices(self._sides), 0, -1)
    away = np.square(points[..., np.newaxis, :] - self._centers).sum(axis=-1)
    self._nearest = away.argmin(axis=-1).astype(np.int32).ravel()

  def encode(self, values: tf.Tensor) -> tf.Tensor:
    places = tf.floor((values - self._low) / _WIDTH + 0.5)
    places = tf.clip_by_value(places, 0.0, tf.constant(self._sides - 1, tf.float32))
    places = tf.cast(places[..., 0] * float(self._sides[1]) + places[..., 1], tf.int32)
    return tf.gather(tf.constant(self._nearest), places)

  def centers(self, values: tf.Tensor) -> tf.Tensor:
    del values
    return tf.constant(self._centers[np.newaxis])


def build(channels: Sequence[Channel]) -> GamutQuantizer:
  """The bins of a and b of Lab that are in gamut, 313 on a grid of 10 units.

  Args:
    channels: a and b, in this order.

  Raises:
    ValueError: they are others.

  Reference: Zhang, Isola, Efros 2016 (arXiv:1603.08511), Sec. 2.1; 2017 (arXiv:1611.09842), Sec. 4.
  """
  names = tuple(channel.name for channel in channels)
  if names != CHANNELS:
    raise ValueError(
      f"Expected the channels a, b of Lab to quantize. Received: {', '.join(names)}."
    )
  return GamutQuantizer()
