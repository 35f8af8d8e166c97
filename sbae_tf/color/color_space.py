"""What a color space is: named channels with ranges, and both ways of the conversion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.color import _blocks
from sbae_tf.color._by_device import by_device


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
    encode_on_cpu: the same as `encode_rgb` for CPUs, uint8 (B, H, W, 3) to float32 (B, H, W, C);
      None: `encode_rgb` serves there, too.
  """

  name: str
  channels: tuple[Channel, ...]
  encode_rgb: Callable[[tf.Tensor], tf.Tensor]
  decode_rgb: Callable[[tf.Tensor], tf.Tensor]
  encode_on_cpu: Callable[[tf.Tensor], tf.Tensor] | None = None

  @classmethod
  def of(
    cls,
    name: str,
    channels: Mapping[str, tuple[float, float]],
    encode_rgb: Callable[[tf.Tensor], tf.Tensor],
    decode_rgb: Callable[[tf.Tensor], tf.Tensor],
    encode_on_cpu: Callable[[tf.Tensor], tf.Tensor] | None = None,
  ) -> ColorSpace:
    """Makes a space from a module's `CHANNELS`."""
    named = tuple(Channel(key, low, high) for key, (low, high) in channels.items())
    return cls(name, named, encode_rgb, decode_rgb, encode_on_cpu)

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

    def define() -> tf.Tensor:
      return self.encode_rgb(tf.cast(images, tf.float32) / 255.0)

    on_cpu = self.encode_on_cpu
    if on_cpu is None:
      return define()
    return by_device(on_cpu=lambda: on_cpu(images), elsewhere=define)

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
    indices = self.indices(names)
    first, end = indices[0], indices[0] + len(indices)
    if indices == list(range(first, end)):
      return values[..., first:end]  # Half of a gather's time, or less.
    return tf.gather(values, indices, axis=-1)

  def scale(self, values: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
    """Channels as a network takes them, each scaled from its range to [-1, 1].

    Args:
      values: (B, H, W, C) float32, all channels in native units.
      names: of the channels that are wanted.

    Returns:
      (B, H, W, len(names)) float32, in the order of `names`.

    Raises:
      ValueError: the space has no such channel.
    """
    chosen = self.select(names)
    half = np.array([(channel.high - channel.low) / 2 for channel in chosen])
    middle = np.array([(channel.high + channel.low) / 2 for channel in chosen])

    def multiply() -> tf.Tensor:
      # Selects and scales in one pass over the values.
      weights = np.zeros((len(self.channels), len(names)))
      weights[self.indices(names), range(len(names))] = 1 / half
      scaled = tf.matmul(_blocks.rows(values), _blocks.matrix(weights))
      scaled = tf.nn.bias_add(scaled, _blocks.vector(-middle / half))
      return _blocks.pixels(scaled, values, len(names))

    def define() -> tf.Tensor:
      selected = self.slice(values, names)
      return (selected - tf.constant(middle, tf.float32)) / tf.constant(half, tf.float32)

    return by_device(on_cpu=multiply, elsewhere=define)

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
