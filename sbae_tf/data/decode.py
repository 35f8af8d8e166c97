"""Encoded images to inputs, many at a time, in TensorFlow's own ops: the fast path.

JPEG and PNG that TensorFlow reads as they are meant. What it does not read, or reads otherwise than
it is meant (`header`), and what is broken is left out and reported, so that a slower decoder can
look at it (`mend`). Of a JPEG only the part that becomes the input is decoded, and reduced while it
is.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sbae_tf.data import augmentation
from sbae_tf.data import header as header_lib
from sbae_tf.data.augmentation import Cut

# (slots (M,) int64, sizes (M, 2), orientations (M,), largest ratios (M,) int32) -> Cut of M images.
CutFunction = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], Cut]

# To the bit what Pillow reads. TensorFlow's default is 1.2 levels off on average, up to 8 in fine
# JPEGs, and saves 1 to 3% of the time.
_DCT = "INTEGER_ACCURATE"
_RATIOS = (1, 2, 4, 8)  # A static argument of TensorFlow's decoder.


def decode(
  slots: tf.Tensor,
  encoded: tf.Tensor,
  *,
  count: tf.Tensor,
  image_size: int,
  max_pixels: int,
  cut: CutFunction,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes what can be decoded fast.

  Args:
    slots: (M,) int64 in [0, count), ascending: where each image goes.
    encoded: (M,) string, whole files.
    count: C, the number of slots, () int64.
    image_size: S, the side of the inputs in pixels.
    max_pixels: an image with more is left out; its header is enough to know.
    cut: chooses what of each image becomes the input.

  Returns:
    (C, S, S, 3) uint8 and (C,) bool: which slots hold an image. The others are black.
  """
  header = header_lib.read_headers(encoded)
  known = header.format != header_lib.OTHER
  # The product of two large sides is no int32.
  pixels = tf.cast(header.height, tf.int64) * tf.cast(header.width, tf.int64)
  known &= (header.height > 0) & (header.width > 0) & (pixels <= max_pixels)
  size = tf.where(known[:, tf.newaxis], tf.stack([header.height, header.width], axis=1), 1)
  is_jpeg = header.format == header_lib.JPEG
  parts = cut(slots, size, header.orientation, tf.where(is_jpeg, _RATIOS[-1], 1))
  way = _way(known, is_jpeg, header.whole, parts.ratio)

  @tf.autograph.experimental.do_not_convert
  def one(
    slot: tf.Tensor,
    encoded: tf.Tensor,
    way: tf.Tensor,
    window: tf.Tensor,
    factor: tf.Tensor,
    corners: tf.Tensor,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    pixels = tf.switch_case(way, [lambda w=w: w(encoded, window) for w in _WAYS])
    return slot, augmentation.resample(pixels, factor, corners, image_size=image_size)

  images = tf.data.Dataset.from_tensor_slices(
    (slots, encoded, way, parts.window, parts.factor, parts.corners)
  )
  images = images.map(one).ignore_errors()
  # Never empty, so that there always is a batch to take.
  nothing = (tf.constant(-1, tf.int64), tf.zeros((image_size, image_size, 3), tf.uint8))
  images = images.concatenate(tf.data.Dataset.from_tensors(nothing)).batch(count + 1)
  done, images = images.get_single_element()
  done, images = done[:-1], images[:-1]
  images = tf.cond(
    tf.size(done, tf.int64) == count,
    lambda: images,  # The usual case, without a copy.
    lambda: tf.scatter_nd(
      done[:, tf.newaxis], images, tf.stack([count, image_size, image_size, 3])
    ),
  )
  ok = tf.scatter_nd(done[:, tf.newaxis], tf.ones_like(done, tf.bool), count[tf.newaxis])
  transposed = tf.scatter_nd(slots[:, tf.newaxis], parts.transposed, count[tf.newaxis])
  return augmentation.turn(images, transposed), ok


def _jpeg_part(ratio: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
  """Decodes a window of a JPEG and no line after it."""
  return lambda encoded, window: tf.image.decode_and_crop_jpeg(
    encoded, window, channels=3, ratio=ratio, dct_method=_DCT
  )


def _jpeg_whole(ratio: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
  """Decodes to the end, so that a truncated file is an error, whatever the window."""
  return lambda encoded, window: _window_of(
    tf.image.decode_jpeg(encoded, channels=3, ratio=ratio, dct_method=_DCT), window
  )


def _png(encoded: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  return _window_of(tf.image.decode_png(encoded, channels=3), window)


def _none(encoded: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  """Fails: the image is for another decoder."""
  del encoded, window
  with tf.control_dependencies([tf.debugging.Assert(False, ["Not for this decoder."])]):
    return tf.zeros((1, 1, 3), tf.uint8)


def _window_of(pixels: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  top, left, height, width = tf.unstack(window)
  return pixels[top : top + height, left : left + width]


_WAYS = (*map(_jpeg_part, _RATIOS), *map(_jpeg_whole, _RATIOS), _png, _none)


def _way(known: tf.Tensor, is_jpeg: tf.Tensor, whole: tf.Tensor, ratio: tf.Tensor) -> tf.Tensor:
  """(M,) int32 indices into `_WAYS`."""
  exponent = tf.where(ratio == 8, 3, tf.where(ratio == 4, 2, tf.where(ratio == 2, 1, 0)))
  jpeg = exponent + tf.where(whole, 0, len(_RATIOS))
  return tf.where(known, tf.where(is_jpeg, jpeg, len(_WAYS) - 2), len(_WAYS) - 1)
