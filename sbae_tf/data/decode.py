"""Encoded images to inputs, many at a time, in TensorFlow's own ops: the fast path.

JPEG and PNG that TensorFlow reads as they are meant. What it does not read, or reads otherwise than
it is meant (`header`), and what is broken is left out and reported, so that a slower decoder can
look at it (`mend`). Of a JPEG only the part that becomes the input is decoded, and reduced while it
is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from sbae_tf.data import augmentation
from sbae_tf.data import header as header_lib
from sbae_tf.data.augmentation import Cut
from sbae_tf.data.inline_map import inline_map

# (slots (M,) int64, sizes (M, 2), orientations (M,), largest ratios (M,) int32) -> Cut of M images.
CutFunction = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], Cut]

# To the bit what Pillow reads. TensorFlow's default is 1.2 levels off on average, up to 8 in fine
# JPEGs, and saves 1 to 3% of the time.
DCT = "INTEGER_ACCURATE"
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
  way = _way(known, is_jpeg, header.whole, parts.ratio, parts.factor)

  def decoded(ways: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """The indices of what is decoded in these ways, the inputs, and after the last a black one."""
    groups = [_decoded(number, way, encoded, parts, image_size=image_size) for number in ways]
    nothing = (tf.constant(-1, tf.int64), tf.zeros((image_size, image_size, 3), tf.uint8))
    groups.append(tf.data.Dataset.from_tensors(nothing))
    everything = functools.reduce(tf.data.Dataset.concatenate, groups)
    return everything.batch(count + 1).get_single_element()

  def with_rare() -> tuple[tf.Tensor, tf.Tensor]:
    rare, images = decoded(range(_COMMON, len(_WAYS)))
    return tf.concat([rare[:-1], common], 0), tf.concat([images[:-1], common_images], 0)

  common, common_images = decoded(range(_COMMON))
  done, images = tf.cond(tf.reduce_any(way >= _COMMON), with_rare, lambda: (common, common_images))
  done = tf.gather(slots, done[:-1])[:, tf.newaxis]
  place = tf.tensor_scatter_nd_update(
    tf.fill(count[tf.newaxis], tf.size(done)), done, tf.range(tf.size(done))
  )
  turned = tf.scatter_nd(slots[:, tf.newaxis], parts.turned, tf.stack([count, 3]))
  return augmentation.turn(tf.gather(images, place), turned), place < tf.size(done)


def _decoded(
  number: int, way: tf.Tensor, encoded: tf.Tensor, parts: Cut, *, image_size: int
) -> tf.data.Dataset:
  """What can be decoded in one of `_WAYS`, of those images that are for it.

  Every way has a dataset of its own: choosing among ways in the function of one would be control
  flow, which costs half as much as decoding a small image.

  Returns:
    A dataset of the index among the M images, () int64, and the input (S, S, 3) uint8.
  """
  indices = tf.data.Dataset.from_tensor_slices(tf.where(way == number)[:, 0])
  others = (encoded, parts.window, parts.factor)
  return inline_map(indices, _one_decoded(number, image_size), others).ignore_errors()


@functools.cache  # A run has three pipelines: traced once for all of them.
def _one_decoded(number: int, image_size: int) -> tf.types.experimental.GenericFunction:
  """Decodes one image in one of `_WAYS`, from its index and what there is of all."""
  function, averaged = _WAYS[number]

  def one(
    index: tf.Tensor, encoded: tf.Tensor, windows: tf.Tensor, factors: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    pixels = function(tf.gather(encoded, index), tf.gather(windows, index))
    factor = tf.gather(factors, index) if averaged else None
    return index, augmentation.resample(pixels, image_size=image_size, factor=factor)

  return tf.function(one, autograph=False)


def _jpeg_part(ratio: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
  """Decodes a window of a JPEG and no line after it."""
  return lambda encoded, window: tf.image.decode_and_crop_jpeg(
    encoded, window, channels=3, ratio=ratio, dct_method=DCT
  )


def _jpeg_whole(ratio: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
  """Decodes to the end, so that a truncated file is an error, whatever the window."""
  return lambda encoded, window: _window_of(
    tf.image.decode_jpeg(encoded, channels=3, ratio=ratio, dct_method=DCT), window
  )


def _png(encoded: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  return _window_of(tf.image.decode_png(encoded, channels=3), window)


def _window_of(pixels: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  top, left, height, width = tf.unstack(window)
  return pixels[top : top + height, left : left + width]


# How to decode, and whether to average afterwards: a JPEG only where more than 8 x 8 pixels become
# one.
_WAYS = (
  *((decode(ratio), False) for decode in (_jpeg_part, _jpeg_whole) for ratio in _RATIOS),
  *((decode(_RATIOS[-1]), True) for decode in (_jpeg_part, _jpeg_whole)),
  *((_png, averaged) for averaged in (False, True)),
)
_COMMON = len(_RATIOS)  # So many are always tried, the others only where a chunk needs them.


def _way(
  known: tf.Tensor, is_jpeg: tf.Tensor, whole: tf.Tensor, ratio: tf.Tensor, factor: tf.Tensor
) -> tf.Tensor:
  """(M,) int32 indices into `_WAYS`; -1 for what is left to another decoder."""
  count = len(_RATIOS)
  exponent = tf.where(ratio == 8, 3, tf.where(ratio == 4, 2, tf.where(ratio == 2, 1, 0)))
  reduced = exponent + tf.where(whole, 0, count)
  averaged = tf.where(whole, 2 * count, 2 * count + 1)
  jpeg = tf.where(factor > 1, averaged, reduced)
  png = tf.where(factor > 1, 2 * count + 3, 2 * count + 2)
  return tf.where(known, tf.where(is_jpeg, jpeg, png), -1)
