"""The photographs that a configuration asks for: a training and a held-out source."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.config import DataConfig
from sbae_tf.data import archives, files, lists, photographs, records, tfds_source
from sbae_tf.data import record_manifest as manifest_lib
from sbae_tf.data.beside import Beside
from sbae_tf.data.mixture import concatenate
from sbae_tf.data.source import Source
from sbae_tf.data.split import split_heldout

_EMBEDDED_HELDOUT = 512


def open_source(spec: str, *, labels: bool = False, beside: Beside | None = None) -> Source:
  """Opens a collection of images.

  Args:
    spec: one part, or several with `;` between them. A part is, in the order in which they are
      told apart:
      - `tfds:NAME[:SPLIT]`: a prepared data set of TensorFlow Datasets;
      - a folder with a `manifest.json`, or with record files and neither images nor folders;
      - any other folder: image files;
      - `SHARD.tfrecord`, or a glob such as `train-*-of-*`: record files;
      - `ARCHIVE.zip`, `ARCHIVE.tar`, or `ARCHIVE.zip/FOLDER` for a folder in it;
      - `LIST.txt`: a list of image files;
      - any other glob or file: image files.
      A part may begin with its weight in the mixture and a colon: `3:/photos/a; 1:/photos/b`.
    labels: whether to read labels also where all data must be read for it: records without a
      manifest, and `tfds:`.
    beside: what to read beside each image; for folders, globs and lists of files.

  Returns:
    The source; of several parts a mixture where they have weights, else one after the other.

  Raises:
    ValueError: a part cannot be opened, comes twice, or only some parts have a weight; or it has no
      files that something could lie beside.
  """
  parts = _parse(spec)
  opened = [_with_beside(_open(part, labels=labels), part, beside) for part in parts]
  return concatenate(opened, _weights(parts))


def open_sources(config: DataConfig, *, beside: Beside | None = None) -> tuple[Source, Source]:
  """Opens the training and the held-out photographs; no image of a source is in both.

  Which photographs are held out depends on their names alone, not on a run's seed: runs of several
  seeds are compared on the same ones. Of a mixture, each part is split.

  Args:
    config: `path`, `heldout_path`, `heldout_fraction`, `heldout_limit` and `embedded_crops` count.
      The paths are as in `open_source`.
    beside: as for `open_source`.

  Returns:
    The two sources; at most `heldout_limit` photographs are held out for looking at, evenly over
    all that are, or of each part as many as is its share in the mixture.

  Raises:
    ValueError: as `open_source` does; a part has too few images to hold some out.
  """
  weights, heldout_weights = None, None
  if config.path:
    parts = _located(_parse(config.path), config)
    train = [_with_beside(_open(part), part, beside) for part in parts]
    weights = _weights(parts)
  elif beside is not None:
    raise ValueError("Expected --data with --data.beside: nothing lies beside the embedded ones.")
  else:
    train = [photographs.build("train", crops=config.embedded_crops)]
  if config.heldout_path:
    parts = _located(_parse(config.heldout_path), config)
    heldout = [_with_beside(_open(part), part, beside) for part in parts]
    heldout_weights = _weights(parts)
  elif config.path:
    sides = [split_heldout(source, config.heldout_fraction) for source in train]
    train, heldout = [list(side) for side in zip(*sides)]
    heldout_weights = weights
  else:
    heldout = [photographs.build("heldout", crops=_EMBEDDED_HELDOUT)]
  heldout = _limited(heldout, heldout_weights, limit=config.heldout_limit)
  return concatenate(train, weights), concatenate(heldout)


@dataclasses.dataclass(frozen=True)
class _Part:
  """One part of a collection."""

  path: str
  weight: float | None


def _parse(spec: str) -> list[_Part]:
  """The parts of a collection's description."""
  parts = []
  for text in spec.split(";"):
    head, colon, tail = text.strip().partition(":")
    try:
      weight = float(head) if colon else None
    except ValueError:  # A path with a colon.
      weight = None
    path = (text if weight is None else tail).strip()
    if not path:
      raise ValueError(f"Expected [WEIGHT:]PATH, with ';' between several. Received: {spec!r}")
    if weight is not None and not 0 < weight < math.inf:
      raise ValueError(f"Expected weights above 0. Received: {text.strip()!r}")
    parts.append(_Part(path, weight))
  without = [part.path for part in parts if part.weight is None]
  if without and len(without) < len(parts):
    raise ValueError(f"Expected a weight for every part or for none. {without[0]} has none.")
  paths = [os.path.expanduser(part.path).rstrip("/") for part in parts]
  for part, path in zip(parts, paths):
    if paths.count(path) > 1:
      raise ValueError(f"Expected every part once; {part.path} comes twice. Give it a weight.")
  return parts


def _located(parts: Sequence[_Part], config: DataConfig) -> list[_Part]:
  """The parts; with absolute paths where a service reads them, which runs in another folder."""
  if not config.service:
    return list(parts)
  return [
    part
    if "://" in part.path or part.path.startswith(tfds_source.PREFIX)
    else dataclasses.replace(part, path=os.path.abspath(os.path.expanduser(part.path)))
    for part in parts
  ]


def _weights(parts: Sequence[_Part]) -> list[float] | None:
  weights = [part.weight for part in parts if part.weight is not None]
  return weights or None


def _open(part: _Part, *, labels: bool = False) -> Source:
  path = part.path
  if path.startswith(tfds_source.PREFIX):
    return tfds_source.build(path, labels=labels)
  if _is_folder(path):
    return records.build(path, labels=labels) if _holds_records(path) else files.build(path)
  if records.is_record_file(path):
    return records.build(path, labels=labels)
  if archives.is_archive(path):
    return archives.build(path)
  if path.lower().endswith(".txt"):
    return lists.build(path)
  return files.build(path)


def _with_beside(source: Source, part: _Part, beside: Beside | None) -> Source:
  """The source, and what lies beside its images."""
  if beside is None:
    return source
  if not _is_files(part.path):
    raise ValueError(
      "Expected a folder, a glob or a list of image files with --data.beside. "
      f"Received: {part.path}"
    )
  description = f"{source.description}, each with {beside.pattern}"
  return dataclasses.replace(source, beside=beside, description=description)


def _is_files(path: str) -> bool:
  """Whether a part is of image files, whose names are paths."""
  if _is_folder(path):
    return not _holds_records(path)
  others = path.startswith(tfds_source.PREFIX), records.is_record_file(path)
  return not any((*others, archives.is_archive(path)))


def _is_folder(path: str) -> bool:
  try:
    return bool(tf.io.gfile.isdir(os.path.expanduser(path)))
  except tf.errors.OpError:
    return False  # Whoever opens it says why.


def _holds_records(folder: str) -> bool:
  folder = os.path.expanduser(folder)
  try:
    if manifest_lib.exists(folder):
      return True
    names = [name for name in tf.io.gfile.listdir(folder) if not name.startswith(".")]
  except (tf.errors.OpError, UnicodeDecodeError):
    return False  # Whoever opens it says why.
  others = [name for name in names if not records.is_record_file(name)]
  return len(others) < len(names) and not any(
    name.lower().endswith(files.EXTENSIONS) or tf.io.gfile.isdir(tf.io.gfile.join(folder, name))
    for name in others
  )


def _limited(
  sources: Sequence[Source], weights: Sequence[float] | None, *, limit: int
) -> list[Source]:
  """At most `limit` images of sources, evenly; of each its share where there are weights."""
  counts = np.array([len(source) for source in sources])
  shares = counts if weights is None else np.array(weights)
  limit = min(limit, int(counts.sum()))
  # Rounded so that they sum up to the limit.
  ends = np.round(np.cumsum(shares) / shares.sum() * limit).astype(int)
  chosen = np.minimum(np.diff(ends, prepend=0), counts)
  limited = []
  for source, count in zip(sources, chosen.tolist()):
    if count == len(source):
      limited.append(source)
    elif count:
      indices = np.linspace(0, len(source) - 1, count).astype(np.int64)
      limited.append(source.subset(indices, f"{count:,} of {source.description}"))
  return limited
