"""sRGB to Lab for a CPU: `tfio.experimental.color.rgb_to_lab` of uint8, several times as fast.

tfio takes nearly all of its time for `tf.pow` and `tf.where`. Here a table of the 256 levels stands
in for the first power, and the second is made of an exponential and a logarithm, which TensorFlow
vectorizes, and a step of Newton's method, for those two alone are off by more than tfio is. Both of
Lab's cases are added and not chosen between. Constants, and the order of what rounds, are tfio's.

It multiplies by matrices, which GPUs and TPUs round to 10 or 7 bits unless told otherwise: not for
them.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.color import _blocks

_TO_XYZ = np.array(
  [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65, 2 degrees.

# f(t) is the cube root above `_CUT`, and `_SLOPE t + _AT_BLACK` up to it.
_CUT = 0.008856
_SLOPE = 7.787
_AT_BLACK = 16 / 116

_DIFFERENCES = np.array([[0, 1, 0], [1, -1, 0], [0, 1, -1]])  # f(Y), f(X) - f(Y), f(Y) - f(Z)
_SCALE = np.array([116.0, 500.0, 200.0])
_OFFSET = np.array([16.0, 0.0, 0.0])


def linear_levels() -> np.ndarray:
  """(256,) float64: the light in [0, 1] of each sRGB level. Reference: IEC 61966-2-1."""
  levels = np.arange(256) / 255
  return np.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)


def rgb_to_lab(images: tf.Tensor) -> tf.Tensor:
  """Photographs to Lab.

  Args:
    images: (B, H, W, 3) uint8 sRGB.

  Returns:
    (B, H, W, 3) float32 L in [0, 100], a and b: for every color within 2e-4 of tfio's, both in
    graphs or both eager, and of float64. (tfio in a graph is off by as much from tfio eager.)
  """
  levels = tf.cast(_blocks.rows(images), tf.int32)
  # Not tf.gather, which takes longer for single numbers.
  light = tf.gather_nd(tf.constant(linear_levels(), tf.float32), levels[..., None])
  xyz = tf.matmul(light, _blocks.matrix(_TO_XYZ.T)) / _blocks.vector(_WHITE)
  # Before the scaling, so that it does not round: f(X) and f(Y) are close in most colors.
  differences = tf.matmul(_f(xyz), _blocks.matrix(_DIFFERENCES.T))
  lab = differences * _blocks.vector(_SCALE) - _blocks.vector(_OFFSET)
  return _blocks.pixels(lab, images, 3)


def _f(t: tf.Tensor) -> tf.Tensor:
  """Lab's f, of t in [0, 1]."""
  above = tf.maximum(t, _CUT)
  root = tf.exp(tf.math.xlogy(1 / 3, above))  # xlogy: the product with the logarithm in one pass.
  newton = (above / tf.square(root) - root) * (1 / 3)
  # Below the cut the root stands still and this falls from 0; above, it is 0. It reaches 0 a
  # little off the cut, where the line meets the root's value: the rounded constants leave a gap.
  below = tf.minimum(_SLOPE * t - (_CUT ** (1 / 3) - _AT_BLACK), 0.0)
  return root + (newton + below)
