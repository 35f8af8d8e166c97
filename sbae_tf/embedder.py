"""Photographs of a source to a folder of embeddings."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import itertools
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.config import Json
from sbae_tf.data import pipeline
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.source import Source
from sbae_tf.embedding_folder import EmbeddingFolder
from sbae_tf.embedding_formats import Rows
from sbae_tf.embedding_manifest import Manifest, Settings, SkippedPhotograph
from sbae_tf.failures import RunError
from sbae_tf.feature_extractor import FeatureExtractor
from sbae_tf.progress_line import ProgressLine

_Features = Mapping[str, np.ndarray]


def describe(
  source: Source,
  extractor: FeatureExtractor,
  *,
  data: str,
  labels: bool,
  max_pixels: int,
  format: str,
  shard_size: int,
) -> Manifest:
  """What a folder of embeddings will hold.

  Args:
    source: the photographs.
    extractor: what makes features of them.
    data: as `open_source` took it.
    labels: whether labels are kept.
    max_pixels: photographs with more are left out.
    format: of the files, a key of `FORMATS`.
    shard_size: photographs of a shard, at most.

  Returns:
    The manifest, without shards.

  Raises:
    ValueError: labels shall be kept, and there are none.
  """
  if labels and source.labels is None:
    raise ValueError(f"Expected labels in {source.description}: it has none. Leave out --labels.")
  labels_sha256 = ""
  if labels and source.labels is not None:
    labels_sha256 = _sha256([source.labels.astype("<i4").tobytes(), *_encoded(source.class_names)])
  settings = Settings(
    data=data,
    photographs=len(source),
    names_sha256=_sha256(_encoded(source.identity)),
    labels_sha256=labels_sha256,
    max_pixels=max_pixels,
    encoder_sha256=extractor.checksum,
    signature=extractor.signature,
    image_size=extractor.image_size,
    features=extractor.shapes,
    maps=extractor.maps,
    dtype=extractor.dtype,
    format=format,
    shard_size=shard_size,
  )
  # By name, for an import statement would be a circle: the package's own module leads to others.
  package = importlib.import_module("sbae_tf")
  about: dict[str, Json] = {
    "encoder": extractor.path,
    "source": source.description,
    "versions": {
      "sbae_tf": package.__version__,
      "tensorflow": tf.__version__,
      "numpy": np.__version__,
      "python": platform.python_version(),
    },
  }
  return Manifest(settings, about, class_names=source.class_names if labels else ())


def embed(
  source: Source,
  extractor: FeatureExtractor,
  folder: EmbeddingFolder,
  *,
  batch_size: int,
  max_skipped: float,
  check: Callable[[], None] = lambda: None,
  seconds: float = 5.0,
) -> None:
  """Writes the shards that a folder lacks.

  Decoding, the encoder and writing overlap: while the device computes, later photographs are
  decoded, and the features before are written.

  Args:
    source: the photographs.
    extractor: what makes features of them.
    folder: begun, and locked.
    batch_size: photographs that the encoder sees at a time.
    max_skipped: the fraction of the photographs that may be left out, in [0, 1].
    check: called after every batch; an error that it raises ends the work.
    seconds: between two lines about the progress.

  Raises:
    TooManySkippedError: more cannot be read.
    RunError: a feature is not finite; or a file cannot be written.
  """
  settings, missing = folder.manifest.settings, folder.missing()
  ledger = Skipped(len(source), limit=max_skipped, file=folder.skipped, flag="--max_skipped")
  for known in folder.manifest.skipped:
    ledger.add(known.name, known.reason, known.detail)  # Of an earlier run; they count.
  if not missing:
    return
  numbers = np.concatenate([settings.range(number) for number in missing]).astype(np.int64)
  before = len(source) - len(numbers)
  progress = ProgressLine(len(source), before, ledger, seconds=seconds)
  names = _Names(source.names)
  pieces = _Pieces(
    _features(source, numbers, extractor, batch_size, ledger, max_pixels=settings.max_pixels)
  )
  for number in missing:
    place = settings.range(number)
    written = [np.zeros(0, np.int64)]
    skipped: list[SkippedPhotograph] = []
    with folder.writing(number, skipped) as shard:
      for index, features in pieces.until(place.stop):
        kept = (
          source.labels[index] if settings.labels_sha256 and source.labels is not None else None
        )
        shard.write(_checked(Rows(names.of(index), kept, features)))
        written.append(index)
        progress.add(len(index))
        check()
      left_out = np.setdiff1d(np.array(place, np.int64), np.concatenate(written))
      skipped += _skipped(source, left_out, ledger)
      progress.add(len(left_out))
  progress.end()


def _features(
  source: Source,
  numbers: np.ndarray,
  extractor: FeatureExtractor,
  batch_size: int,
  ledger: Skipped,
  *,
  max_pixels: int,
) -> Iterator[tuple[np.ndarray, _Features]]:
  """Numbers of photographs, (B,) int64 of those asked for that can be read; and their features."""
  part = dataclasses.replace(source, shares=()).subset(numbers, source.description)
  dataset = pipeline.evaluation_dataset(
    part,
    batch_size=batch_size,
    image_size=extractor.image_size,
    skipped=ledger,
    max_pixels=max_pixels,
  )
  batches = iter(dataset)
  before: tuple[tf.Tensor, Mapping[str, tf.Tensor]] | None = None
  while True:
    with _reading(ledger):
      batch = next(batches, None)
    # One behind: an accelerator computes while what it gave before is fetched and written.
    now = None if batch is None else (batch["index"], extractor(batch["image"]))
    if before is not None:
      index, features = before
      yield numbers[index.numpy()], {name: value.numpy() for name, value in features.items()}
    if now is None:
      return
    before = now


class _Pieces:
  """Batches, cut where a shard ends."""

  def __init__(self, batches: Iterator[tuple[np.ndarray, _Features]]) -> None:
    self._batches = batches
    self._rest: tuple[np.ndarray, _Features] | None = None

  def until(self, end: int) -> Iterator[tuple[np.ndarray, _Features]]:
    """What comes of the photographs before number `end`; the rest stays for the next call."""
    while True:
      piece = next(self._batches, None) if self._rest is None else self._rest
      if piece is None:
        return
      index, features = piece
      cut = int(np.searchsorted(index, end))
      self._rest = None
      if cut < len(index):
        self._rest = index[cut:], {name: value[cut:] for name, value in features.items()}
      if cut:
        yield index[:cut], {name: value[:cut] for name, value in features.items()}
      if self._rest is not None:
        return


class _Names:
  """Names by numbers that only rise: several times as fast as one name after the other."""

  def __init__(self, names: Sequence[str]) -> None:
    self._names, self._next = enumerate(names), 0

  def of(self, index: np.ndarray) -> list[str]:
    """Those at (B,) int64 numbers, all larger than any before."""
    wanted = set(index.tolist())
    upto = itertools.islice(self._names, int(index[-1]) + 1 - self._next)
    self._next = int(index[-1]) + 1
    return [name for number, name in upto if number in wanted]


def _checked(rows: Rows) -> Rows:
  for feature, values in rows.features.items():
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
      advice = "Give --dtype=float32" if values.dtype == np.float16 else "Train the encoder again"
      raise RunError(
        f"Feature '{feature}' of {rows.names[int(np.argmin(finite))]} is not finite in "
        f"{values.dtype}. {advice}, or leave the feature out."
      )
  return rows


def _skipped(source: Source, index: np.ndarray, ledger: Skipped) -> list[SkippedPhotograph]:
  entries = ledger.entries
  found = []
  for i in index.tolist():
    name = " ".join(source.names[i].split())  # As the ledger has it.
    found.append(SkippedPhotograph(i, name, *entries[name]))
  return found


@contextlib.contextmanager
def _reading(ledger: Skipped) -> Iterator[None]:
  """Raises `TooManySkippedError` where a block ends by it, also within `tf.data`."""
  try:
    yield
  except tf.errors.OpError as error:
    ledger.check()
    raise error


def _sha256(pieces: Iterable[bytes]) -> str:
  digest = hashlib.sha256()
  for piece in pieces:
    digest.update(piece + b"\0")
  return digest.hexdigest()


def _encoded(names: Iterable[str]) -> Iterator[bytes]:
  return (name.encode() for name in names)
