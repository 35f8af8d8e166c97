"""HSV: value V, and hue and chroma as the point (x, y) of a plane.

Hue is an angle: its mean over two reds at 350 and 10 degrees would be cyan, bins would tear red
apart, and of gray it is nothing but noise. The plane has none of this: x = C cos H, y = C sin H,
with the chroma C = S V = max - min of R, G and B. Gray is (0, 0), means over squares of pixels are
those of points, and bins are squares. Not the saturation S, which is noise in the dark: of the
nearly black (1, 0, 0) it is 1.
"""

from __future__ import annotations

import math

import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.color.color_space import ColorSpace

CHANNELS = {"V": (0.0, 1.0), "x": (-1.0, 1.0), "y": (-1.0, 1.0)}


def build() -> ColorSpace:
  """V in [0, 1], and x, y in the unit disk, from gamma-coded sRGB.

  Bins of an even number along x and y have gray on an edge, and noise decides its bin: take an odd
  one, `uniform(bins=11)`.

  Reference: Smith, Color Gamut Transform Pairs, SIGGRAPH 1978; the way back from H, S and V by
    `tfio.experimental.color`.
  """
  color = runtime.import_quietly("tensorflow_io").experimental.color

  def decode(values: tf.Tensor) -> tf.Tensor:
    value, x, y = tf.unstack(values, axis=-1)
    value = tf.clip_by_value(value, 0.0, 1.0)
    # Predicted points may have more chroma than their value allows: the most that it does.
    saturation = tf.minimum(tf.math.divide_no_nan(tf.sqrt(x**2 + y**2), value), 1.0)
    hue = tf.math.floormod(tf.atan2(y, x) / (2 * math.pi), 1.0)
    return color.hsv_to_rgb(tf.stack([hue, saturation, value], axis=-1))

  return ColorSpace.of("hsv", CHANNELS, _encode, decode)


def _encode(rgb: tf.Tensor) -> tf.Tensor:
  """As by tfio's `rgb_to_hsv`, which takes more than twice as long on a CPU."""
  red, green, blue = tf.unstack(rgb, axis=-1)
  value = tf.maximum(tf.maximum(red, green), blue)
  chroma = value - tf.minimum(tf.minimum(red, green), blue)
  is_red, is_green = tf.equal(value, red), tf.equal(value, green)
  within = tf.where(is_red, green - blue, tf.where(is_green, blue - red, red - green))
  sector = tf.where(is_red, 0.0, tf.where(is_green, 2.0, 4.0))
  hue = math.pi / 3 * (sector + tf.math.divide_no_nan(within, chroma))  # Radians.
  return tf.stack([value, chroma * tf.cos(hue), chroma * tf.sin(hue)], axis=-1)
