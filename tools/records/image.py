"""One image: read, checked, and reduced where that is asked for."""

from __future__ import annotations

import dataclasses
import io

import tensorflow as tf
from PIL import Image

from sbae_tf.data import pillow_decoder
from sbae_tf.data.source import Source, first_line
from sbae_tf.data.unreadable import UnreadableImage

_FORMATS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG"}


@dataclasses.dataclass(frozen=True)
class Form:
  """What is written of an image.

  Attributes:
    max_pixels: an image with more is left out.
    shorter_side: every image becomes an upright JPEG, reduced where its shorter side is longer, in
      pixels; None: the bytes stay as they are.
    quality: of the JPEG, 1 to 100; None where the bytes stay.
  """

  max_pixels: int
  shorter_side: int | None = None
  quality: int | None = None


def threads_of(source: Source) -> int:
  """How many images of a source should be read at once: waiting for a network costs no core."""
  return 16 if source.remote else 2


def read_image(source: Source, index: int, form: Form) -> bytes:
  """Reads an image and decodes it, as a check.

  Args:
    source: N images.
    index: in [0, N).
    form: what is wanted of it.

  Returns:
    An encoded image.

  Raises:
    UnreadableImage: it is not there, or cannot be decoded to its end.
  """
  try:
    with tf.device("cpu:0"):
      encoded = source.read(tf.constant(index, tf.int64)).numpy()
  except tf.errors.OpError as error:
    raise UnreadableImage("missing", first_line(error)) from error
  pixels = pillow_decoder.decode(encoded, max_pixels=form.max_pixels)
  if form.shorter_side is None:
    return encoded
  image = Image.fromarray(pixels)
  scale = form.shorter_side / min(image.size)
  if scale < 1:
    width, height = (max(1, round(side * scale)) for side in image.size)
    # With the gap, a large one is first averaged to three times the size: much faster, same result
    # to the eye.
    image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
  stream = io.BytesIO()
  # Color in every pixel, and not in one of four: it is what is predicted.
  image.save(stream, "JPEG", quality=form.quality, subsampling="4:4:4", optimize=True)
  return stream.getvalue()


def format_of(encoded: bytes) -> str:
  """`JPEG` or `PNG`; empty for others."""
  return next((name for start, name in _FORMATS.items() if encoded.startswith(start)), "")
