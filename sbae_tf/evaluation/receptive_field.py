"""Which pixels a unit of a feature map looks at, measured from outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

Features = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]

_IMAGES = 4  # Of noise, at each of which some units answer.
# Of the map's standard deviation. Rounding, by which some ways of computing a convolution carry
# pixels from outside the field along, is a hundredth of it or less.
_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
  """A square of pixels that moves over the photograph with a unit's place on the map.

  Attributes:
    side: of the square, in pixels.
    first: row, and column, of the square's first pixel for the map's first place; negative where
      the square begins outside.
    step: pixels from one place to the next; 0 where the square is the whole photograph.
  """

  side: int
  first: float
  step: float

  def corner(self, place: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the square's first pixel for a place (y, x); maybe outside."""
    y, x = place
    return round(self.first + y * self.step), round(self.first + x * self.step)


def whole(image_size: int) -> ReceptiveField:
  """The whole photograph, whatever the place."""
  return ReceptiveField(image_size, 0.0, 0.0)


def around(places: int, *, image_size: int, side: int) -> ReceptiveField:
  """Squares of a given side about the middles of the photograph's `places` by `places` parts."""
  step = image_size / places
  return ReceptiveField(side, (step - side) / 2, step)


def measure(features: Features, layer: str, *, image_size: int, planes: int = 3) -> ReceptiveField:
  """Finds the pixels on which a unit in the middle of a map depends.

  Noise is replaced by other noise, from the photograph's borders as far inwards as the unit does
  not change. That needs no knowledge of the network: it does for any, live or not. It finds less
  than kernels and strides say where the outermost pixels hardly count: those that change no channel
  by 1/10,000 of the map's standard deviation.

  Args:
    features: (B, S, S, 3) uint8 to named features, (B, h, w, C) under `layer`.
    layer: the map's name.
    image_size: S.
    planes: of the photographs, 3 and those of bands.

  Returns:
    The field; the whole photograph where it reaches a border, for then its true size cannot be
    seen, and where the map is no square or the unit sees nothing of noise.
  """
  probe = _Probe(features, layer, image_size, planes)
  height, width = probe.places
  reaches = not (probe.spares(1, end=False) and probe.spares(1, end=True))
  blind = probe.spares(image_size, end=False)
  if reaches or blind or height != width:
    return whole(image_size)
  low, high = probe.spared(end=False), image_size - probe.spared(end=True)
  step, away = image_size / height, height // 4
  if away:  # Without padding the steps do not fill the photograph.
    step = (probe.spared(end=False, away=away) - low) / away
  return ReceptiveField(high - low, low - height // 2 * step, step)


class _Probe:
  """A unit's answers to noise of which a part is replaced."""

  def __init__(self, features: Features, layer: str, side: int, planes: int) -> None:
    self._features, self._layer, self._side = features, layer, side
    shape = (2, _IMAGES, side, side, planes)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    self._image, self._other = noise
    self._answer = self._map(self._image)
    self.places = self._answer.shape[1:3]
    self._least = _TOLERANCE * float(self._answer.std())

  def _map(self, images: np.ndarray) -> np.ndarray:
    return self._features(tf.constant(images))[self._layer].numpy()

  def spares(self, count: int, *, end: bool, away: int = 0) -> bool:
    """Whether the unit sees neither `count` rows of the photograph nor as many columns.

    Args:
      count: how many.
      end: whether the last ones, and not the first.
      away: places, down and to the right, from the middle to the unit.
    """
    kept = slice(None, self._side - count) if end else slice(count, None)
    mixed = self._other.copy()
    mixed[:, kept, kept] = self._image[:, kept, kept]
    y, x = (places // 2 + away for places in self.places)
    change = np.abs(self._map(mixed)[:, y, x] - self._answer[:, y, x])
    return bool(change.max() <= self._least)

  def spared(self, *, end: bool, away: int = 0) -> int:
    """The largest count that `spares` is true of."""
    spared, seen = 0, self._side
    while seen - spared > 1:
      count = (seen + spared) // 2
      if self.spares(count, end=end, away=away):
        spared = count
      else:
        seen = count
    return spared
