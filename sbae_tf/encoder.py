"""The encoder: uint8 photographs to named feature maps, color conversion inside."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.aggregation.aggregation import Features
from sbae_tf.color.color_space import ColorSpace
from sbae_tf.config import PretrainConfig
from sbae_tf.precision import precision_policy

EMBEDDING = "embedding"


class Encoder(tf.Module):
  """Photographs to features: a color space, then towers, then their aggregation.

  ```python
  encoder = sbae_tf.load_encoder("runs/split_brain_96_kmeans/encoder")
  features = encoder(images)             # images (B, H, W, 3) uint8
  features["conv3"], features["embedding"]
  ```

  Attributes:
    config: the configuration that it was built from.
    color: the color space.
    stride: height and width of the photographs must be multiples of it.
    feature_names: names of the feature maps, in order of depth.
    towers: the networks, Keras functional models.
    tower_channels: for each tower the names of the channels that it takes.
    tower_of: for each branch the index of its tower.
  """

  def __init__(self, config: PretrainConfig) -> None:
    """Builds an encoder with fresh weights, drawn from `tf.random`'s global seed.

    Args:
      config: a valid configuration.

    Raises:
      ValueError: a component or an option is unknown or out of range.
    """
    super().__init__(name="encoder")
    backbone = plugins.find("backbone", config.backbone.name)

    def build_tower(channels: int, name: str) -> tf.keras.Model:
      with precision_policy(config.precision):
        tower = backbone.build(channels, **config.backbone.options)
      # A name of its own keeps the towers apart in logs and graphs; Keras 2 has no public way.
      tower._name = name
      return tower

    self.config = config
    self.color: ColorSpace = plugins.find("color", config.color.name).build(**config.color.options)
    self.stride: int = backbone.constants["STRIDE"]
    self.feature_names: tuple[str, ...] = tuple(backbone.constants["FEATURES"])
    self._aggregation = plugins.find("aggregation", config.aggregation.name).build(
      config.branches,
      build_tower,
      [channel.name for channel in self.color.channels],
      **config.aggregation.options,
    )
    self.towers = self._aggregation.towers
    self.tower_channels = self._aggregation.tower_channels
    self.tower_of = self._aggregation.tower_of

  def branch_inputs(self, values: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """What each branch's tower sees.

    Args:
      values: (B, H, W, C) float32, all channels of the color space in native units.

    Returns:
      For each branch (B, H, W, len(inputs)) float32, every channel scaled from its range to
      [-1, 1].
    """
    return tuple(self.color.scale(values, branch.inputs) for branch in self.config.branches)

  def tower_inputs(self, images: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """What each tower sees of photographs in training, before a task changes it.

    Args:
      images: as for `__call__`.

    Returns:
      For each tower (B, H, W, C) float32 in [-1, 1].

    Raises:
      ValueError: as `__call__`.
    """
    return self._aggregation.tower_inputs(self.branch_inputs(self._values(images)))

  def branch_features(self, inputs: Sequence[tf.Tensor], *, training: bool) -> tuple[Features, ...]:
    """For each branch its named feature maps, in order of depth.

    Args:
      inputs: as `branch_inputs` gives them.
      training: whether batch normalization uses the batch.
    """
    return self._aggregation.branch_features(inputs, training=training)

  def __call__(self, images: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
    """The representation of photographs.

    Args:
      images: (B, H, W, 3) uint8 sRGB; H and W multiples of `stride`. With a color space that has
        bands (B, H, W, S), as its `encode` takes them.
      training: whether batch normalization uses the batch.

    Returns:
      Every feature map, (B, h, w, C) float32 under its name, of towers that see all the channels
      that they take, several ones concatenated along C; and under `"embedding"` the mean over the
      last map's pixels, (B, C) float32.

    Raises:
      ValueError: `images` is not as the color space takes it, or the stride does not divide its
        size.
    """
    values = self._values(images)
    maps = [
      tower(self.color.scale(values, channels), training=training)
      for tower, channels in zip(self.towers, self.tower_channels)
    ]
    return self._named(self._aggregation.merge(maps))

  def branch(self, images: tf.Tensor, index: int) -> dict[str, tf.Tensor]:
    """The representation by one branch alone, without training.

    Args:
      images: as for `__call__`.
      index: of the branch, in the configuration's order.

    Returns:
      As `__call__`, of that branch's tower only, which sees the branch's inputs only.

    Raises:
      ValueError: as `__call__`.
    """
    inputs = self.branch_inputs(self._values(images))
    return self._named(self.branch_features(inputs, training=False)[index])

  def _values(self, images: tf.Tensor) -> tf.Tensor:
    """Photographs to channels in native units, once their size is one that the towers take."""
    values = self.color.encode(images)
    if any(side is not None and side % self.stride for side in values.shape[1:3]):
      raise ValueError(
        f"Expected `images` of height and width that are multiples of {self.stride}. "
        f"Received: {values.shape[1]} x {values.shape[2]}. Crop or resize them."
      )
    return values

  def _named(self, features: Features) -> dict[str, tf.Tensor]:
    """Feature maps in float32, and the embedding."""
    named = {name: tf.cast(value, tf.float32) for name, value in features.items()}
    named[EMBEDDING] = tf.reduce_mean(named[self.feature_names[-1]], axis=(1, 2))
    return named
