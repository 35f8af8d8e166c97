"""Pillow's decoder, for images that TensorFlow's own decoders lack or refuse.

Slower than those, and right about more: WebP, TIFF, GIF, BMP, CMYK, 16 bits, palettes, transparency
and orientation. It knows nothing of TensorFlow, so that any process and any thread may call it; no
state of Pillow's that others share is changed.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator

import numpy as np
from PIL import (
  AvifImagePlugin,
  BmpImagePlugin,
  ExifTags,
  GifImagePlugin,
  Image,
  ImageFile,
  ImageOps,
  Jpeg2KImagePlugin,
  JpegImagePlugin,
  PngImagePlugin,
  PpmImagePlugin,
  TiffImagePlugin,
  WebPImagePlugin,
)

from sbae_tf.data.unreadable import UnreadableImage

# The formats that photographs come in. Pillow has forty more, among them EPS, which runs
# Ghostscript. An MPO (several JPEGs one after the other) is read as the JPEG that it starts with.
_FORMATS: dict[str, type[ImageFile.ImageFile]] = {
  "JPEG": JpegImagePlugin.JpegImageFile,
  "PNG": PngImagePlugin.PngImageFile,
  "WEBP": WebPImagePlugin.WebPImageFile,
  "GIF": GifImagePlugin.GifImageFile,
  "BMP": BmpImagePlugin.BmpImageFile,
  "TIFF": TiffImagePlugin.TiffImageFile,
  "PPM": PpmImagePlugin.PpmImageFile,
  "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
  "AVIF": AvifImagePlugin.AvifImageFile,
}

_PREFIX = 16  # Bytes that Pillow's plugins tell their format by.


def decode(encoded: bytes, *, max_pixels: int) -> np.ndarray:
  """Decodes an image to upright RGB.

  - Turned as its EXIF (or XMP) orientation says; left as it is where that cannot be read.
  - Of an animation or of several pages, the first.
  - Transparency, also that of a palette or of a single color, is laid over white: what is cut out
    is meant for a page, mostly white, and the colors below transparent pixels are leftovers that
    nobody was meant to see.
  - 16-bit gray is scaled from 65535 to 255, and float gray from 1 to 255; Pillow's own conversion
    clips both at 255. Where the values leave that range, as those of measurements do, the lowest
    becomes 0 and the highest 255; NaN becomes 0.
  - CMYK and the rest by Pillow's formulas. Color profiles are not applied.

  Args:
    encoded: the image's bytes. The format is told from them: JPEG (and MPO), PNG, WebP, GIF, BMP,
      TIFF, PPM (and PGM, PBM, PFM), JPEG 2000, or AVIF.
    max_pixels: the largest width times height, checked before memory for pixels is taken. It
      replaces Pillow's `Image.MAX_IMAGE_PIXELS`, which still holds for a GIF's frame that is larger
      than its screen and for a TIFF's tile.

  Returns:
    (H, W, 3) uint8, C-contiguous. Possibly read-only.

  Raises:
    UnreadableImage: it cannot be decoded. Its reason is any but "missing". What ends too early is
      refused and not filled up; it may be called "corrupt" where it is AVIF or JPEG 2000, whose
      libraries do not say.
    ValueError: `max_pixels` is less than 1.
  """
  if max_pixels < 1:
    raise ValueError(f"Expected `max_pixels` of at least 1. Received: {max_pixels}")
  with _opened(encoded, max_pixels) as image:
    _load_upright(image)
    return _to_rgb(image)


def decode_bands(encoded: bytes, *, max_pixels: int) -> np.ndarray:
  """Decodes an image to the numbers that it stores, upright.

  Args:
    encoded: as for `decode`.
    max_pixels: as for `decode`.

  Returns:
    (H, W) or (H, W, N), of 8 bits, of 16 or 32, or float32.

  Raises:
    UnreadableImage: it cannot be decoded, or not without a change: palettes, single bits, and
      colors of 16 bits.
  """
  with _opened(encoded, max_pixels) as image:
    # Told by how it is to be read; it is forgotten once it is.
    narrowed = len(image.getbands()) > 1 and ";16" in str(getattr(image, "tile", ""))
    if narrowed or image.mode in ("1", "P", "PA"):
      what = "16 bits of several bands" if narrowed else f"mode {image.mode}"
      raise UnreadableImage("not_an_image", f"Pillow does not keep its numbers: {what}")
    _load_upright(image)
    return np.asarray(image)


def orientation(encoded: bytes) -> int:
  """How an image is to be turned: 1 to 8 as in EXIF, 1 (upright) where nothing valid says so."""
  try:
    with _identify(encoded)(io.BytesIO(encoded), None) as image:
      value = image.getexif().get(ExifTags.Base.Orientation, 1)
  except Exception:  # As when it is turned, whatever is wrong there.
    return 1
  return value if value in range(1, 9) else 1


def _load_upright(image: Image.Image) -> None:
  image.load()
  # In place the turn comes first: what may fail after it only rewrites the EXIF. Before it, EXIF is
  # whatever a camera, a phone or an editor has left there.
  with contextlib.suppress(Exception):
    ImageOps.exif_transpose(image, in_place=True)


@contextlib.contextmanager
def _opened(encoded: bytes, max_pixels: int) -> Iterator[Image.Image]:
  """An image whose header is read; what goes wrong in the block is an `UnreadableImage`."""
  if not encoded:
    raise UnreadableImage("empty", "No bytes")
  factory = _identify(encoded)
  stream = _Stream(encoded)
  try:
    with factory(stream, None) as image:
      width, height = image.size
      if width * height > max_pixels:
        raise UnreadableImage("too_large", f"{width} x {height} is more than {max_pixels} pixels")
      yield image
  except UnreadableImage:
    raise
  # Of broken files Pillow raises OSError, SyntaxError, ValueError, struct.error, zlib.error,
  # KeyError, and MemoryError where a wrong number in the file asks for too much.
  except Exception as error:
    message = str(error) or type(error).__name__
    raise UnreadableImage(_reason(error, stream), message) from error


class _Stream(io.BytesIO):
  """Bytes that know whether more were asked for than there are."""

  ran_out = False

  def read(self, size: int | None = -1, /) -> bytes:
    data = super().read(size)
    # Less than a block is part of a header; blocks are read ahead, and the last is never full.
    if size is not None and len(data) < size < ImageFile.MAXBLOCK:
      self.ran_out = True
    return data


def _identify(encoded: bytes) -> type[ImageFile.ImageFile]:
  """The class of the format that the first bytes are of.

  `Image.open` would warn and raise at a limit of its own, which is the process's and not the
  caller's, and would call a file whose header is cut off no image at all.
  """
  prefix = encoded[:_PREFIX]
  detail = f"Of no format that is read. Starts with {prefix!r}"
  for name, factory in _FORMATS.items():
    accept = Image.OPEN[name][1]
    accepted = accept is not None and accept(prefix)
    if isinstance(accepted, str):  # Pillow was built without it, and says so.
      detail = accepted
    elif accepted:
      return factory
  raise UnreadableImage("not_an_image", detail)


def _reason(error: Exception, stream: _Stream) -> str:
  """Why Pillow raised, one of `unreadable.REASONS`."""
  if isinstance(error, Image.DecompressionBombError):
    return "too_large"
  encoded = stream.getvalue()
  # WebP is read at once, and its error says nothing; its header has its length.
  webp = encoded[:4] == b"RIFF" and int.from_bytes(encoded[4:8], "little") + 8 > len(encoded)
  if stream.ran_out or webp or "truncated" in str(error).lower():
    return "truncated"
  # Two bytes are soon those of a format, as the "Py" of a text are those of a PPM.
  return "not_an_image" if re.match("not an? ", str(error), re.IGNORECASE) else "corrupt"


def _to_rgb(image: Image.Image) -> np.ndarray:
  """(H, W, 3) uint8 of a loaded image of any mode."""
  if image.mode == "F" or image.mode.startswith("I"):
    return _gray_to_rgb(image)
  if image.has_transparency_data:
    image = image.convert("RGBA")
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image)
    image = page
  return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _gray_to_rgb(image: Image.Image) -> np.ndarray:
  """(H, W, 3) uint8 of a loaded image of a mode of more than 8 bits: I;16, I, F, and variants."""
  values = np.asarray(image).astype(np.float32)
  transparent = values == image.info.get("transparency", np.nan)
  finite = values[np.isfinite(values)]
  low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
  top = 1.0 if image.mode == "F" else 65535.0
  if low >= 0.0 and high <= top:
    low, high = 0.0, top
  values = (values - low) * (255.0 / ((high - low) or 1.0))
  values = np.clip(np.nan_to_num(np.rint(values), nan=0.0), 0.0, 255.0)
  gray = np.where(transparent, 255, values).astype(np.uint8)
  return np.repeat(gray[..., np.newaxis], 3, axis=-1)
