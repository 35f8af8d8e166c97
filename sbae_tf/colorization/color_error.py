"""How far a colorized photograph is from the original, in the measures of the literature."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.color.color_space import ColorSpace


@dataclasses.dataclass(frozen=True)
class ColorError:
  """How far a photograph is from the original.

  Attributes:
    psnr_db: peak signal-to-noise ratio of sRGB: 10 log10(255^2 / e), e the mean of the squared
      difference over pixels, red, green and blue, in levels of 256; of two that are the same, as if
      one of these numbers differed by a level.
    rmse_ab: root mean square over pixels of the distance in CIE Lab's plane of a and b, in its
      units: sqrt(mean((a - a')^2 + (b - b')^2)).
    rmse_l: the same of lightness L, in [0, 100].

  Reference: Larsson et al. 2016, arXiv:1603.06668, Sec. 5: RMSE in the color plane over all
    pixels; PSNR in RGB of each photograph, and of those the arithmetic mean.
  Differs from the paper: a and b are CIE Lab's under D65, in their units, as Zhang et al. 2016
    measure distances; the paper's numbers, below 1, are of another scale. An RMSE of each channel
    by itself would be smaller by sqrt(2).
  """

  psnr_db: float
  rmse_ab: float
  rmse_l: float

  @classmethod
  def of_sums(cls, sums: Sequence[float] | np.ndarray, pixels: int) -> ColorError:
    """Made of `squared_error_sums`, added up over all parts of a photograph.

    Args:
      sums: (3,) float.
      pixels: of the photograph.
    """
    rgb, ab, lightness = (float(value) for value in sums)
    return cls(
      psnr_db=10.0 * math.log10(255.0**2 * 3 * pixels / max(rgb, 1.0)),
      rmse_ab=math.sqrt(ab / pixels),
      rmse_l=math.sqrt(lightness / pixels),
    )


def squared_error_sums(lab: ColorSpace, original: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
  """Sums of squared differences over pixels.

  Args:
    lab: CIE Lab.
    original: (B, H, W, 3) uint8 sRGB.
    other: the same.

  Returns:
    (3,) float32: of red, green and blue in levels of 256, of a and b, and of L in their units.
  """
  rgb = tf.cast(original, tf.float32) - tf.cast(other, tf.float32)
  difference = lab.encode(original) - lab.encode(other)
  return tf.stack(
    [
      tf.reduce_sum(tf.square(rgb)),
      tf.reduce_sum(tf.square(lab.slice(difference, ("a", "b")))),
      tf.reduce_sum(tf.square(lab.slice(difference, ("L",)))),
    ]
  )
