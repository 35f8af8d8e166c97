"""Photographs with a class for every pixel."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.data import pillow_decoder
from sbae_tf.data.map_ahead import map_ahead
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.source import Source, first_line
from sbae_tf.data.unreadable import UnreadableImage
from sbae_tf.evaluation.label_classes import LabelClasses
from sbae_tf.evaluation.labelled import Labelled
from sbae_tf.evaluation.masks import MaskRule, UnusableMaskError, read_mask
from sbae_tf.writing import writing

# Bytes of decoded photographs and masks that stay in memory, a collection: small ones are looked at
# after every epoch.
_KEPT = 1 << 29

Pair = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Segmented:
  """Photographs with masks.

  Attributes:
    source: N photographs.
    masks: paths of their masks.
    numbers: those that are in the masks of the whole collection, each with a mask that it is in.
    table: (256,) uint8, of each number its label, as `LabelClasses.table`.
    kept: pairs that are in memory, by index.
  """

  source: Source
  masks: tuple[str, ...]
  numbers: Mapping[int, str]
  table: np.ndarray
  kept: Mapping[int, Pair]

  def __len__(self) -> int:
    return len(self.masks)

  def pair(self, index: int) -> Pair:
    """A photograph and its labels.

    Args:
      index: in [0, N).

    Returns:
      (H, W, 3) uint8, upright, and (H, W) uint8, classes from 0 on or `IGNORED`. Possibly
      read-only.

    Raises:
      ValueError: they cannot be read any more.
    """
    photograph, mask = self.kept.get(index) or _read(self.source, index, self.masks[index])
    return photograph, self.table[mask]

  def subset(self, indices: np.ndarray) -> Segmented:
    """The photographs at (M,) indices, in that order."""
    there = indices.tolist()
    return dataclasses.replace(
      self,
      source=self.source.subset(indices, f"{len(indices):,} of {self.source.description}"),
      masks=tuple(self.masks[i] for i in there),
      kept={new: self.kept[old] for new, old in enumerate(there) if old in self.kept},
    )

  def labelled(self, classes: LabelClasses) -> Segmented:
    """The same photographs, their pixels labelled with other classes."""
    return dataclasses.replace(self, table=classes.table)


def open_segmented(data: Labelled, rule: MaskRule, *, skipped: Skipped) -> Segmented:
  """Finds the masks of photographs, and reads all of them once.

  Args:
    data: photographs.
    rule: where their masks lie.
    skipped: where those photographs are entered that have no usable mask, and which are left out.

  Returns:
    The others, labelled with the numbers of the masks.

  Raises:
    ValueError: there are none; tells the first reason. Or a photograph cannot be read.
    WriteError: the ledger's file cannot be written.
  """
  source, names = data.source, list(data.source.names)
  read = functools.partial(_read_with, source, rule)
  masks: dict[int, str] = {}
  kept: dict[int, Pair] = {}
  numbers: dict[int, str] = {}
  size = 0
  found = map_ahead(read, enumerate(names), threads=runtime.processors() + 2)
  for index, (path, pair) in enumerate(found):
    if isinstance(pair, UnusableMaskError):
      with writing(skipped.file):
        skipped.add(names[index], pair.reason, pair.detail)
      continue
    for number in np.flatnonzero(np.bincount(pair[1].ravel(), minlength=256)).tolist():
      numbers.setdefault(number, path)
    masks[index] = path
    size += sum(array.nbytes for array in pair)
    if size <= _KEPT:
      kept[len(masks) - 1] = pair
  if not masks:
    name, (reason, detail) = next(iter(skipped.entries.items()))
    raise ValueError(
      f"Expected photographs with masks by the option masks='{rule.text}'. Received: none of "
      f"{source.description}. {name}: {reason}, {detail}"
    )
  if len(masks) < len(names):
    chosen = np.fromiter(masks, np.int64)
    source = source.subset(chosen, f"{len(masks):,} of {source.description}")
  return Segmented(
    source, tuple(masks.values()), numbers, table=np.arange(256, dtype=np.uint8), kept=kept
  )


def _read_with(
  source: Source, rule: MaskRule, item: tuple[int, str]
) -> tuple[str, Pair | UnusableMaskError]:
  """The path of a photograph's mask and the pair, or why there is none."""
  index, name = item
  path = ""
  try:
    path = rule.path_of(name)
    return path, _read(source, index, path)
  except UnusableMaskError as error:
    return path, error


def _read(source: Source, index: int, path: str) -> Pair:
  """A photograph and the numbers of its mask."""
  try:
    with tf.device("cpu:0"):
      encoded = source.read(tf.constant(index, tf.int64)).numpy()
    # It was read before, with the limit that the user set.
    photograph = pillow_decoder.decode(encoded, max_pixels=sys.maxsize)
  except (tf.errors.OpError, UnreadableImage) as error:
    reason = first_line(error) if isinstance(error, tf.errors.OpError) else str(error)
    raise ValueError(f"Cannot read {source.names[index]} ({reason}). Mend or remove it.") from error
  height, width, _ = photograph.shape
  return photograph, read_mask(path, size=(height, width))
