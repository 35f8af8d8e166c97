"""Random crops and flips, evaluation's central crop, and the one way to cut either out of pixels.

`Cut` says which part of an image becomes the network's input: it is made for many images at once,
from their sizes and, for training, from random numbers that belong to a position in the data. Then
`resample` makes the input from decoded pixels, one image at a time, by keras-cv's `Resizing`, and
`turn` mirrors many at once. The crop is drawn here, because the generators of keras-cv's random
layers are stateful: in a parallel map their numbers would depend on which thread comes first. Its
`RandomCropAndResize`, which calls `tf.image.crop_and_resize`, also takes four times as long as
`Resizing`, and its `RandomFlip` longer than that.

There is no color jitter, although it is usual in self-supervised learning: here color is the target
that is predicted, and a jittered photograph would teach colors that its content does not have. The
same goes for solarization, posterization and the rest of RandAugment's color operations; graying
out would leave nothing to predict. What moves pixels and leaves their colors alone suits: crops,
flips, and for photographs without an up, such as those from above, quarter turns.

Reducing without antialiasing would show a network moire that no photograph has, and keras-cv's
`Resizing` is plain bilinear: it reads four pixels whatever the scale. A part that is k times larger
than the input, k >= 2 an integer, is therefore averaged over k x k pixels first: a JPEG by powers
of two while it is decoded, which costs less than decoding it whole, everything else by its pixels.
What is left is less than a factor of two, where bilinear interpolation still reads every pixel.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from sbae_tf import runtime

_TRIES = 10  # As torchvision.
DRAWS = 2 + 4 * _TRIES  # Random numbers an image: flip, turn, boxes.


def _turned() -> np.ndarray:
  """(9, 4) int32: the EXIF orientation that is one of 1 to 8 and so many quarter turns."""
  stored = np.arange(6).reshape(2, 3)
  # Rows and columns as stored to those as seen.
  shown = [stored, stored[:, ::-1], stored[::-1, ::-1], stored[::-1]]
  shown += [stored.T, stored[::-1].T, stored[::-1, ::-1].T, stored[:, ::-1].T]
  find = {picture.tobytes(): orientation for orientation, picture in enumerate(shown, 1)}
  rows = [[find[np.rot90(picture, k).tobytes()] for k in range(4)] for picture in shown]
  return np.array([[0] * 4, *rows], np.int32)


_TURNED = _turned()


@dataclasses.dataclass(frozen=True)
class Cut:
  """How the inputs are cut out of M images, in the coordinates of the pixels as stored.

  Attributes:
    ratio: (M,) int32, 1, 2, 4 or 8: reduce by it while decoding.
    window: (M, 4) int32, top, left, height and width of the part that becomes the input, in pixels
      after that reduction: rounded to whole ones. Inside the image, one pixel at least.
    factor: (M,) int32, 1 or more: average what was decoded over factor x factor pixels.
    turned: (M, 3) bool: in the end, whether to exchange top with bottom, left with right, and then
      rows with columns.
  """

  ratio: tf.Tensor
  window: tf.Tensor
  factor: tf.Tensor
  turned: tf.Tensor


def random_cut(
  size: tf.Tensor,
  orientation: tf.Tensor,
  draws: tf.Tensor,
  *,
  image_size: int,
  largest_ratio: tf.Tensor,
  area: tuple[float, float],
  aspect: tuple[float, float],
  flip: bool,
  turns: bool = False,
) -> Cut:
  """Cuts a random part out of each image, and mirrors one in two.

  Args:
    size: (M, 2) int32, heights and widths of the pixels as stored.
    orientation: (M,) int32, 1 to 8, as in EXIF.
    draws: (M, DRAWS) float32, uniform in [0, 1).
    image_size: S, the side of the input in pixels.
    largest_ratio: (M,) int32, 8 where the decoder can reduce, 1 where not.
    area: lowest and highest area of the part, as fractions of the image's, in (0, 1].
    aspect: lowest and highest ratio of the part's width to its height, upright, in pixels.
    flip: whether to exchange left and right with probability one half.
    turns: whether to turn by 0, 90, 180 or 270 degrees with equal probability.

  Returns:
    The cuts; the same draws, the same cut.

  Raises:
    ValueError: a range is empty or out of bounds.
  """
  if turns:
    orientation = tf.gather_nd(
      _TURNED, tf.stack([orientation, tf.cast(draws[:, 1] * 4, tf.int32)], 1)
    )
  tries = tf.reshape(draws[:, 2:], (-1, 4, _TRIES))
  box = choose_box(_upright(size, orientation), tries, area=area, aspect=aspect)
  mirrored = (draws[:, 0] < 0.5) if flip else tf.zeros_like(draws[:, 0], tf.bool)
  return _cut(size, orientation, box, mirrored, largest_ratio, image_size=image_size)


def central_cut(
  size: tf.Tensor, orientation: tf.Tensor, *, image_size: int, largest_ratio: tf.Tensor
) -> Cut:
  """The central square of each image: evaluation's.

  Args:
    size: (M, 2) int32, heights and widths of the pixels as stored.
    orientation: (M,) int32, 1 to 8, as in EXIF.
    image_size: S, the side of the input in pixels.
    largest_ratio: (M,) int32, 8 where the decoder can reduce, 1 where not.

  Returns:
    The cuts.
  """
  upright = _upright(size, orientation)
  side = tf.reduce_min(upright, axis=1)
  corner = (upright - side[:, tf.newaxis]) // 2
  box = tf.concat([corner, tf.stack([side, side], axis=1)], axis=1)
  mirrored = tf.zeros_like(side, tf.bool)
  return _cut(size, orientation, box, mirrored, largest_ratio, image_size=image_size)


def choose_box(
  size: tf.Tensor, draws: tf.Tensor, *, area: tuple[float, float], aspect: tuple[float, float]
) -> tf.Tensor:
  """Chooses the part of each image that a random resized crop keeps.

  The area is uniform, the logarithm of the aspect ratio is uniform, the place is uniform. The
  first of T tries that fits into the image is taken; if none does, the largest central part whose
  aspect ratio is allowed (its area may then be outside `area`).

  Args:
    size: (M, 2) int32, the images' heights and widths.
    draws: (M, 4, T) float32, uniform in [0, 1): area, aspect ratio, top and left of every try.
    area: lowest and highest area, as fractions of the image's, in (0, 1].
    aspect: lowest and highest ratio of width to height, in pixels.

  Returns:
    (M, 4) int32: top, left, height, width, in pixels, inside the image; one pixel at least.

  Raises:
    ValueError: a range is empty or out of bounds.

  Reference: Szegedy et al. 2014, arXiv:1409.4842, section 6; the rule is that of torchvision's
  `RandomResizedCrop`.
  """
  check_ranges(area=area, aspect=aspect)
  height, width = tf.split(tf.cast(size, tf.float32), 2, axis=1)  # (M, 1)
  areas = (area[0] + draws[:, 0] * (area[1] - area[0])) * height * width
  low, high = math.log(aspect[0]), math.log(aspect[1])
  ratios = tf.exp(low + draws[:, 1] * (high - low))
  heights, widths = tf.round(tf.sqrt(areas / ratios)), tf.round(tf.sqrt(areas * ratios))
  fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
  tops = tf.floor(draws[:, 2] * (height - heights + 1))
  lefts = tf.floor(draws[:, 3] * (width - widths + 1))
  central_height = tf.clip_by_value(tf.round(width / aspect[0]), 1.0, height)
  central_width = tf.clip_by_value(tf.round(height * aspect[1]), 1.0, width)
  central_top = tf.floor((height - central_height) / 2)
  central_left = tf.floor((width - central_width) / 2)
  first = tf.argmax(fits, axis=1)  # Of the tries that fit.
  tried = tf.gather(tf.stack([tops, lefts, heights, widths], axis=2), first, batch_dims=1)
  central = tf.concat([central_top, central_left, central_height, central_width], axis=1)
  chosen = tf.where(tf.reduce_any(fits, axis=1, keepdims=True), tried, central)
  return tf.cast(chosen, tf.int32)


def resample(pixels: tf.Tensor, *, image_size: int, factor: tf.Tensor | None = None) -> tf.Tensor:
  """Makes an input from the pixels of its window, not turned yet.

  Args:
    pixels: (h, w, 3) uint8, the window of a `Cut`, reduced by its ratio.
    image_size: S, the side of the input in pixels.
    factor: () int32, of the `Cut`; None where it is known to be 1, which saves time.

  Returns:
    (S, S, 3) uint8.
  """
  if factor is not None:
    size = tf.maximum(tf.shape(pixels)[:2] // factor, 1)
    pixels = tf.image.resize(pixels, size, method="area")
  # TensorFlow resizes float32 twice as fast as uint8.
  image = _layer(image_size)(tf.cast(pixels, tf.float32)[tf.newaxis])[0]
  # Rounded; between 0 and 255 because interpolation does not leave the range of the pixels.
  return tf.ensure_shape(tf.cast(image + 0.5, tf.uint8), (image_size, image_size, 3))


def resample_levels(pixels: tf.Tensor, *, image_size: int, factor: tf.Tensor) -> tf.Tensor:
  """`resample` for planes in which 0 says that there is no value: nothing is made of those.

  Where it reduces by a factor it averages values, those that there are; apart from that it takes
  the nearest, for between two surfaces there is none.

  Args:
    pixels: (h, w, P) uint8, the window of a `Cut`.
    image_size: S, the side of the input in pixels.
    factor: () int32, of the `Cut`.

  Returns:
    (S, S, P) uint8.
  """
  count = image_size * factor
  middles = (tf.range(count, dtype=tf.float32) + 0.5) / tf.cast(count, tf.float32)
  for axis in (0, 1):
    side = tf.shape(pixels)[axis]
    places = tf.minimum(tf.cast(middles * tf.cast(side, tf.float32), tf.int32), side - 1)
    pixels = tf.gather(pixels, places, axis=axis)
  squares = tf.reshape(pixels, (image_size, factor, image_size, factor, pixels.shape[-1]))
  total = tf.reduce_sum(tf.cast(squares, tf.float32), axis=(1, 3))
  known = tf.math.count_nonzero(squares, axis=(1, 3), dtype=tf.float32)
  return tf.cast(tf.math.divide_no_nan(total, known) + 0.5, tf.uint8)


def turn(images: tf.Tensor, turned: tf.Tensor) -> tf.Tensor:
  """Mirrors and transposes those images that are to be.

  Args:
    images: (M, S, S, P) uint8.
    turned: (M, 3) bool, of the `Cut`.

  Returns:
    (M, S, S, P) uint8.
  """
  square = images.shape[1:]

  def exchanged(exchange: Callable[[tf.Tensor], tf.Tensor], chosen: tf.Tensor) -> tf.Tensor:
    part = exchange(tf.gather(images, chosen[:, 0]))
    return tf.tensor_scatter_nd_update(images, chosen, tf.reshape(part, (-1, *square)))

  for number, exchange in enumerate(
    (
      lambda images: tf.reverse(images, [1]),
      # TensorFlow is fastest with the lines of all images as those of one.
      lambda images: tf.reverse(tf.reshape(images, (-1, *square[1:])), [1]),
      lambda images: tf.transpose(images, (0, 2, 1, 3)),
    )
  ):
    chosen = tf.where(turned[:, number])
    images = tf.cond(
      tf.size(chosen) > 0,
      functools.partial(exchanged, exchange, chosen),
      lambda images=images: images,
    )
  return images


def check_ranges(*, area: tuple[float, float], aspect: tuple[float, float]) -> None:
  """Checks the ranges of a random crop.

  Args:
    area: lowest and highest area, as fractions of the image's.
    aspect: lowest and highest ratio of width to height.

  Raises:
    ValueError: not 0 < low <= high (<= 1 for the area).
  """
  if not 0.0 < area[0] <= area[1] <= 1.0:
    raise ValueError(f"Expected `area` (low, high) with 0 < low <= high <= 1. Received: {area}")
  if not 0.0 < aspect[0] <= aspect[1] < math.inf:
    raise ValueError(f"Expected `aspect` (low, high) with 0 < low <= high. Received: {aspect}")


def _upright(size: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
  """(M, 2) int32: heights and widths as they are meant to be seen."""
  return tf.where((orientation >= 5)[:, tf.newaxis], size[:, ::-1], size)


def _cut(
  size: tf.Tensor,
  orientation: tf.Tensor,
  box: tf.Tensor,
  mirrored: tf.Tensor,
  largest_ratio: tf.Tensor,
  *,
  image_size: int,
) -> Cut:
  """A `Cut` of boxes (M, 4) in upright pixels."""
  transposed = orientation >= 5
  # From the stored pixels, transposed where that is needed, to the upright ones: EXIF's table.
  down = tf.reduce_any(orientation[:, tf.newaxis] == (3, 4, 7, 8), axis=1)
  across = tf.reduce_any(orientation[:, tf.newaxis] == (2, 3, 6, 7), axis=1)
  start, extent = box[:, :2], box[:, 2:]
  backward = tf.stack([down, across], axis=1)
  start = tf.where(backward, _upright(size, orientation) - start - extent, start)
  backward = tf.stack([down, across ^ mirrored], axis=1)
  swap = transposed[:, tf.newaxis]
  start, extent = tf.where(swap, start[:, ::-1], start), tf.where(swap, extent[:, ::-1], extent)
  backward = tf.where(swap, backward[:, ::-1], backward)

  shorter = tf.reduce_min(extent, axis=1) // image_size
  ratio = tf.where(shorter >= 8, 8, tf.where(shorter >= 4, 4, tf.where(shorter >= 2, 2, 1)))
  ratio = tf.minimum(ratio, largest_ratio)
  factor = tf.maximum(shorter // ratio, 1)
  reduced = ratio[:, tf.newaxis]
  there = -(-size // reduced)
  first = tf.minimum((start + reduced // 2) // reduced, there - 1)
  last = tf.clip_by_value((start + extent + reduced // 2) // reduced, first + 1, there)
  window = tf.concat([first, last - first], axis=1)
  return Cut(ratio, window, factor, tf.concat([backward, swap], axis=1))


@functools.cache
def _layer(image_size: int) -> Any:  # Its type is known only once keras-cv is imported.
  keras_cv = runtime.import_quietly("keras_cv")
  # A layer makes a generator, which is a variable: not to be made inside a map function's graph,
  # nor on an accelerator. Without a seed it would ask for the global generator, which is an error
  # under `tf.config.experimental.enable_op_determinism`.
  with tf.init_scope(), tf.device("cpu:0"):
    return keras_cv.layers.Resizing(image_size, image_size, dtype="float32", seed=1)
