"""Reads the headers of encoded images, many at a time, before any of them is decoded.

In TensorFlow's own ops, so that it runs in a `tf.data` graph, on any thread, in any process:
`tf.io.extract_jpeg_shape` knows nothing of EXIF, and tensorflow-io's `decode_jpeg_exif` is in a
native library that does not load on TensorFlow 2.21.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

_WINDOW = 16  # Bytes of a marker segment that are looked at.
_EXIF_WINDOW = 512  # Bytes of an EXIF block in which the orientation stands: its first directory.
_PNG_WINDOW = 16_384  # Bytes in which what stands before the pixels is looked for.
_SEGMENTS = 32  # Marker segments before the frame's; cameras write ten, Photoshop twenty.

JPEG, PNG, OTHER = 1, 2, 0

# What a JPEG marker means to a reader of headers. The frame header ends the search; so do the end
# of the image and the pixels, without one.
_SEGMENT, _APP1, _FILL, _FRAME, _ENDS = range(5)
_ROLES = np.full(256, _SEGMENT, np.int32)
_ROLES[0xE1] = _APP1
_ROLES[0xFF] = _FILL  # May stand before any marker.
_ROLES[0xC0:0xD0] = _FRAME
_ROLES[[0xC4, 0xC8, 0xCC]] = _SEGMENT  # Tables, though numbered among the frames.
_ROLES[[0xD9, 0xDA]] = _ENDS
_EXIF = np.frombuffer(b"Exif", np.uint8).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class Header:
  """What stands in the headers of M images.

  Attributes:
    format: (M,) int32, `JPEG`, `PNG` or `OTHER`: a format, or a kind of JPEG or PNG, that
      TensorFlow's decoders lack or read otherwise than it is meant.
    height: (M,) int32, of the pixels as stored; 0 where the format is `OTHER`.
    width: (M,) int32.
    orientation: (M,) int32, 1 to 8 as in EXIF; 1 is upright.
    whole: (M,) bool: the last bytes are the format's end mark. False where something follows it,
      too, which some cameras do.
  """

  format: tf.Tensor
  height: tf.Tensor
  width: tf.Tensor
  orientation: tf.Tensor
  whole: tf.Tensor


def read_headers(encoded: tf.Tensor) -> Header:
  """Reads headers.

  Args:
    encoded: (M,) string, whole files.

  Returns:
    Their headers. Never fails: what is broken is `OTHER`.
  """
  start = _bytes_at(encoded, tf.zeros_like(encoded, tf.int32), 32)
  is_jpeg = _equal(start, (0xFF, 0xD8, 0xFF))
  is_png = _equal(start, (0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A))
  jpeg = _read_jpeg(encoded, is_jpeg)
  png = _read_png(encoded, start, is_png)
  # A JPEG or PNG that is not read here, such as one of four channels, is left to others.
  format_ = tf.where(jpeg.format == JPEG, JPEG, tf.where(png.format == PNG, PNG, OTHER))

  def choose(jpeg: tf.Tensor, png: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.where(format_ == JPEG, jpeg, tf.where(format_ == PNG, png, other))

  return Header(
    format=format_,
    height=choose(jpeg.height, png.height, 0),
    width=choose(jpeg.width, png.width, 0),
    orientation=choose(jpeg.orientation, png.orientation, 1),
    whole=choose(jpeg.whole, png.whole, False),
  )


def _read_jpeg(encoded: tf.Tensor, is_jpeg: tf.Tensor) -> Header:
  """Goes from marker to marker up to the frame header, of all images at once."""
  none = tf.zeros_like(is_jpeg, tf.int32)
  last = tf.strings.length(encoded)
  window = tf.fill(tf.shape(none), 8)

  # Few ops: each costs as much as decoding many pixels.
  def step(
    place: tf.Tensor, going: tf.Tensor, exif: tf.Tensor, frame: tf.Tensor
  ) -> tuple[tf.Tensor, ...]:
    segment = tf.strings.substr(encoded, tf.minimum(place, last), window)
    segment = tf.cast(tf.io.decode_raw(segment, tf.uint8, fixed_length=8), tf.int32)
    lead, marker, high, low, *name = tf.unstack(segment, axis=1)
    role = tf.where(going & (lead == 0xFF), tf.gather(_ROLES, marker), _ENDS)
    is_exif = (role == _APP1) & tf.reduce_all(tf.stack(name, 1) == _EXIF, axis=1) & (exif == 0)
    forward = tf.where(role == _FILL, 1, 2 + 256 * high + low)
    return (
      place + forward,
      role < _FRAME,
      tf.where(is_exif, place + 10, exif),
      tf.where(role == _FRAME, place, frame),
    )

  _, _, exif, frame = tf.while_loop(
    lambda place, going, exif, frame: tf.reduce_any(going),
    step,
    (none + 2, is_jpeg, none, none),
    maximum_iterations=_SEGMENTS,
    parallel_iterations=1,
  )
  header = _bytes_at(encoded, frame, _WINDOW)
  kind, bits, channels = header[:, 1], header[:, 4], header[:, 9]
  # Baseline, extended and progressive, Huffman coded; gray and color, not CMYK.
  known = (kind >= 0xC0) & (kind <= 0xC2) & (bits == 8) & ((channels == 1) | (channels == 3))
  end = _bytes_at(encoded, tf.maximum(tf.strings.length(encoded) - 2, 0), 2)
  return Header(
    format=tf.where(is_jpeg & (frame > 0) & known, JPEG, OTHER),
    height=_number(header[:, 5:7], big=True),
    width=_number(header[:, 7:9], big=True),
    orientation=tf.cond(
      tf.reduce_any(exif > 0), lambda: _orientation(encoded, exif), lambda: tf.ones_like(exif)
    ),
    whole=_equal(end, (0xFF, 0xD9)),
  )


def _orientation(encoded: tf.Tensor, exif: tf.Tensor) -> tf.Tensor:
  """(M,) int32: tag 0x0112 of the first directory of a TIFF header at `exif`; 1 where not valid."""
  head = _bytes_at(encoded, exif, 8)
  big = _equal(head, (0x4D, 0x4D, 0, 42))
  valid = (exif > 0) & (big | _equal(head, (0x49, 0x49, 42, 0)))
  offset = tf.where(valid, _number_of(head[:, 4:8], big), 0)
  valid &= (offset >= 8) & (offset < 65_536)
  directory = _bytes_at(encoded, exif + tf.where(valid, offset, 0), 2 + _EXIF_WINDOW // 12 * 12)
  entries = tf.reshape(directory[:, 2:], (-1, _EXIF_WINDOW // 12, 12))
  count = _number_of(directory[:, :2], big)
  big = big[:, tf.newaxis]
  ours = _number_of(entries[:, :, :2], big) == 0x0112
  ours &= _number_of(entries[:, :, 2:4], big) == 3  # A short.
  ours &= tf.range(_EXIF_WINDOW // 12)[tf.newaxis] < count[:, tf.newaxis]
  value = tf.reduce_max(tf.where(ours, _number_of(entries[:, :, 8:10], big), 0), axis=1)
  return tf.where(valid & (value >= 1) & (value <= 8), value, 1)


def _read_png(encoded: tf.Tensor, start: tf.Tensor, is_png: tf.Tensor) -> Header:
  """8 bits or fewer without any transparency; the others are left to a decoder that composites."""
  depth, color_type = start[:, 24], start[:, 25]
  known = is_png & _equal(start[:, 12:], (0x49, 0x48, 0x44, 0x52)) & (depth <= 8)
  known &= (color_type == 0) | (color_type == 2) | (color_type == 3)
  # A transparent color or an orientation stand before the pixels, and a palette may too. So may a
  # long color profile; where the pixels do not begin within the window, nobody knows.
  text = tf.strings.substr(
    encoded,
    tf.zeros_like(depth),
    tf.where(known, _PNG_WINDOW, 0),  # Not of other formats: slow.
  )
  known &= tf.strings.regex_full_match(text, r"(?s)\C*IDAT\C*")
  known &= ~tf.strings.regex_full_match(text, r"(?s)\C*(tRNS|eXIf)\C*")
  end = _bytes_at(encoded, tf.maximum(tf.strings.length(encoded) - 8, 0), 4)
  return Header(
    format=tf.where(known, PNG, OTHER),
    height=_number(start[:, 20:24], big=True),
    width=_number(start[:, 16:20], big=True),
    orientation=tf.ones_like(depth),
    whole=_equal(end, (0x49, 0x45, 0x4E, 0x44)),
  )


def _bytes_at(encoded: tf.Tensor, place: tf.Tensor, count: int) -> tf.Tensor:
  """(M, count) int32: bytes from a place on, zeros after the end."""
  # A place past the end is an error to `substr`; a zero place reads what cannot be meant.
  place = tf.minimum(place, tf.strings.length(encoded))
  text = tf.strings.substr(encoded, place, tf.fill(tf.shape(place), count))
  return tf.cast(tf.io.decode_raw(text, tf.uint8, fixed_length=count), tf.int32)


def _number(digits: tf.Tensor, *, big: bool) -> tf.Tensor:
  """(..., n) bytes to (...) int32."""
  count = digits.shape[-1]
  powers = [256**i for i in range(count)]
  factors = tf.constant(powers[::-1] if big else powers, tf.int64)
  value = tf.reduce_sum(tf.cast(digits, tf.int64) * factors, axis=-1)
  return tf.cast(tf.minimum(value, 2**31 - 1), tf.int32)


def _number_of(digits: tf.Tensor, big: tf.Tensor) -> tf.Tensor:
  """(..., n) bytes to (...) int32, in the byte order that `big` says of each."""
  return tf.where(big, _number(digits, big=True), _number(digits, big=False))


def _equal(start: tf.Tensor, expected: tuple[int, ...]) -> tf.Tensor:
  """(M,) bool: whether rows of bytes begin with those."""
  return tf.reduce_all(start[:, : len(expected)] == tf.constant(expected), axis=1)
