"""Leaves out photographs that cannot be read, so that every protocol sees the same ones."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from sbae_tf.data import pipeline
from sbae_tf.data.skipped import Skipped
from sbae_tf.evaluation.labelled import Labelled
from sbae_tf.writing import writing

_BATCH = 256


def leave_out_unreadable(
  parts: Mapping[str, Labelled],
  *,
  image_size: int,
  max_pixels: int,
  max_skipped: float,
  file: pathlib.Path,
) -> dict[str, Labelled]:
  """Reads all photographs once.

  Args:
    parts: photographs, by what they are for.
    image_size: S, the side to which they are cut.
    max_pixels: a photograph with more is left out.
    max_skipped: the part of the photographs that may be left out, in [0, 1].
    file: is written anew and names those that are left out; removed where there is none.

  Returns:
    Those that can be read, under the same names; the same objects where all can.

  Raises:
    ValueError: there are more, or none is left.
    WriteError: the file cannot be written.
  """
  file.unlink(missing_ok=True)
  total = sum(map(len, parts.values()))
  ledger = Skipped(total, limit=max_skipped, file=file, flag="--max_skipped")
  kept = {}
  for name, data in parts.items():
    found = _read(data, ledger, image_size=image_size, max_pixels=max_pixels)
    if not len(found):
      raise ValueError(f"Expected photographs that can be read: {data.source.description}")
    kept[name] = data if len(found) == len(data) else data.subset(found)
  return kept


def _read(data: Labelled, ledger: Skipped, *, image_size: int, max_pixels: int) -> np.ndarray:
  """(M,) int64 numbers of the photographs that can be read, rising."""
  dataset = pipeline.evaluation_dataset(
    data.source,
    batch_size=_BATCH,
    image_size=image_size,
    skipped=ledger,
    max_pixels=max_pixels,
  )
  with writing(ledger.file):
    try:
      found = [batch["index"].numpy() for batch in dataset]
    except tf.errors.OpError as error:
      ledger.check()
      raise error
  return np.concatenate(found) if found else np.zeros(0, np.int64)
