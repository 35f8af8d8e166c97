"""Colorizes the photographs of a source into a folder."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import io
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent import futures
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from PIL import Image

from sbae_tf import runtime
from sbae_tf.colorization.colorized_folder import ColorizedFolder
from sbae_tf.colorization.grid import draw_grid
from sbae_tf.colorization.measured import Measured
from sbae_tf.colorization.photograph_colorizer import PhotographColorizer
from sbae_tf.config import Json
from sbae_tf.data import pillow_decoder
from sbae_tf.data.mend import pixels_of
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.source import Source
from sbae_tf.data.unreadable import UnreadableImage
from sbae_tf.model import PretrainModel
from sbae_tf.progress_line import ProgressLine
from sbae_tf.run_folder import write_aside
from sbae_tf.writing import writing

_T = TypeVar("_T")
_R = TypeVar("_R")

_THREADS = 16  # At most: each may hold a photograph of `max_pixels`.


@dataclasses.dataclass(frozen=True)
class Form:
  """How photographs are written.

  Attributes:
    format: `png` or `jpeg`.
    extension: of the files, with its dot.
    options: of Pillow, for the format.
  """

  format: str
  extension: str
  options: Mapping[str, int]

  def encode(self, rgb: np.ndarray) -> bytes:
    """Makes a file of a photograph, (H, W, 3) uint8 sRGB."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, self.format, **self.options)
    return file.getvalue()


# By the format's name: takes a quality from 1 to 100, which PNG does not need.
FORMS: Mapping[str, Callable[[int], Form]] = MappingProxyType(
  {
    "png": lambda _: Form("png", ".png", {"compress_level": 3}),
    # At full resolution of color, for color is what was made.
    "jpeg": lambda quality: Form("jpeg", ".jpg", {"quality": quality, "subsampling": 0}),
  }
)


def describe(
  source: Source, colorizer: PhotographColorizer, form: Form, *, data: str, max_pixels: int
) -> dict[str, Json]:
  """What decides how the photographs come out: the settings of a folder.

  Args:
    source: the photographs.
    colorizer: colorizes one.
    form: of the files.
    data: as `open_source` took it.
    max_pixels: photographs with more are left out.
  """
  return {
    "data": data,
    "photographs": len(source),
    "names_sha256": _sha256(name.encode() for name in source.names),
    "model_sha256": _checksum(colorizer.colorizer.model),
    "temperature": colorizer.colorizer.temperature,
    "image_size": colorizer.image_size,
    "format": form.format,
    **form.options,
    "max_pixels": max_pixels,
  }


def colorize(
  source: Source,
  colorizer: PhotographColorizer,
  folder: ColorizedFolder,
  form: Form,
  *,
  max_pixels: int,
  max_skipped: float,
  check: Callable[[], None] = lambda: None,
  seconds: float = 5.0,
) -> dict[str, Json]:
  """Writes the photographs that a folder lacks, and what was measured of all.

  Args:
    source: the photographs; each counts once, also of a mixture.
    colorizer: colorizes one.
    folder: begun, and locked.
    form: of the files.
    max_pixels: photographs with more are left out.
    max_skipped: the fraction of the photographs that may be left out, in [0, 1].
    check: called after every photograph; an error that it raises ends the work.
    seconds: between two lines about the progress.

  Returns:
    What `metrics.json` holds.

  Raises:
    TooManySkippedError: more cannot be read.
    ValueError: none can be read.
    WriteError: a file cannot be written.
  """
  ledger = Skipped(len(source), limit=max_skipped, file=folder.skipped, flag="--max_skipped")

  def one(index: int) -> Measured | UnreadableImage:
    try:
      pixels = pixels_of(source, index, max_pixels=max_pixels)
    except UnreadableImage as error:
      return error
    colorized = colorizer(pixels)
    return folder.write(index, colorized, form.encode(colorized.rgb))

  missing = folder.missing()
  progress = ProgressLine(len(source), len(source) - len(missing), ledger, seconds=seconds)
  threads = min(_THREADS, runtime.processors())
  with contextlib.closing(_in_order(one, missing, threads=threads)) as outcomes:
    for index, outcome in zip(missing, outcomes):
      if isinstance(outcome, Measured):
        folder.add(outcome)
      else:
        with writing(folder.skipped):
          ledger.add(source.names[index], outcome.reason, outcome.detail)
      progress.add(1)
      check()
  progress.end()
  if not folder.measured:
    raise ValueError(f"Expected photographs that can be read: {source.description}")
  return folder.finish(collections.Counter(reason for reason, _ in ledger.entries.values()))


def write_grid(
  source: Source,
  colorizer: PhotographColorizer,
  folder: ColorizedFolder,
  *,
  rows: int,
  max_pixels: int,
) -> None:
  """Draws the first photographs that are there, as `grid.png`.

  Args:
    source: the photographs.
    colorizer: takes color from originals.
    folder: with all photographs.
    rows: how many of them, at most.
    max_pixels: as for `colorize`.

  Raises:
    UnreadableImage: an original can no longer be read.
    WriteError: the picture cannot be written.
  """

  def shown() -> Iterator[tuple[Measured, np.ndarray, np.ndarray]]:
    for index in sorted(folder.measured)[:rows]:
      measured = folder.measured[index]
      encoded = (folder.photographs / measured.file).read_bytes()
      original = pixels_of(source, index, max_pixels=max_pixels)
      yield measured, original, pillow_decoder.decode(encoded, max_pixels=max_pixels)

  picture = io.BytesIO()
  draw_grid(shown(), colorizer.colorizer).save(picture, "PNG")
  with writing(folder.grid):
    write_aside(folder.grid, picture.getvalue())


def _in_order(
  function: Callable[[_T], _R], items: Iterable[_T], *, threads: int
) -> Generator[_R, None, None]:
  """What a function makes of items, in their order; some are computed ahead."""
  with futures.ThreadPoolExecutor(threads) as pool:
    ahead: collections.deque[futures.Future[_R]] = collections.deque()
    try:
      for item in items:
        ahead.append(pool.submit(function, item))
        if len(ahead) > 2 * threads:
          yield ahead.popleft().result()
      while ahead:
        yield ahead.popleft().result()
    finally:
      for future in ahead:
        future.cancel()


def _checksum(model: PretrainModel) -> str:
  variables = (np.ascontiguousarray(variable.numpy()).tobytes() for variable in model.variables)
  return _sha256(itertools.chain([str(model.config).encode()], variables))


def _sha256(pieces: Iterable[bytes]) -> str:
  digest = hashlib.sha256()
  for piece in pieces:
    digest.update(piece + b"\0")
  return digest.hexdigest()
