"""What lies beside photographs: files of bands that are registered to them, pixel by pixel."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sbae_tf.data import band_decoder, pillow_decoder
from sbae_tf.data.unreadable import UnreadableImage


@dataclasses.dataclass(frozen=True)
class Beside:
  """Where bands lie, and what is made of them.

  Attributes:
    pattern: the files' paths, from the folder of the photograph, with ';' between several; in it
      `{stem}` is the name of the photograph without its extension, `{name}` the name with it, and
      `{folder}` the name of its folder.
    planes: P, the planes of 8 bits that `levels` makes.
    levels: from the bands of all files, (H, W, N) of the type stored, to (H, W, P) uint8, 0 where
      there is no value. Raises ValueError for bands that it does not take.
  """

  pattern: str
  planes: int
  levels: Callable[[np.ndarray], np.ndarray]

  def paths(self, photograph: str) -> list[str]:
    """The files that lie beside a photograph, by its path."""
    folder, _, name = photograph.rpartition("/")
    values = {
      "{stem}": os.path.splitext(name)[0],
      "{name}": name,
      "{folder}": folder.rpartition("/")[2],
    }
    paths = []
    for path in self.pattern.split(";"):
      path = path.strip()
      for placeholder, value in values.items():
        path = path.replace(placeholder, value)
      paths.append(_from_folder(folder, path))
    return paths

  def decode(self, photograph: str, encoded: bytes, *, max_pixels: int) -> np.ndarray:
    """Decodes a photograph and what lies beside it.

    Both are upright: turned as EXIF says, where all files say the same.

    Args:
      photograph: its path.
      encoded: its bytes.
      max_pixels: files of more are not read.

    Returns:
      (H, W, 3 + P) uint8, H x W of the photograph. Bands of another size are sampled, each pixel
      that of theirs in which its middle lies.

    Raises:
      UnreadableImage: one of them cannot be read, or they do not fit together.
    """
    pixels = pillow_decoder.decode(encoded, max_pixels=max_pixels)
    turned = pillow_decoder.orientation(encoded)
    bands: list[np.ndarray] = []
    for path in self.paths(photograph):
      values = _read(path, turned, max_pixels=max_pixels)
      like = bands[0] if bands else values
      bands.append(_sampled(values, like.shape[0], like.shape[1], path))
    try:
      levels = self.levels(np.concatenate(bands, axis=2))
    except ValueError as error:
      raise UnreadableImage("unmatched", f"{path}: {error}") from error
    levels = _sampled(levels, pixels.shape[0], pixels.shape[1], path)
    return np.concatenate([pixels, levels], axis=2)


def _from_folder(folder: str, path: str) -> str:
  """A path as seen from a folder, which may be that of another machine."""
  path = os.path.expanduser(path)
  if path.startswith("/") or "://" in path or not folder:
    return path
  scheme, separator, rest = folder.rpartition("://")
  # Those have no `..`; folders here have, and links among them.
  joined = f"{rest}/{path}"
  return scheme + separator + (posixpath.normpath(joined) if separator else joined)


def _read(path: str, turned: int, *, max_pixels: int) -> np.ndarray:
  """(H, W, N) of a file; `turned` is the EXIF orientation of its photograph."""
  try:
    with tf.io.gfile.GFile(path, "rb") as file:
      encoded = file.read()
    values = band_decoder.decode(encoded, max_pixels=max_pixels)
  except tf.errors.OpError as error:
    raise UnreadableImage("missing", str(error.message)) from error
  except UnreadableImage as error:
    raise UnreadableImage(error.reason, f"{path}: {error.detail}") from error
  own = pillow_decoder.orientation(encoded)
  if own != turned:
    raise UnreadableImage(
      "unmatched",
      f"{path}: EXIF turns it by orientation {own}, and the photograph by {turned}. "
      "Save both upright",
    )
  return values


def _sampled(values: np.ndarray, height: int, width: int, path: str) -> np.ndarray:
  """(h, w, C) to (height, width, C): what lies nearest."""
  h, w = values.shape[:2]
  if (h, w) == (height, width):
    return values
  # Both scaled to the larger: sides are whole pixels.
  if abs(h * width - w * height) > max(h, w, height, width):
    raise UnreadableImage("unmatched", f"{path}: {w} x {h} is no scale of {width} x {height}")
  rows, columns = (
    ((np.arange(new) + 0.5) * old / new).astype(int) for old, new in ((h, height), (w, width))
  )
  return values[rows[:, np.newaxis], columns]
