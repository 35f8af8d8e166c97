"""ResNet18 at half width, fully convolutional: 6.8M parameters for a split-brain pair.

| feature | layers                              | channels at width 1 | at 96 x 96 |
| ------- | ----------------------------------- | ------------------- | ---------- |
| conv1   | 7 x 7, stride 2                     | 64                  | 48 x 48    |
| conv2   | 3 x 3 max pool, stride 2; 2 blocks  | 64                  | 24 x 24    |
| conv3   | 2 blocks, the first with stride 2   | 128                 | 12 x 12    |
| conv4   | 2 blocks                            | 256                 | 12 x 12    |
| conv5   | 2 blocks                            | 512                 | 12 x 12    |
| conv6   | 3 x 3                               | 512                 | 12 x 12    |

A block is two 3 x 3 convolutions and a shortcut (the paper's option B: a 1 x 1 projection where the
shape changes). The default width of 0.5 halves every layer, so that the two towers of a split-brain
autoencoder together have the features of one ResNet18.

References: He et al. 2016, arXiv:1512.03385, Table 1 and Fig. 5 (left); Zhang, Isola and Efros
2017, arXiv:1611.09842, Sec. 4 (half of every layer's channels to each tower).

Differs from the paper: conv4 and conv5 have stride 1, where He et al. have 2, so that the output
has stride 8 and predicts 12 x 12 bins for a 96 x 96 image. The global average pool and classifier
are replaced by conv6, which keeps conv5 away from the prediction: the last layer before a head
specializes in the proxy task.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from sbae_tf.backbones import _conv_block

STRIDE = 8
FEATURES = ("conv1", "conv2", "conv3", "conv4", "conv5", "conv6")

# Name, channels at width 1, stride of the first block.
_STAGES = (("conv2", 64, 1), ("conv3", 128, 2), ("conv4", 256, 1), ("conv5", 512, 1))
_BLOCKS_PER_STAGE = 2
_STEM_CHANNELS = 64
_CONV6_CHANNELS = 512


def build(channels: int, *, width: float = 0.5, synchronized: bool = False) -> tf.keras.Model:
  """Builds a ResNet18 tower.

  Args:
    channels: C, the number of the input's channels.
    width: multiplies the channels of every layer; 1 is the ResNet18 of He et al.
    synchronized: whether batch normalization takes the statistics of all devices together, which
      small batches a device need; slower.

  Returns:
    A functional model from (B, H, W, C) float32, H and W multiples of 8, to a dict from the names
    in `FEATURES` to (B, h, w, F) float32 (the compute type under mixed precision), at least 0.

  Raises:
    ValueError: `channels` is not an int of at least 1, or `width` not a finite number above 0.
  """
  block = functools.partial(_conv_block.conv_bn_relu, synchronized=synchronized)
  stem_filters = _conv_block.scale_channels(_STEM_CHANNELS, width=width)
  images = _conv_block.tower_input(channels)
  x = block(images, stem_filters, kernel=7, stride=2, name="conv1")
  features = {"conv1": x}
  x = tf.keras.layers.MaxPooling2D(3, strides=2, padding="same", name="conv1_pool")(x)
  for stage, count, stride in _STAGES:
    filters = _conv_block.scale_channels(count, width=width)
    for number in range(_BLOCKS_PER_STAGE):
      first_stride = stride if number == 0 else 1
      x = _basic_block(block, x, filters, stride=first_stride, name=f"{stage}_block{number + 1}")
    features[stage] = x
  conv6_filters = _conv_block.scale_channels(_CONV6_CHANNELS, width=width)
  features["conv6"] = block(x, conv6_filters, kernel=3, name="conv6")
  return tf.keras.Model(images, features)


def _basic_block(
  block: Callable[..., tf.Tensor], x: tf.Tensor, filters: int, *, stride: int, name: str
) -> tf.Tensor:
  """Applies the two-layer residual block: ReLU(F(x) + shortcut(x)), He et al. Eq. 1 and 2."""
  shortcut = x
  if stride != 1 or x.shape[-1] != filters:
    shortcut = block(x, filters, kernel=1, stride=stride, name=f"{name}_shortcut", relu=False)
  x = block(x, filters, kernel=3, stride=stride, name=f"{name}_conv1")
  x = block(x, filters, kernel=3, name=f"{name}_conv2", relu=False)
  x = tf.keras.layers.Add(name=f"{name}_add")([x, shortcut])
  return tf.keras.layers.ReLU(name=f"{name}_relu")(x)
