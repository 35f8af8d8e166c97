"""The patches of photographs that make units of a feature map answer most."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from sbae_tf.data import pipeline
from sbae_tf.data.source import Source
from sbae_tf.evaluation.receptive_field import ReceptiveField

OUTSIDE = 128  # Gray of what of a patch lies outside of the photograph.

_BATCH = 64
_CELL, _GAP = 112, 6  # Pixels of a patch as it is shown, and between two.
_ROW_FONT, _FONT = 18, 15
_LABEL = 104  # Width of a row's label.
_CRISP = 16  # Patches of so few pixels are shown as pixels.

# A unit's name, and its patches, (P, P, 3) uint8, each with a caption.
Row = tuple[str, Sequence[tuple[str, np.ndarray]]]


@dataclasses.dataclass(frozen=True)
class Answers:
  """The photographs to which each of C units answers most, at most one answer of each.

  Attributes:
    strengths: (C, k) float32, the greatest first; -inf where there were fewer photographs.
    photographs: (C, k) int64, numbers of the photographs.
    places: (C, k, 2) int64, y and x on the map.
    lowest: (C,) float32, the least of all photographs' strongest answers.
  """

  strengths: np.ndarray
  photographs: np.ndarray
  places: np.ndarray
  lowest: np.ndarray

  @property
  def alive(self) -> np.ndarray:
    """(A,) int64, the units that do not answer all photographs alike."""
    return np.flatnonzero(self.strengths[:, 0] > self.lowest)


def strongest(
  source: Source,
  features: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
  layer: str,
  *,
  image_size: int,
  count: int,
) -> Answers:
  """Goes through the photographs once, and keeps each unit's strongest answers alone.

  Args:
    source: N photographs; those that cannot be read are left out.
    features: (B, S, S, 3) uint8 to named features, (B, h, w, C) or (B, C) under `layer`.
    layer: the name.
    image_size: S.
    count: k, answers of a unit, at least 1; of equal ones those of the first photographs.
  """

  @tf.function(
    input_signature=[tf.TensorSpec((None, image_size, image_size, source.planes), tf.uint8)],
    autograph=False,
  )
  def answer(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    maps = features(images)[layer]
    if maps.shape.rank == 2:
      maps = maps[:, tf.newaxis, tf.newaxis]
    shape = tf.shape(maps, tf.int64)
    flat = tf.reshape(maps, (shape[0], shape[1] * shape[2], maps.shape[-1]))
    place = tf.argmax(flat, axis=1)
    return tf.reduce_max(flat, axis=1), place // shape[2], place % shape[2]

  found: Answers | None = None
  dataset = pipeline.evaluation_dataset(source, batch_size=_BATCH, image_size=image_size)
  for batch in dataset:
    values, y, x = (tensor.numpy() for tensor in answer(batch["image"]))
    found = _merged(found, values, np.stack([y, x], axis=-1), batch["index"].numpy(), count)
  assert found is not None, "a source has a photograph"
  return found


def _merged(
  before: Answers | None, values: np.ndarray, places: np.ndarray, index: np.ndarray, count: int
) -> Answers:
  """The strongest of those before and of a batch: (B, C) values, (B, C, 2) places, (B,) index."""
  strengths, places = values.T, places.transpose(1, 0, 2)
  photographs = np.broadcast_to(index, strengths.shape)
  lowest = strengths.min(axis=1)
  if before is not None:
    strengths = np.concatenate([before.strengths, strengths], axis=1)
    photographs = np.concatenate([before.photographs, photographs], axis=1)
    places = np.concatenate([before.places, places], axis=1)
    lowest = np.minimum(before.lowest, lowest)
  order = np.argsort(-strengths, axis=1, kind="stable")[:, :count]
  return Answers(
    np.take_along_axis(strengths, order, axis=1),
    np.take_along_axis(photographs, order, axis=1),
    np.take_along_axis(places, order[..., np.newaxis], axis=1),
    lowest,
  )


def _read(source: Source, indices: Iterable[int], *, image_size: int) -> dict[int, np.ndarray]:
  """Photographs by their numbers, each (S, S, 3) uint8, cut as `strongest` sees them."""
  numbers = np.unique(np.fromiter(indices, np.int64))
  part = source.subset(numbers, f"{len(numbers):,} of {source.description}")
  images: dict[int, np.ndarray] = {}
  for batch in pipeline.evaluation_dataset(part, batch_size=_BATCH, image_size=image_size):
    images.update(zip(numbers[batch["index"].numpy()].tolist(), batch["image"].numpy()[..., :3]))
  return images


def cut(image: np.ndarray, field: ReceptiveField, place: tuple[int, int]) -> np.ndarray:
  """What a unit at a place of the map sees of a photograph.

  Args:
    image: (S, S, 3) uint8.
    field: the unit's.
    place: y and x on the map.

  Returns:
    (field.side, field.side, 3) uint8, gray where that lies outside of the photograph.
  """
  side = field.side
  y, x = field.corner(place)
  patch = np.full((side, side, 3), OUTSIDE, np.uint8)
  top, left = max(0, y), max(0, x)
  inside = image[top : max(0, y + side), left : max(0, x + side)]
  patch[top - y : top - y + inside.shape[0], left - x : left - x + inside.shape[1]] = inside
  return patch


def collect(
  source: Source,
  answers: Answers,
  units: Iterable[int],
  *,
  field: ReceptiveField,
  image_size: int,
) -> list[Row]:
  """Reads the photographs of units' strongest answers, and cuts out what the units saw.

  Args:
    source: the photographs that `strongest` went through.
    answers: what it found.
    units: which.
    field: of the units.
    image_size: S.

  Returns:
    A row for `sheet` of each unit, its strength under each patch. An answer that is no more than
    what leaves the unit cold is left out.
  """
  shown = {unit: np.flatnonzero(answers.strengths[unit] > answers.lowest[unit]) for unit in units}
  wanted = (int(i) for unit, ranks in shown.items() for i in answers.photographs[unit, ranks])
  images = _read(source, wanted, image_size=image_size)
  rows: list[Row] = []
  for unit, ranks in shown.items():
    row = []
    for rank in ranks:
      y, x = answers.places[unit, rank].tolist()
      patch = cut(images[int(answers.photographs[unit, rank])], field, (y, x))
      row.append((f"{answers.strengths[unit, rank]:.3g}", patch))
    rows.append((f"unit {unit}", row))
  return rows


def sheet(rows: Sequence[Row]) -> Image.Image:
  """Draws patches, a row a unit.

  Args:
    rows: from the top down.

  Returns:
    The picture; 1,200 pixels wide for nine patches a row.
  """
  row_font, font = ImageFont.load_default(_ROW_FONT), ImageFont.load_default(_FONT)
  pitch_x, pitch_y = _CELL + _GAP, _CELL + _FONT + 2 * _GAP
  columns = max(len(patches) for _, patches in rows)
  width, height = _LABEL + columns * pitch_x + _GAP, len(rows) * pitch_y + _GAP
  canvas = Image.new("RGB", (width, height), "white")
  draw = ImageDraw.Draw(canvas)
  for number, (name, patches) in enumerate(rows):
    top = _GAP + number * pitch_y
    draw.text((_GAP, top + _CELL // 2), name, "black", font=row_font, anchor="lm")
    for column, (caption, patch) in enumerate(patches):
      left = _LABEL + column * pitch_x
      crisp = len(patch) <= _CRISP
      way = Image.Resampling.NEAREST if crisp else Image.Resampling.LANCZOS
      canvas.paste(Image.fromarray(patch).resize((_CELL, _CELL), way), (left, top))
      draw.text((left, top + _CELL + 2), caption, "black", font=font)
  return canvas
