"""Bins of equal width over each image's own range of a channel: re-scaled Lab."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf.color.color_space import Channel
from sbae_tf.quantize._grid import GridQuantizer


class RescaledQuantizer(GridQuantizer):
  """A grid from the least to the greatest value of each channel in the image."""

  def __init__(self, channels: Sequence[Channel], *, bins: int | None) -> None:
    super().__init__(len(channels), bins=bins)
    # An image of one color has no range. This one (a ten-thousandth of the channel's) puts all
    # its pixels into bin 0, the center of which is then the color itself but for that much.
    self._least_range = [1e-4 * (channel.high - channel.low) for channel in channels]

  def _range(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    low = tf.reduce_min(values, axis=(1, 2), keepdims=True)
    high = tf.reduce_max(values, axis=(1, 2), keepdims=True)
    return low, tf.maximum(high, low + tf.constant(self._least_range, tf.float32))


def build(channels: Sequence[Channel], *, bins: int | None = None) -> RescaledQuantizer:
  """Bins over the range of each image's own values in the map that is quantized.

  Args:
    channels: the one or two to quantize.
    bins: along each channel; None: 100 for one channel, 10 x 10 for two.

  Raises:
    ValueError: there are more than two channels, or `bins` is under 2.

  Reference: Budhkar, Casabuena, Iyengar 2019, re-scaled Lab.
    As in the authors' published code the range is that of the small target map.
  Differs from the paper: the range is exact, where the published code adds one Lab unit above.
  """
  return RescaledQuantizer(channels, bins=bins)
