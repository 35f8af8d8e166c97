"""What a color space is: named channels with ranges, and both ways of the conversion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Channel:
  """A channel and the values that sRGB photographs can give it.

  Attributes:
    name: such as `"L"`.
    low: the least value, in the channel's native unit.
    high: the greatest.
  """

  name: str
  low: float
  high: float


@dataclasses.dataclass(frozen=True)
class ColorSpace:
  """A color space.

  Attributes:
    name: the module's name.
    channels: the channels, in the order of the last axis.
    encode_rgb: float32 (B, H, W, 3) sRGB in [0, 1] to float32 (B, H, W, C) in native units.
    decode_rgb: the way back; may leave [0, 1].
  """

  name: str
  channels: tuple[Channel, ...]
  encode_rgb: Callable[[tf.Tensor], tf.Tensor]
  decode_rgb: Callable[[tf.Tensor], tf.Tensor]

  @classmethod
  def of(
    cls,
    name: str,
    channels: Mapping[str, tuple[float, float]],
    encode_rgb: Callable[[tf.Tensor], tf.Tensor],
    decode_rgb: Callable[[tf.Tensor], tf.Tensor],
  ) -> ColorSpace:
    """Makes a space from a module's `CHANNELS`."""
    named = tuple(Channel(key, low, high) for key, (low, high) in channels.items())
    return cls(name, named, encode_rgb, decode_rgb)

  def encode(self, images: tf.Tensor) -> tf.Tensor:
    """Photographs to channels.

    Args:
      images: (B, H, W, 3) uint8 sRGB.

    Returns:
      (B, H, W, C) float32, each channel in its native unit and range.

    Raises:
      ValueError: `images` is not uint8, or has no 3 channels. (The conversion would take any
        float, and turn 0 to 255 into garbage without a word.)
    """
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8 or images.shape.rank != 4 or images.shape[-1] != 3:
      raise ValueError(
        f"Expected `images` (B, H, W, 3) uint8. Received: {images.shape} {images.dtype.name}."
      )
    return self.encode_rgb(tf.cast(images, tf.float32) / 255.0)

  def decode(self, values: tf.Tensor) -> tf.Tensor:
    """Channels to photographs.

    Args:
      values: (B, H, W, C) float32 in native units; colors outside sRGB's gamut are clipped.

    Returns:
      (B, H, W, 3) float32 sRGB in [0, 1].
    """
    return tf.clip_by_value(self.decode_rgb(values), 0.0, 1.0)

  def select(self, names: Sequence[str]) -> tuple[Channel, ...]:
    """The channels of these names, in this order.

    Raises:
      ValueError: the space has no such channel.
    """
    return tuple(self.channels[i] for i in self.indices(names))

  def slice(self, values: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
    """(B, H, W, C) to the (B, H, W, len(names)) of these channels, in this order."""
    return tf.gather(values, self.indices(names), axis=-1)

  def indices(self, names: Sequence[str]) -> list[int]:
    """Where the channels of these names stand on the last axis.

    Raises:
      ValueError: the space has no such channel.
    """
    known = [channel.name for channel in self.channels]
    for name in names:
      if name not in known:
        raise ValueError(f"Color space '{self.name}' has no channel '{name}'. It has: {known}.")
    return [known.index(name) for name in names]
