"""AlexNet, fully convolutional: 145M parameters for a split-brain pair, 36M at width 0.5.

| feature | kernel  | stride | then max pool   | channels at width 1 | at 96 x 96 |
| ------- | ------- | ------ | --------------- | ------------------- | ---------- |
| conv1   | 11 x 11 | 4      | 3 x 3, stride 2 | 96                  | 24 x 24    |
| conv2   | 5 x 5   | 1      | 3 x 3, stride 1 | 256                 | 12 x 12    |
| conv3   | 3 x 3   | 1      |                 | 384                 | 12 x 12    |
| conv4   | 3 x 3   | 1      |                 | 384                 | 12 x 12    |
| conv5   | 3 x 3   | 1      | 3 x 3, stride 1 | 256                 | 12 x 12    |
| conv6   | 7 x 7   | 1      |                 | 4096                | 12 x 12    |
| conv7   | 1 x 1   | 1      |                 | 4096                | 12 x 12    |

conv6 and conv7 are fc6 and fc7 as convolutions; the features are those before the pools.
`width=0.5` is the variant of the split-brain paper, in which the two towers together have the
features of one AlexNet.

References: Krizhevsky, Sutskever and Hinton 2012, Sec. 3.5; Zhang, Isola and Efros 2017,
arXiv:1611.09842, Sec. 4.

Differs from the paper: the pools after conv2 and conv5 have stride 1, where Krizhevsky et al. have
2, so that the output has stride 8 and predicts 12 x 12 bins for a 96 x 96 image. fc6 has a 7 x 7
kernel in the place of 6 x 6: an odd one keeps the map aligned with the input. No groups; batch
normalization in the place of local response normalization; no dropout.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from sbae_tf.backbones import _conv_block

STRIDE = 8
FEATURES = ("conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "conv7")

_KERNELS = (11, 5, 3, 3, 3, 7, 1)
_STRIDES = (4, 1, 1, 1, 1, 1, 1)
_CHANNELS = (96, 256, 384, 384, 256, 4096, 4096)

# The strides of the max pools after these features.
_POOL_STRIDES = {"conv1": 2, "conv2": 1, "conv5": 1}


def build(channels: int, *, width: float = 1.0, synchronized: bool = False) -> tf.keras.Model:
  """Builds an AlexNet tower.

  Args:
    channels: C, the number of the input's channels.
    width: multiplies the channels of every layer; 0.5 is the split-brain paper's.
    synchronized: whether batch normalization takes the statistics of all devices together, which
      small batches a device need; slower.

  Returns:
    A functional model from (B, H, W, C) float32, H and W multiples of 8, to a dict from the names
    in `FEATURES` to (B, h, w, F) float32 (the compute type under mixed precision), at least 0.

  Raises:
    ValueError: `channels` is not an int of at least 1, or `width` not a finite number above 0.
  """
  filters = [_conv_block.scale_channels(count, width=width) for count in _CHANNELS]
  block = functools.partial(_conv_block.conv_bn_relu, synchronized=synchronized)
  images = _conv_block.tower_input(channels)
  x = images
  features = {}
  for name, count, kernel, stride in zip(FEATURES, filters, _KERNELS, _STRIDES):
    x = block(x, count, kernel=kernel, stride=stride, name=name)
    features[name] = x
    if name in _POOL_STRIDES:
      x = tf.keras.layers.MaxPooling2D(
        3, strides=_POOL_STRIDES[name], padding="same", name=f"{name}_pool"
      )(x)
  return tf.keras.Model(images, features)
