"""A regular grid of bins over the product of one or two ranges."""

from __future__ import annotations

import tensorflow as tf

from sbae_tf.quantize.quantizer import Quantizer

# 100 in all, as Budhkar, Casabuena and Iyengar 2019 take them.
_DEFAULT_BINS = {1: 100, 2: 10}


class GridQuantizer(Quantizer):
  """Bins of equal width along each channel; a subclass gives the ranges.

  Bin i of n along a channel of range [low, high] holds `low + i w <= x < low + (i + 1) w` with
  `w = (high - low) / n`; the last holds `high` too, and what lies outside goes to the nearest. Of
  two channels the first is the slower: K index = i_first n + i_second.
  """

  def __init__(self, channels: int, *, bins: int | None) -> None:
    """Makes the grid.

    Args:
      channels: C, 1 or 2.
      bins: n, along each channel; K = n^C. None: 100 for one channel, 10 for each of two.

    Raises:
      ValueError: C is neither 1 nor 2, or `bins` is under 2.
    """
    if channels not in _DEFAULT_BINS:
      raise ValueError(f"Expected one or two channels to quantize. Received: {channels}.")
    self.bins_per_channel = _DEFAULT_BINS[channels] if bins is None else bins
    if self.bins_per_channel < 2:
      raise ValueError(
        f"Expected option `bins` of the quantizer to be 2 or more. Received: {bins}."
      )
    self.bins = self.bins_per_channel**channels
    self._channels = channels

  def _range(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The low and high of the grid, each (B or 1, 1, 1, C) float32, with low < high."""
    raise NotImplementedError

  def encode(self, values: tf.Tensor) -> tf.Tensor:
    n = self.bins_per_channel
    low, high = self._range(values)
    along = tf.cast(tf.floor((values - low) / (high - low) * n), tf.int32)
    along = tf.clip_by_value(along, 0, n - 1)
    ids = along[..., 0]
    for c in range(1, self._channels):
      ids = ids * n + along[..., c]
    return ids

  def centers(self, values: tf.Tensor) -> tf.Tensor:
    n = self.bins_per_channel
    low, high = (bound[:, 0, 0, :] for bound in self._range(values))  # (B or 1, C)
    fractions = (tf.range(n, dtype=tf.float32) + 0.5) / n
    grid = tf.stack(tf.meshgrid(*[fractions] * self._channels, indexing="ij"), axis=-1)
    grid = tf.reshape(grid, (1, self.bins, self._channels))
    return low[:, None, :] + grid * (high - low)[:, None, :]
