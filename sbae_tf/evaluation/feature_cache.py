"""Features of photographs, computed once and kept on disk."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from sbae_tf.data import pipeline
from sbae_tf.data.skipped import Skipped
from sbae_tf.evaluation.labelled import Labelled
from sbae_tf.evaluation.subject import Subject
from sbae_tf.failures import RunError
from sbae_tf.run_folder import write_aside
from sbae_tf.writing import writing

_VERSION = 1  # Of what is kept: to be raised where the same settings give other numbers.
_SHOWN = 10
_SECONDS = 10.0  # Between two lines about the progress.


def map_side(shape: Sequence[int], dimensions: int) -> int:
  """The side to which a map is resized: that whose size is nearest to the dimensions wanted.

  AlexNet's maps have 10 x 10 x 96 (conv1), 6 x 6 x 256 (conv2, conv5) and 5 x 5 x 384 (conv3,
  conv4) at 9,000, as in Zhang et al. 2017, arXiv:1611.09842.

  Args:
    shape: (h, w, C) of the map.
    dimensions: wanted, at least 1.

  Returns:
    s, at least 1 and at most h and w: a map is never enlarged.
  """
  height, width, channels = shape
  sides = range(1, max(1, min(height, width)) + 1)
  return min(sides, key=lambda side: abs(side * side * channels - dimensions))


class FeatureCache:
  """Flat features of a subject, by photographs and layer.

  Maps are resized bilinearly, and antialiased: every value of the map counts. Without antialiasing,
  logistic regression on a random SimpleNet (imagenette96) loses 2.4 points of accuracy on conv1
  (48 x 48 to 17 x 17) and 0.9 to 1.4 on conv3 (12 x 12 to 6 x 6).

  A file is kept for each layer and each collection of photographs, told apart by the subject's
  checksum, the names of the photographs and the settings: a part of a collection is best cut out of
  the features of the whole.
  """

  def __init__(
    self,
    subject: Subject,
    folder: pathlib.Path,
    *,
    batch_size: int = 256,
    max_pixels: int = pipeline.MAX_PIXELS,
    say: Callable[[str], None] = print,
  ) -> None:
    """Opens the cache.

    Args:
      subject: what computes the features.
      folder: of the files; made with the first one. Several processes may share it.
      batch_size: photographs that the subject sees at a time.
      max_pixels: a photograph with more cannot be read.
      say: tells the user a line about the progress.
    """
    self._subject, self._folder, self._batch_size = subject, pathlib.Path(folder), batch_size
    self._max_pixels, self._say = max_pixels, say
    self._digests: dict[int, tuple[Labelled, str]] = {}

  def get(self, data: Labelled, layer: str, *, dimensions: int) -> np.ndarray:
    """The features of a layer, computed unless they are there.

    Args:
      data: N photographs.
      layer: a key of the subject's `shapes`.
      dimensions: to about which maps are resized; vectors stay as they are.

    Returns:
      (N, D) float32, in the order of the photographs; memory-mapped, read-only.

    Raises:
      ValueError: the layer is unknown, or photographs cannot be read; names them.
      RunError: a feature is not finite, or a file cannot be written.
    """
    self.prepare(data, [layer], dimensions=dimensions)
    return np.load(self._file(data, layer, dimensions), mmap_mode="r")

  def prepare(self, data: Labelled, layers: Sequence[str], *, dimensions: int) -> None:
    """Computes those of the layers that are not there, in one pass over the photographs.

    Args:
      data: N photographs.
      layers: keys of the subject's `shapes`.
      dimensions: as for `get`.

    Raises:
      ValueError: as `get`, as for those that follow.
      RunError: as `get`.
    """
    shapes = self._subject.shapes
    unknown = [layer for layer in layers if layer not in shapes]
    if unknown:
      raise ValueError(
        f"Expected a layer of {', '.join(sorted(shapes))}. Received: {', '.join(unknown)}"
      )
    files = {layer: self._file(data, layer, dimensions) for layer in layers}
    if all(file.exists() for file in files.values()):
      return
    folder = next(iter(files.values())).parent
    with _locked(folder):  # Whoever waited may find what was missing.
      files = {layer: file for layer, file in files.items() if not file.exists()}
      if files:
        self._describe(folder, data)
        self._compute(data, files, dimensions)

  def _compute(self, data: Labelled, files: dict[str, pathlib.Path], dimensions: int) -> None:
    sides = {layer: self._side(layer, dimensions) for layer in files}
    sizes = {
      layer: self._subject.shapes[layer][-1] * (side * side if side else 1)
      for layer, side in sides.items()
    }
    progress = _Progress(len(data), ", ".join(files), self._say)
    with contextlib.ExitStack() as stack:
      writers = {
        layer: stack.enter_context(_writing(file, (len(data), sizes[layer])))
        for layer, file in files.items()
      }
      for index, features in self._batches(data, sides):
        for layer, values in features.items():
          _check_finite(values, layer, data, index)
          with writing(files[layer]):
            writers[layer].write(np.ascontiguousarray(values).data)
        progress.add(len(index))
    progress.end()

  def _batches(
    self, data: Labelled, sides: dict[str, int]
  ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Numbers of photographs, all in order, and their flat features."""

    @tf.function(autograph=False)
    def flat(images: tf.Tensor) -> dict[str, tf.Tensor]:
      named = self._subject.features(images)
      return {layer: _flatten(named[layer], side) for layer, side in sides.items()}

    ledger = Skipped(len(data), limit=1.0)
    dataset = pipeline.evaluation_dataset(
      dataclasses.replace(data.source, shares=()),
      batch_size=self._batch_size,
      image_size=self._subject.image_size,
      skipped=ledger,
      max_pixels=self._max_pixels,
    )
    before: tuple[tf.Tensor, dict[str, tf.Tensor]] | None = None
    for batch in dataset:
      _check_read(ledger)
      # One behind: an accelerator computes while what it gave before is fetched and written.
      now = batch["index"], flat(batch["image"])
      if before is not None:
        yield _fetched(before)
      before = now
    _check_read(ledger)
    if before is not None:
      yield _fetched(before)

  def _side(self, layer: str, dimensions: int) -> int:
    """Of the resized map; 0 for a vector."""
    shape = self._subject.shapes[layer]
    return map_side(shape, dimensions) if len(shape) == 3 else 0

  def _file(self, data: Labelled, layer: str, dimensions: int) -> pathlib.Path:
    known, digest = self._digests.get(id(data), (None, ""))
    if known is not data:
      digest = _digest(
        *(str(_VERSION), self._subject.checksum, str(self._subject.image_size)),
        *(str(self._max_pixels), *data.source.identity),
      )
      self._digests[id(data)] = data, digest  # Kept with it, for another may get its id.
    side = self._side(layer, dimensions)
    name = urllib.parse.quote(layer, safe="") + (f"-{side}x{side}" if side else "")
    return self._folder / digest / f"{name}.npy"

  def _describe(self, folder: pathlib.Path, data: Labelled) -> None:
    """For people who find the folder."""
    about = {"encoder": self._subject.name, "photographs": data.source.description}
    with writing(folder):
      write_aside(folder / "about.json", json.dumps(about, indent=2).encode())


class _Progress:
  """A line every few seconds, and one at the end."""

  def __init__(self, total: int, layers: str, say: Callable[[str], None]) -> None:
    self._total, self._layers, self._say, self._done = total, layers, say, 0
    self._start = self._told = time.monotonic()

  def add(self, count: int) -> None:
    self._done += count
    if time.monotonic() - self._told > _SECONDS:
      self._told = time.monotonic()
      self._say(f"Features of {self._done:,} of {self._total:,} photographs ({self._layers})")

  def end(self) -> None:
    seconds = time.monotonic() - self._start
    self._say(f"Features of {self._total:,} photographs ({self._layers}): {seconds:.1f} s")


def _flatten(values: tf.Tensor, side: int) -> tf.Tensor:
  """(B, D) float32 of (B, h, w, C) resized to (B, side, side, C), or of (B, C)."""
  values = tf.cast(values, tf.float32)
  if side and values.shape[1:3] != (side, side):
    values = tf.image.resize(values, (side, side), method="bilinear", antialias=True)
  return tf.reshape(values, (tf.shape(values)[0], -1))


def _fetched(
  before: tuple[tf.Tensor, dict[str, tf.Tensor]],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  index, features = before
  return index.numpy(), {layer: values.numpy() for layer, values in features.items()}


def _check_read(ledger: Skipped) -> None:
  entries = list(ledger.entries.items())
  if entries:
    shown = "; ".join(f"{name} ({reason}: {why})" for name, (reason, why) in entries[:_SHOWN])
    raise ValueError(
      f"Expected photographs that can be read. {len(entries):,} or more cannot. The first: {shown}"
    )


def _check_finite(values: np.ndarray, layer: str, data: Labelled, index: np.ndarray) -> None:
  finite = np.isfinite(values).all(axis=1)
  if not finite.all():
    name = data.source.names[int(index[int(np.argmin(finite))])]
    raise RunError(f"Feature '{layer}' of {name} is not finite. Train the encoder again.")


@contextlib.contextmanager
def _writing(file: pathlib.Path, shape: tuple[int, int]) -> Iterator[BinaryIO]:
  """Has a float32 array written row by row; whole under its own name, or absent.

  Not a memory-mapped one: there, a full disk ends the process without a word.
  """
  aside = file.with_name(f".{file.name}.aside")
  try:
    with contextlib.ExitStack() as stack:
      with writing(file):
        opened = stack.enter_context(aside.open("wb"))
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(opened, header)
      yield opened
      with writing(file):
        opened.flush()
        os.fsync(opened.fileno())
    with writing(file):
      os.replace(aside, file)
  finally:
    aside.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
  """Keeps a folder, which it makes, to this process; waits for another one."""
  with writing(folder):
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
  try:
    with contextlib.suppress(OSError):  # Some network file systems have no locks.
      fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
  finally:
    os.close(descriptor)


def _digest(*texts: str) -> str:
  digest = hashlib.sha256()
  for text in texts:
    digest.update(text.encode() + b"\0")
  return digest.hexdigest()[:32]
