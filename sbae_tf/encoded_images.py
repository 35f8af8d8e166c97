"""Encoded images to inputs in TensorFlow's own ops alone: what a SavedModel can hold.

`data.decode` reads JPEG and PNG, and leaves out what TensorFlow reads otherwise than it is meant.
In training Pillow takes over there. Here, where no Python is, TensorFlow's decoders do as far as
they can be made to agree with Pillow; the rest is an error, and never another picture.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from sbae_tf.data import augmentation
from sbae_tf.data.augmentation import Cut
from sbae_tf.data.decode import decode
from sbae_tf.data.inline_map import inline_map

KINDS = (
  "JPEG (gray or RGB), PNG (without an orientation in EXIF), BMP (24 or 32 bits, not compressed) "
  "and GIF (its first frame, if that is opaque and of full size)"
)

_START = 34  # Bytes in which a format's size and kind stand.


def decode_central(encoded: tf.Tensor, *, image_size: int, max_pixels: int) -> tf.Tensor:
  """Encoded images to inputs as evaluation makes them: the central square, upright, resized.

  JPEG are turned as EXIF says, transparent pixels of PNG lie on white.

  Args:
    encoded: (B,) string, whole files of the kinds in `KINDS`.
    image_size: S, the side of the inputs in pixels.
    max_pixels: the largest width times height that is decoded.

  Returns:
    (B, S, S, 3) uint8. The same as `data.pipeline.evaluation_dataset`'s, but for PNG of 16-bit
    gray: within one level.

  Raises:
    tf.errors.InvalidArgumentError: some cannot be read; gives their indices.
  """
  count = tf.size(encoded, tf.int64)

  def cut(slots: tf.Tensor, sizes: tf.Tensor, orientations: tf.Tensor, ratios: tf.Tensor) -> Cut:
    del slots
    return augmentation.central_cut(
      sizes, orientations, image_size=image_size, largest_ratio=ratios
    )

  images, ok = decode(
    *(tf.range(count), encoded),
    count=count,
    image_size=image_size,
    max_pixels=max_pixels,
    cut=cut,
  )

  def with_rare() -> tuple[tf.Tensor, tf.Tensor]:
    done, rare = _decode_rare(encoded, ok, image_size=image_size, max_pixels=max_pixels)
    return (
      tf.tensor_scatter_nd_update(images, done[:, tf.newaxis], rare),
      tf.tensor_scatter_nd_update(ok, done[:, tf.newaxis], tf.ones_like(done, tf.bool)),
    )

  images, ok = tf.cond(tf.reduce_all(ok), lambda: (images, ok), with_rare)
  check = tf.debugging.Assert(
    tf.reduce_all(ok),
    [
      f"Expected `encoded` to be whole {KINDS}, of at most {max_pixels} pixels. Convert others, "
      "such as WebP, TIFF and CMYK, with Pillow: "
      "Image.open(path).convert('RGB').save('photograph.png'). Not read are those at the indices",
      tf.where(~ok)[:, 0],  # Not their bytes: Python would fail to read the message as UTF-8.
    ],
    summarize=8,
  )
  with tf.control_dependencies([check] if check is not None else []):  # None when eager.
    return tf.ensure_shape(tf.identity(images), (None, image_size, image_size, 3))


def _decode_rare(
  encoded: tf.Tensor, ok: tf.Tensor, *, image_size: int, max_pixels: int
) -> tuple[tf.Tensor, tf.Tensor]:
  """Those that are not `ok` yet and can be read: their indices (R,) int64, and (R, S, S, 3)."""
  start = tf.strings.substr(encoded, 0, _START)
  start = tf.cast(tf.io.decode_raw(start, tf.uint8, fixed_length=_START), tf.int32)
  one = tf.ones((1,), tf.int32)

  def read(function: Callable[[tf.Tensor], tf.Tensor], index: tf.Tensor) -> tuple[tf.Tensor, ...]:
    pixels = function(tf.gather(encoded, index))
    part = augmentation.central_cut(
      *(tf.shape(pixels)[tf.newaxis, :2], one), image_size=image_size, largest_ratio=one
    )
    top, left, height, width = tf.unstack(part.window[0])
    pixels = pixels[top : top + height, left : left + width]
    return index, augmentation.resample(pixels, image_size=image_size, factor=part.factor[0])

  # Never empty, so that there always is a batch to take.
  nothing = (tf.constant(-1, tf.int64), tf.zeros((image_size, image_size, 3), tf.uint8))
  groups = []
  for suits, function in ((_png, _read_png), (_bmp, _read_bmp), (_gif, _read_gif)):
    suited, height, width = suits(encoded, start)
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    suited &= ~ok & (height > 0) & (width > 0) & (pixels <= max_pixels)
    indices = tf.data.Dataset.from_tensor_slices(tf.where(suited)[:, 0])
    groups.append(inline_map(indices, functools.partial(read, function)).ignore_errors())
  groups.append(tf.data.Dataset.from_tensors(nothing))
  everything = functools.reduce(tf.data.Dataset.concatenate, groups)
  done, images = everything.batch(tf.size(encoded, tf.int64) + 1).get_single_element()
  return done[:-1], images[:-1]


def _png(encoded: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """(B,) bool: which are PNG that are read; their heights and widths, (B,) int32."""
  suited = _begins(start, b"\x89PNG\r\n\x1a\n") & _begins(start[:, 12:], b"IHDR")
  # An orientation may stand anywhere, and nothing here finds its value.
  text = tf.where(suited, encoded, "")
  suited &= ~tf.strings.regex_full_match(text, r"(?s)\C*eXIf\C*")
  return suited, _number(start[:, 23:19:-1]), _number(start[:, 19:15:-1])


def _read_png(encoded: tf.Tensor) -> tf.Tensor:
  """(H, W, 3) uint8, transparency over white."""
  pixels = tf.cast(tf.io.decode_png(encoded, channels=4), tf.int32)
  color, alpha = pixels[..., :3], pixels[..., 3:]
  return tf.cast((2 * (color * alpha + 255 * (255 - alpha)) + 255) // 510, tf.uint8)


def _bmp(encoded: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """As `_png`, for BMP. TensorFlow takes a palette's indices for gray."""
  del encoded
  header, height, bits = _number(start[:, 14:18]), _number(start[:, 22:26]), start[:, 28]
  suited = _begins(start, b"BM") & (header >= 40) & ((bits == 24) | (bits == 32))
  suited &= _number(start[:, 30:34]) == 0  # Compression.
  return suited, tf.abs(height), _number(start[:, 18:22])  # A negative height is from the top.


def _read_bmp(encoded: tf.Tensor) -> tf.Tensor:
  return tf.ensure_shape(tf.io.decode_bmp(encoded)[..., :3], (None, None, 3))


def _gif(encoded: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """As `_png`, for GIF."""
  del encoded
  suited = _begins(start, b"GIF87a") | _begins(start, b"GIF89a")
  return suited, _number(start[:, 8:10]), _number(start[:, 6:8])


def _read_gif(encoded: tf.Tensor) -> tf.Tensor:
  """(H, W, 3) uint8, the first frame. An error where that leaves out pixels: they were black."""
  data = tf.cast(tf.io.decode_raw(encoded, tf.uint8), tf.int32)
  flags = data[10]
  table = tf.where(flags & 0x80 > 0, 3 * tf.bitwise.left_shift(2, flags & 7), 0)

  def step(
    place: tf.Tensor, transparent: tf.Tensor, inside: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    # A block: 0x21, a label, and parts, each after its length, up to one of length 0. That of
    # label 0xF9 says whether the frame has a transparent color.
    length = data[place]
    transparent |= ~inside & (data[place + 1] == 0xF9) & (data[place + 3] & 1 > 0)
    return tf.where(inside, place + 1 + length, place + 2), transparent, ~inside | (length > 0)

  place, transparent, _ = tf.while_loop(
    lambda place, transparent, inside: inside | (data[place] == 0x21),
    step,
    (13 + table, tf.constant(False), tf.constant(False)),
    parallel_iterations=1,
  )
  # The frame's place and size on the screen, 16 bits each.
  whole = tf.reduce_all(data[place + 1 : place + 9] == tf.concat([[0] * 4, data[6:10]], 0))
  check = tf.debugging.Assert(whole & ~transparent, ["Expected a GIF that is opaque."])
  with tf.control_dependencies([check] if check is not None else []):
    return tf.io.decode_gif(encoded)[0]


def _begins(start: tf.Tensor, expected: bytes) -> tf.Tensor:
  """(B,) bool: whether rows of bytes begin with those."""
  return tf.reduce_all(start[:, : len(expected)] == tf.constant(list(expected)), axis=1)


def _number(digits: tf.Tensor) -> tf.Tensor:
  """(B, n) bytes, the lowest first, to (B,) int32."""
  factors = tf.constant([256**i for i in range(digits.shape[1])], tf.int64)
  # Wraps around, so that four bytes may be negative.
  return tf.cast(tf.reduce_sum(tf.cast(digits, tf.int64) * factors, axis=1), tf.int32)
