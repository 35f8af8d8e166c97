"""A photograph of any size to a colorized one of the same size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from sbae_tf import plugins
from sbae_tf.colorization.color_error import ColorError, squared_error_sums
from sbae_tf.colorizer import Colorizer

# Converted at a time, in pixels. A photograph of 100 million takes as much memory for that as one
# of a million does.
_STRIP = 1 << 20
_LARGEST_RATIO = 16  # Of the sides, up to which the copy's shorter one is as long as was asked for.


@dataclasses.dataclass(frozen=True)
class Colorized:
  """A photograph in color.

  Attributes:
    rgb: (H, W, 3) uint8 sRGB.
    error: from the original. Where that was gray, only its lightness means something.
    gray_error: from the original, of the photograph without color: what a colorization is to be
      better than. None where the original was gray: red, green and blue alike everywhere.
  """

  rgb: np.ndarray
  error: ColorError
  gray_error: ColorError | None


class PhotographColorizer:
  """Colorizes at full resolution; may be called from several threads.

  The network looks at a copy of the size that it knows, `copy_size`. The color that it predicts is
  enlarged bilinearly, and joined with the lightness of the photograph itself.

  Attributes:
    colorizer: predicts.
    image_size: of the copy's shorter side, about, in pixels.
  """

  def __init__(self, colorizer: Colorizer, *, image_size: int | None = None) -> None:
    """Traces what is computed.

    Args:
      colorizer: predicts.
      image_size: S; None for that of the training.
    """
    config = colorizer.model.config
    self.colorizer, self.image_size = colorizer, image_size or config.data.image_size
    lab, neutral = plugins.find("color", "lab").build(), colorizer.neutral

    def join(images: tf.Tensor, predicted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
      rgb = colorizer.join(images, predicted)
      return rgb, squared_error_sums(lab, images, rgb)

    def measure_gray(images: tf.Tensor) -> tf.Tensor:
      shape = tf.concat([tf.shape(images)[:3], tf.shape(neutral)], axis=0)
      gray = colorizer.join(images, tf.broadcast_to(neutral, shape))
      return squared_error_sums(lab, images, gray)

    def traced(function: Callable[..., Any], *channels: tuple[int, tf.DType]) -> Any:
      specs = [tf.TensorSpec((1, None, None, count), dtype) for count, dtype in channels]
      return tf.function(function, autograph=False).get_concrete_function(*specs)

    # Here, for threads would wait for each other's tracing.
    self._predict = traced(colorizer.predict, (3, tf.uint8))
    self._join = traced(join, (3, tf.uint8), (len(neutral), tf.float32))
    self._measure_gray = traced(measure_gray, (3, tf.uint8))

  def __call__(self, rgb: np.ndarray) -> Colorized:
    """Colorizes.

    Args:
      rgb: (H, W, 3) uint8 sRGB, of any size; of color only the lightness is looked at.

    Returns:
      The photograph in color, of the same size.
    """
    height, width = rgb.shape[:2]
    size = copy_size(
      height, width, image_size=self.image_size, stride=self.colorizer.model.encoder.stride
    )
    copy = Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=3.0)
    predicted = self._predict(tf.constant(np.asarray(copy)[np.newaxis]))[0].numpy()
    colored = np.empty(rgb.shape, np.uint8)
    rows = max(1, _STRIP // width)
    strips = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
    was_gray = all((rgb[strip] == rgb[strip, :, :1]).all() for strip in strips)
    sums, gray_sums = np.zeros(3), np.zeros(3)
    for strip in strips:
      images = tf.constant(rgb[strip][np.newaxis])
      color = enlarge(predicted, (height, width), rows=strip)
      joined, errors = self._join(images, tf.constant(color[np.newaxis]))
      colored[strip] = joined[0].numpy()
      sums += errors.numpy()
      gray_sums += 0.0 if was_gray else self._measure_gray(images).numpy()
    gray_error = None if was_gray else ColorError.of_sums(gray_sums, height * width)
    return Colorized(colored, ColorError.of_sums(sums, height * width), gray_error)


def copy_size(height: int, width: int, *, image_size: int, stride: int) -> tuple[int, int]:
  """The size of the copy that the network looks at.

  Its shorter side has about `image_size` pixels, as photographs have in evaluation, and it keeps
  the proportions as far as the stride lets it: both sides go to the nearest multiple. So a copy is
  distorted by half a stride at most, and has no border that the photograph does not have. Where the
  longer side is more than 16 times the shorter one, it is smaller: 16 squares of pixels at most.

  Args:
    height: of the photograph, in pixels.
    width: of the photograph.
    image_size: S.
    stride: of the network.

  Returns:
    Height and width, multiples of the stride, one of it at least.
  """
  scale = min(
    image_size / min(height, width), image_size * math.sqrt(_LARGEST_RATIO / height / width)
  )
  high, wide = (max(1, round(side * scale / stride)) * stride for side in (height, width))
  return high, wide


def enlarge(values: np.ndarray, size: tuple[int, int], *, rows: slice) -> np.ndarray:
  """Resizes a map bilinearly, some rows of the result at a time.

  Args:
    values: (h, w, C) float32.
    size: H and W of the whole result, of which each pixel's middle is where it is in the map.
    rows: from which to which; with a start and a stop.

  Returns:
    (stop - start, W, C) float32.
  """
  height, width = size
  h, w = values.shape[:2]
  box = (0.0, rows.start * h / height, float(w), rows.stop * h / height)
  channels = [
    Image.fromarray(np.ascontiguousarray(values[..., c])).resize(
      (width, rows.stop - rows.start), Image.Resampling.BILINEAR, box
    )
    for c in range(values.shape[-1])
  ]
  return np.stack([np.asarray(channel) for channel in channels], axis=-1)
