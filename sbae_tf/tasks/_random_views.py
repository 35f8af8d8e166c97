"""Random views of photographs for contrastive learning: crop, flip, color jitter, gray.

Color by keras-cv's layers, which are given numbers that are drawn here: their own generators are
stateful, and a resumed run would see other views. Not its `RandomCropAndResize`: that calls
`tf.image.crop_and_resize`, which XLA does not compile.
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.data import augmentation
from sbae_tf.tasks import _draws

_ASPECT = (3 / 4, 4 / 3)  # Of a crop, as in the paper.
_JITTERED, _GRAY = 0.8, 0.2  # Parts of the views, as in the paper.
_TRIES = 10  # To find a crop, as in sbae_tf.data.augmentation.
_COLOR_DRAWS = 6
_DRAWS = 1 + _COLOR_DRAWS + 4 * _TRIES


def random_views(
  images: tf.Tensor, seed: tf.Tensor, *, area: tuple[float, float], strength: float
) -> tf.Tensor:
  """One view of each photograph.

  Args:
    images: (B, S, S, 3) uint8 sRGB.
    seed: (2,) int64.
    area: of the crop, lowest and highest, as fractions of the photograph's.
    strength: of the color jitter, from 0 to 1.

  Returns:
    (B, S, S, 3) uint8 sRGB.

  Reference: Chen et al. 2020, arXiv:2002.05709, Appendix A. The jitter's ranges at strength 1 are
    those of keras-cv's `SimCLRAugmenter`: brightness by up to 20% of white, contrast by a factor of
    1 +- 0.8, saturation by one of 0.43 to 2.33, hue by a tenth of its circle.
  Differs from the paper: always in this order; no blur, which it leaves out on CIFAR-10, too.
  """
  shape = tf.shape(images)
  draws = _draws.uniform((shape[0], _DRAWS), seed)
  tries = tf.reshape(draws[:, 1 + _COLOR_DRAWS :], (-1, 4, _TRIES))
  size = tf.broadcast_to(shape[1:3], (shape[0], 2))
  box = augmentation.choose_box(size, tries, area=area, aspect=_ASPECT)
  cropped = crop(tf.cast(images, tf.float32), box, flipped=draws[:, 0] < 0.5)
  colored = _recolor(cropped, draws[:, 1 : 1 + _COLOR_DRAWS], strength=strength)
  # Rounded; casting cuts off.
  return tf.cast(tf.clip_by_value(colored, 0.0, 255.0) + 0.5, tf.uint8)


def crop(images: tf.Tensor, box: tf.Tensor, *, flipped: tf.Tensor) -> tf.Tensor:
  """Enlarges a part of each photograph to all of it, bilinearly, by two products of matrices.

  Args:
    images: (B, H, W, C) float32.
    box: (B, 4) int32: top, left, height and width of the part, in pixels.
    flipped: (B,) bool, whether to exchange left and right.

  Returns:
    (B, H, W, C) float32. The centers of the outermost pixels stay the outermost, as in
    `tf.image.crop_and_resize`.
  """
  shape = tf.shape(images)
  rows = _weights(box[:, 0], box[:, 2], shape[1])
  columns = _weights(box[:, 1], box[:, 3], shape[2])
  columns = tf.where(flipped[:, tf.newaxis, tf.newaxis], columns[:, ::-1], columns)

  def blend(weights: tf.Tensor, lines: tf.Tensor) -> tf.Tensor:
    """New lines from the second axis, and that exchanged with the third."""
    sizes = tf.shape(lines)
    flat = tf.reshape(lines, (sizes[0], sizes[1], -1))
    blended = tf.reshape(tf.matmul(weights, flat), sizes)
    return tf.transpose(blended, (0, 2, 1, 3))

  return tf.ensure_shape(blend(columns, blend(rows, images)), images.shape)


def _weights(start: tf.Tensor, extent: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
  """(B, size, size) float32: how much each old line, the last axis, has in each new one."""
  start, extent, count = (tf.cast(x, tf.float32) for x in (start, extent, size))
  lines = tf.cast(tf.range(size), tf.float32)
  distance = (extent - 1.0) / (count - 1.0)  # Between two new lines, in old ones.
  places = start[:, tf.newaxis] + lines * distance[:, tf.newaxis]
  return tf.maximum(0.0, 1.0 - tf.abs(places[:, :, tf.newaxis] - lines))


def _recolor(images: tf.Tensor, draws: tf.Tensor, *, strength: float) -> tf.Tensor:
  """Jitters the color of most of the images, and takes all of it from some.

  Args:
    images: (B, H, W, 3) float32 in [0, 255].
    draws: (B, 6) float32, uniform in [0, 1).
    strength: of the jitter.
  """
  brightness, contrast, saturation, hue, gray = _layers()
  signed = strength * (2.0 * draws - 1.0)

  def each(values: tf.Tensor) -> tf.Tensor:
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]

  jittered = brightness.augment_images(images, each(0.2 * 255.0 * signed[:, 0]))
  jittered = contrast.augment_images(jittered, each(1.0 + 0.8 * signed[:, 1]))
  jittered = saturation.augment_images(jittered, 0.5 + 0.2 * signed[:, 2])
  jittered = hue.augment_images(jittered, 0.1 * signed[:, 3])
  images = tf.where(each(draws[:, 4] < _JITTERED), jittered, images)
  return tf.where(each(draws[:, 5] < _GRAY), gray.augment_images(images), images)


@functools.cache
def _layers() -> tuple[Any, ...]:  # Their type is known only once keras-cv is imported.
  """keras-cv's layers of color; only their `augment_images` is called, and no range is used."""
  layers = runtime.import_quietly("keras_cv").layers
  # As in sbae_tf.data.augmentation: a layer makes a generator, a variable.
  with tf.init_scope(), tf.device("cpu:0"):
    plain = {"dtype": "float32", "seed": 1}
    return (
      layers.RandomBrightness(0.2, value_range=(0, 255), **plain),
      layers.RandomContrast((0, 255), 0.8, **plain),
      layers.RandomSaturation((0.3, 0.7), **plain),
      layers.RandomHue(0.2, (0, 255), **plain),
      layers.Grayscale(3, dtype="float32"),
    )
