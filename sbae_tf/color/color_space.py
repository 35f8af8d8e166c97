"""What a color space is: named channels with ranges, and both ways of the conversion.

A space may have channels that no photograph has, such as depth: bands, which are read beside it.
They travel as planes of 8 bits, after red, green and blue: level 1 is the low end of a channel's
range, 255 the high one, and 0 says that there is no value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.color import _blocks
from sbae_tf.color._by_device import by_device

_RGB = 3  # The planes of a photograph.
_HIGHEST_LEVEL = 255  # Of a band; the lowest is 1.

# The bands as a file has them, (H, W, N) of any type, to the planes of a space's bands, (H, W, P)
# uint8. Raises ValueError for what cannot be such a file. Whole frames, not crops of them.
LevelsFunction = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Channel:
  """A channel and the values that sRGB photographs, or its band, can give it.

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
    channels: the channels, in the order of the last axis: those of photographs, then the bands.
    encode_rgb: float32 (B, H, W, 3) sRGB in [0, 1] to float32 (B, H, W, C) in native units,
      without bands.
    decode_rgb: the way back; may leave [0, 1].
    encode_on_cpu: the same as `encode_rgb` for CPUs, uint8 (B, H, W, 3) to float32 (B, H, W, C);
      None: `encode_rgb` serves there, too.
    bands: P, how many of the channels are bands: the last ones.
    levels: makes the planes of the bands from what is read; None where there are none.
  """

  name: str
  channels: tuple[Channel, ...]
  encode_rgb: Callable[[tf.Tensor], tf.Tensor]
  decode_rgb: Callable[[tf.Tensor], tf.Tensor]
  encode_on_cpu: Callable[[tf.Tensor], tf.Tensor] | None = None
  bands: int = 0
  levels: LevelsFunction | None = None

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

  def with_bands(
    self, name: str, bands: Mapping[str, tuple[float, float]], levels: LevelsFunction
  ) -> ColorSpace:
    """This space and bands.

    Args:
      name: of the new one's module.
      bands: each one's name and range: the values of levels 1 and 255.
      levels: as the attribute.
    """
    added = tuple(Channel(key, low, high) for key, (low, high) in bands.items())
    return dataclasses.replace(
      self, name=name, channels=(*self.channels, *added), bands=len(added), levels=levels
    )

  @property
  def planes(self) -> int:
    """S, the planes of 8 bits that images have: 3, and one for each band."""
    return _RGB + self.bands

  @property
  def band_names(self) -> tuple[str, ...]:
    """The names of the channels that are bands, in their order."""
    return tuple(c.name for c in self.channels[len(self.channels) - self.bands :])

  def encode(self, images: tf.Tensor) -> tf.Tensor:
    """Photographs to channels.

    Args:
      images: (B, H, W, S) uint8: sRGB, and a plane for each band.

    Returns:
      (B, H, W, C) float32, each channel in its native unit and range. A band is in the middle of
      its range where it has no value.

    Raises:
      ValueError: `images` is not uint8, or has not S planes. (The conversion would take any float,
        and turn 0 to 255 into garbage without a word.)
    """
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8 or images.shape.rank != 4 or images.shape[-1] != self.planes:
      raise ValueError(
        f"Expected `images` (B, H, W, {self.planes}) uint8. "
        f"Received: {images.shape} {images.dtype.name}."
      )
    if not self.bands:
      return self._encode_photographs(images)
    photographs = self._encode_photographs(images[..., :_RGB])
    return tf.concat([photographs, self._encode_bands(images[..., _RGB:])], axis=-1)

  def known(self, images: tf.Tensor) -> tf.Tensor | None:
    """Where channels have a value.

    Args:
      images: as for `encode`.

    Returns:
      (B, H, W, C) float32, 1 or 0; None for a space without bands: everywhere.
    """
    if not self.bands:
      return None
    bands = tf.cast(tf.cast(images[..., _RGB:], tf.float32) > 0.0, tf.float32)
    photograph = tf.ones_like(bands[..., :1])
    return tf.concat([photograph] * (len(self.channels) - self.bands) + [bands], axis=-1)

  def _encode_photographs(self, images: tf.Tensor) -> tf.Tensor:
    def define() -> tf.Tensor:
      return self.encode_rgb(tf.cast(images, tf.float32) / 255.0)

    on_cpu = self.encode_on_cpu
    if on_cpu is None:
      return define()
    return by_device(on_cpu=lambda: on_cpu(images), elsewhere=define)

  def _encode_bands(self, levels: tf.Tensor) -> tf.Tensor:
    chosen = self.channels[len(self.channels) - self.bands :]
    low = np.array([channel.low for channel in chosen])
    step = np.array([channel.high - channel.low for channel in chosen]) / (_HIGHEST_LEVEL - 1)
    levels = tf.cast(levels, tf.float32)  # TensorFlow Lite does not compare uint8.
    values = (levels - 1.0) * tf.constant(step, tf.float32) + tf.constant(low, tf.float32)
    middle = low + step * (_HIGHEST_LEVEL - 1) / 2
    return tf.where(levels > 0.0, values, tf.constant(middle, tf.float32))

  def decode(self, values: tf.Tensor) -> tf.Tensor:
    """Channels to photographs.

    Args:
      values: (B, H, W, C) float32 in native units; colors outside sRGB's gamut are clipped, and
        bands are not looked at.

    Returns:
      (B, H, W, 3) float32 sRGB in [0, 1].
    """
    if self.bands:
      values = values[..., : -self.bands]
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
