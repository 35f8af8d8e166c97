"""Decodes what no photograph holds: bands of any type, as NumPy arrays, TIFF or PNG store them."""

from __future__ import annotations

import io
import math

import numpy as np

from sbae_tf.data import pillow_decoder
from sbae_tf.data.unreadable import UnreadableImage

_NPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 274  # TIFF's tag.


def decode(encoded: bytes, *, max_pixels: int) -> np.ndarray:
  """Decodes a file of bands, each as it is stored: nothing is scaled, composited or turned.

  Args:
    encoded: a whole file. The format is told from it: NPY, (H, W) or (H, W, N); TIFF, of which the
      bands are samples or pages; or a picture of one that Pillow reads, such as PNG of 16 bits.
    max_pixels: the largest height times width, checked before memory for pixels is taken.

  Returns:
    (H, W, N) integers or floats of the type in the file.

  Raises:
    UnreadableImage: it cannot be decoded.
  """
  if not encoded:
    raise UnreadableImage("empty", "No bytes")
  try:
    if encoded.startswith(_NPY):
      values = _read_npy(encoded, max_pixels)
    elif encoded.startswith(_TIFF):
      values = _read_tiff(encoded, max_pixels)
    else:
      values = pillow_decoder.decode_bands(encoded, max_pixels=max_pixels)
  except UnreadableImage:
    raise
  # Of broken files the readers raise ValueError, struct.error, OSError, KeyError, MemoryError ...
  except Exception as error:
    raise UnreadableImage("corrupt", str(error) or type(error).__name__) from error
  if values.dtype.kind not in "uif" or values.ndim not in (2, 3) or not values.size:
    raise UnreadableImage(
      "corrupt", f"Expected (H, W) or (H, W, N) numbers, not {values.shape} {values.dtype}"
    )
  return values.reshape(*values.shape[:2], -1)


def _check_pixels(height: int, width: int, max_pixels: int) -> None:
  if height * width > max_pixels:
    raise UnreadableImage("too_large", f"{width} x {height} is more than {max_pixels} pixels")


def _read_npy(encoded: bytes, max_pixels: int) -> np.ndarray:
  stream = io.BytesIO(encoded)
  version = np.lib.format.read_magic(stream)
  read_header = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }[version]
  shape, _, dtype = read_header(stream)
  if len(shape) >= 2:
    _check_pixels(shape[0], shape[1], max_pixels)
  if len(encoded) - stream.tell() < math.prod(shape) * dtype.itemsize:
    raise UnreadableImage("truncated", f"{len(encoded)} bytes are too few for {shape} {dtype}")
  stream.seek(0)
  return np.load(stream, allow_pickle=False)


def _read_tiff(encoded: bytes, max_pixels: int) -> np.ndarray:
  import tifffile  # Here, for it takes a third of a second.

  try:
    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
      series = file.series[0]
      places = series.axes.index("Y"), series.axes.index("X")
      height, width = (series.shape[place] for place in places)
      _check_pixels(height, width, max_pixels)
      if file.pages.first.tags.valueof(_ORIENTATION, 1) != 1:
        raise UnreadableImage("corrupt", "It is turned by a tag. Save it upright")
      values = np.moveaxis(series.asarray(), places, (0, 1))
  except UnreadableImage:
    raise
  except ValueError as error:
    try:  # LZW and others need a package that is not everywhere; Pillow's library has them.
      return pillow_decoder.decode_bands(encoded, max_pixels=max_pixels)
    except UnreadableImage:
      raise UnreadableImage("corrupt", f"{error}. Save it without compression") from error
  return values.reshape(*values.shape[:2], -1)
