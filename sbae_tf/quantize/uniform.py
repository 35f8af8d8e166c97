"""Bins of equal width over all that a channel can be."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf.color.color_space import Channel
from sbae_tf.quantize._grid import GridQuantizer


class UniformQuantizer(GridQuantizer):
  """A grid over the channels' ranges, the same for every image."""

  def __init__(self, channels: Sequence[Channel], *, bins: int | None) -> None:
    super().__init__(len(channels), bins=bins)
    self._low = [channel.low for channel in channels]
    self._high = [channel.high for channel in channels]

  def _range(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    del values
    return (
      tf.reshape(tf.constant(self._low, tf.float32), (1, 1, 1, -1)),
      tf.reshape(tf.constant(self._high, tf.float32), (1, 1, 1, -1)),
    )


def build(channels: Sequence[Channel], *, bins: int | None = None) -> UniformQuantizer:
  """Bins over the channels' whole ranges.

  Args:
    channels: the one or two to quantize.
    bins: along each channel; None: 100 for one channel, 10 x 10 for two.

  Raises:
    ValueError: there are more than two channels, or `bins` is under 2.

  Reference: Budhkar, Casabuena, Iyengar 2019.
  Differs from the paper: the ranges are those of sRGB's colors; the authors' published code rounds
    them up (L to 101, a from -87 to 99, b from -108 to 95), which makes bins 1% wider. Zhang et al.
    2017 keep only the ab bins that are in gamut, as `gamut` does.
  """
  return UniformQuantizer(channels, bins=bins)
