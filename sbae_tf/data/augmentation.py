"""Random crops and flips from stateless seeds, and the evaluation's central crop.

keras-cv's layer does the pixel work; its transformation is drawn here, from a seed that the caller
gives, because the layer's own generator is stateful: in a parallel map its numbers would depend on
which thread comes first. A flip is a crop whose left and right are exchanged, at no cost;
`keras_cv.layers.RandomFlip` makes both pictures and a float mask and takes longer than the crop.

There is no color jitter, although it is usual in self-supervised learning: here color is the target
that is predicted, and a jittered photograph would teach colors that its content does not have.

Reducing without antialiasing would show a network moire that no photograph has, and
`tf.image.crop_and_resize`, which keras-cv calls, is plain bilinear: it reads four pixels whatever
the scale. A crop that is k times larger than the output, k >= 2 an integer, is therefore first
averaged over k x k pixels; what is left is less than a factor of two, where bilinear
interpolation still reads every pixel.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import tensorflow as tf

from sbae_tf import runtime

_TRIES = 10  # As torchvision.

# The first and the last pixel of a crop, in its relative coordinates, almost. In `crop_and_resize`
# a sample point that rounding moves past either is black; a millionth of the side keeps it inside.
_FIRST, _LAST = 1e-6, 1.0 - 1e-6


def random_resized_crop(
  image: tf.Tensor,
  seed: tf.Tensor,
  *,
  image_size: int,
  area: tuple[float, float],
  aspect: tuple[float, float],
  flip: bool,
) -> tf.Tensor:
  """Cuts a random part out of an image, resizes it to a square and mirrors one in two.

  Args:
    image: (H, W, 3) uint8.
    seed: (2,) integers; the same seed, the same crop and flip.
    image_size: S, the side of the output in pixels.
    area: lowest and highest area of the part, as fractions of the image's, in (0, 1].
    aspect: lowest and highest ratio of the part's width to its height, in pixels.
    flip: whether to exchange left and right with probability one half.

  Returns:
    (S, S, 3) uint8.

  Raises:
    ValueError: `image` is not (H, W, 3) uint8, or a range is empty or out of bounds.
  """
  _check_image(image)
  draws = tf.random.stateless_uniform((4 * _TRIES + 1,), seed)
  box = choose_box(
    tf.shape(image)[:2], tf.reshape(draws[1:], (4, _TRIES)), area=area, aspect=aspect
  )
  top, left, height, width = tf.unstack(box)
  crop = image[top : top + height, left : left + width]
  factor = tf.maximum(tf.minimum(height, width) // image_size, 1)
  # The mean over factor x factor pixels; also the cast to float32. Its kernel reads uint8 and
  # takes less time than the antialiased bilinear one.
  crop = tf.image.resize(crop, tf.stack([height // factor, width // factor]), method="area")
  mirrored = flip & (draws[0] < 0.5)
  first = tf.where(mirrored, _LAST, _FIRST)
  last = tf.where(mirrored, _FIRST, _LAST)
  corners = tf.stack([_FIRST, first, _LAST, last])  # y1, x1, y2, x2.
  return _to_uint8(_layer(image_size).augment_image(crop, corners[tf.newaxis]), image_size)


def choose_box(
  size: tf.Tensor, draws: tf.Tensor, *, area: tuple[float, float], aspect: tuple[float, float]
) -> tf.Tensor:
  """Chooses the part of an image that a random resized crop keeps.

  The area is uniform, the logarithm of the aspect ratio is uniform, the place is uniform. The
  first of T tries that fits into the image is taken; if none does, the largest central part whose
  aspect ratio is allowed (its area may then be outside `area`).

  Args:
    size: (2,) int32, the image's height and width.
    draws: (4, T) float32, uniform in [0, 1): area, aspect ratio, top and left of every try.
    area: lowest and highest area, as fractions of the image's, in (0, 1].
    aspect: lowest and highest ratio of width to height, in pixels.

  Returns:
    (4,) int32: top, left, height, width, in pixels, inside the image; one pixel at least.

  Raises:
    ValueError: a range is empty or out of bounds.

  Reference: Szegedy et al. 2014, arXiv:1409.4842, section 6; the rule is that of torchvision's
  `RandomResizedCrop`.
  """
  check_ranges(area=area, aspect=aspect)
  height, width = tf.unstack(tf.cast(size, tf.float32))
  areas = (area[0] + draws[0] * (area[1] - area[0])) * height * width
  low, high = math.log(aspect[0]), math.log(aspect[1])
  ratios = tf.exp(low + draws[1] * (high - low))
  heights, widths = tf.round(tf.sqrt(areas / ratios)), tf.round(tf.sqrt(areas * ratios))
  fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
  tops = tf.floor(draws[2] * (height - heights + 1))
  lefts = tf.floor(draws[3] * (width - widths + 1))
  central_height = tf.clip_by_value(tf.round(width / aspect[0]), 1.0, height)
  central_width = tf.clip_by_value(tf.round(height * aspect[1]), 1.0, width)
  central_top = tf.floor((height - central_height) / 2)
  central_left = tf.floor((width - central_width) / 2)
  chosen = tf.where(
    tf.reduce_any(fits),
    tf.stack([tops, lefts, heights, widths])[:, tf.argmax(fits)],  # The first that fits.
    tf.stack([central_top, central_left, central_height, central_width]),
  )
  return tf.cast(chosen, tf.int32)


def center_crop(image: tf.Tensor, *, image_size: int) -> tf.Tensor:
  """Resizes an image so that its shorter side fits, and keeps the central square: evaluation's.

  The square is cut first, which gives the same up to half a pixel and costs less. Reduction is
  antialiased: bilinear with a filter as wide as the scale demands.

  Args:
    image: (H, W, 3) uint8.
    image_size: S, the side of the output in pixels.

  Returns:
    (S, S, 3) uint8.

  Raises:
    ValueError: `image` is not (H, W, 3) uint8.
  """
  _check_image(image)
  height, width = tf.unstack(tf.shape(image)[:2])
  side = tf.minimum(height, width)
  top, left = (height - side) // 2, (width - side) // 2
  square = image[top : top + side, left : left + side]
  return _to_uint8(tf.image.resize(square, (image_size, image_size), antialias=True), image_size)


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


def _check_image(image: tf.Tensor) -> None:
  if image.dtype != tf.uint8 or image.shape.rank != 3 or image.shape[-1] != 3:
    raise ValueError(
      f"Expected `image` (H, W, 3) uint8. Received: {image.shape} {image.dtype.name}"
    )


def _to_uint8(image: tf.Tensor, image_size: int) -> tf.Tensor:
  image = tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)
  return tf.ensure_shape(image, (image_size, image_size, 3))


@functools.cache
def _layer(image_size: int) -> Any:  # Its type is known only once keras-cv is imported.
  """keras-cv's crop. Its factors are required and unused: `choose_box` chooses the part."""
  keras_cv = runtime.import_quietly("keras_cv")
  # A layer makes a generator, which is a variable: not to be made inside a map function's graph,
  # nor on an accelerator. Without a seed it would ask for the global generator, which is an error
  # under `tf.config.experimental.enable_op_determinism`.
  with tf.init_scope(), tf.device("cpu:0"):
    return keras_cv.layers.RandomCropAndResize(
      (image_size, image_size), (1.0, 1.0), (1.0, 1.0), seed=1
    )
