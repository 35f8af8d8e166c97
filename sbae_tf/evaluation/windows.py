"""The same window of a photograph and of its labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from sbae_tf import runtime
from sbae_tf.data.map_ahead import map_ahead
from sbae_tf.evaluation.label_classes import IGNORED
from sbae_tf.evaluation.segmented import Pair, Segmented

OUTSIDE = 128  # Gray of what lies outside of a photograph: no color, and half lightness.


def random_window(
  photograph: np.ndarray,
  labels: np.ndarray,
  *,
  side: int,
  scales: tuple[float, float],
  rng: np.random.Generator,
) -> Pair:
  """Resizes by a random factor, cuts a random square, and mirrors one in two.

  The photograph is resized bilinearly, and antialiased; labels take the nearest pixel's. Where the
  square is larger than the resized photograph, that lies at a random place in it, and around it are
  gray and ignored pixels.

  Args:
    photograph: (H, W, 3) uint8.
    labels: (H, W) uint8.
    side: S, of the square, in pixels after resizing.
    scales: lowest and highest factor, above 0; its logarithm is uniform.
    rng: draws four numbers.

  Returns:
    (S, S, 3) and (S, S) uint8.
  """
  draws = rng.random(4)
  scale = scales[0] * (scales[1] / scales[0]) ** draws[0]
  size = np.array(labels.shape)
  resized = np.maximum(1, np.round(size * scale).astype(int))
  # Of the square's corner on the resized photograph; negative where the square is larger.
  room = resized - side
  corner = np.minimum(room, 0) + np.floor(draws[1:3] * (np.abs(room) + 1)).astype(int)
  first, last = np.maximum(corner, 0), np.minimum(corner + side, resized)
  top, left = first * size / resized
  bottom, right = last * size / resized
  box = (left, top, min(right, labels.shape[1]), min(bottom, labels.shape[0]))
  inside = tuple(slice(*pair) for pair in zip(first - corner, last - corner))
  cut = np.full((side, side, 3), OUTSIDE, np.uint8)
  cut_labels = np.full((side, side), IGNORED, np.uint8)
  height, width = (last - first).tolist()
  for target, array, way in (
    (cut, photograph, Image.Resampling.BILINEAR),
    (cut_labels, labels, Image.Resampling.NEAREST),
  ):
    target[inside] = Image.fromarray(array).resize((width, height), way, box=box)
  if draws[3] < 0.5:
    return cut[:, ::-1], cut_labels[:, ::-1]
  return cut, cut_labels


def padded(photograph: np.ndarray, labels: np.ndarray, *, multiple: int) -> Pair:
  """Adds gray and ignored pixels at the bottom and at the right.

  Args:
    photograph: (H, W, 3) uint8.
    labels: (H, W) uint8.
    multiple: of which height and width are wanted.

  Returns:
    The same with the next multiples of it as height and width.
  """
  height, width = labels.shape
  more = ((0, -height % multiple), (0, -width % multiple))
  return (
    np.pad(photograph, (*more, (0, 0)), constant_values=OUTSIDE),
    np.pad(labels, more, constant_values=IGNORED),
  )


def training_batches(
  data: Segmented,
  *,
  steps: int,
  batch_size: int,
  side: int,
  scales: tuple[float, float],
  seed: int,
) -> Iterator[Pair]:
  """Random windows, every photograph once in each epoch, in an order that changes.

  Args:
    data: N photographs; fewer than a batch come again within it, each time cut anew.
    steps: the number of batches.
    batch_size: B.
    side: S.
    scales: as for `random_window`.
    seed: of order and windows: the same one, the same batches to the bit.

  Yields:
    (B, S, S, 3) and (B, S, S) uint8.
  """

  def cut(place: tuple[int, int]) -> Pair:
    position, index = place
    rng = np.random.default_rng([seed, 1, position])
    return random_window(*data.pair(index), side=side, scales=scales, rng=rng)

  places = enumerate(_order(len(data), count=steps * batch_size, seed=seed))
  batch: list[Pair] = []
  for pair in map_ahead(cut, places, threads=runtime.processors() + 2):
    batch.append(pair)
    if len(batch) == batch_size:
      photographs, labels = zip(*batch)
      yield np.stack(photographs), np.stack(labels)
      batch = []


def _order(number: int, *, count: int, seed: int) -> Iterator[int]:
  """So many indices: a permutation of all after the other."""
  for start in range(0, count, number):
    order = np.random.default_rng([seed, 0, start // number]).permutation(number)
    yield from order[: count - start].tolist()
