"""Convolution, batch normalization and ReLU: the block that every backbone is made of."""

from __future__ import annotations

import math

import tensorflow as tf

# Those of the ResNet authors' Torch code. After 100 steps Keras's default momentum of 0.99 still
# holds a third of the initial statistics: a short run would be evaluated with wrong ones.
_BN_MOMENTUM = 0.9
_BN_EPSILON = 1e-5

# Vector units and tensor cores work on blocks of channels, and waste the rest of a block.
_CHANNEL_MULTIPLE = 8


def tower_input(channels: int) -> tf.Tensor:
  """Makes the symbolic input of a tower.

  Args:
    channels: C, the number of the input's channels, at least 1.

  Returns:
    Symbolic (B, H, W, C) with B, H and W unknown; float32 also under a mixed precision policy.

  Raises:
    ValueError: `channels` is not an int of at least 1.
  """
  if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
    raise ValueError(f"Expected `channels` an int of at least 1. Received: {channels!r}")
  return tf.keras.Input((None, None, channels), name="images", dtype="float32")


def scale_channels(channels: int, *, width: float) -> int:
  """Multiplies a layer's channels by `width`.

  Args:
    channels: the layer's channels at width 1.
    width: the multiplier, finite and above 0.

  Returns:
    The product, rounded to the nearest multiple of 8 (halves up), at least 8.

  Raises:
    ValueError: `width` is not a finite number above 0.
  """
  is_number = isinstance(width, (int, float)) and not isinstance(width, bool)
  if not is_number or not math.isfinite(width) or width <= 0:
    raise ValueError(f"Expected `width` a finite number above 0. Received: {width!r}")
  blocks = math.floor(channels * width / _CHANNEL_MULTIPLE + 0.5)
  return _CHANNEL_MULTIPLE * max(1, blocks)


def conv_bn_relu(
  x: tf.Tensor,
  filters: int,
  *,
  kernel: int,
  name: str,
  stride: int = 1,
  relu: bool = True,
  synchronized: bool = False,
) -> tf.Tensor:
  """Applies a convolution without bias, batch normalization and ReLU.

  The layers are named `name`, `name` + "_bn" and `name` + "_relu". A 1 x 1 convolution with a
  stride has the stride in a layer before it, `name` + "_subsample".

  Args:
    x: (B, H, W, C) floating-point, symbolic.
    filters: F, the channels of the output.
    kernel: height and width of the kernel.
    name: the convolution's name.
    stride: the stride in both directions. The padding is zeros, "same".
    relu: False leaves the ReLU out, for what is first added to a shortcut.
    synchronized: whether batch statistics are those of all devices together, not of each one.

  Returns:
    (B, ceil(H / stride), ceil(W / stride), F) of the compute type of the policy.

  Reference: Ioffe and Szegedy 2015, arXiv:1502.03167, Sec. 3.2 (no bias, normalization before the
    nonlinearity); He et al. 2015, arXiv:1502.01852, Eq. 10 (initial values).

  Differs from the paper: He's normal distribution is cut off at two standard deviations and scaled
    to keep its variance.
  """
  if kernel == 1 and stride > 1:
    # oneDNN's kernel gradient of a strided 1 x 1 convolution writes past its buffer if there are
    # fewer than 16 input channels: crashes on TF 2.15 and 2.21. The mean of one
    # pixel is that pixel, so this is the same function.
    x = tf.keras.layers.AveragePooling2D(1, strides=stride, name=f"{name}_subsample")(x)
    stride = 1
  x = tf.keras.layers.Conv2D(
    filters,
    kernel,
    strides=stride,
    padding="same",
    use_bias=False,  # Batch normalization would subtract it again.
    kernel_initializer="he_normal",
    name=name,
  )(x)
  x = tf.keras.layers.BatchNormalization(
    momentum=_BN_MOMENTUM,
    epsilon=_BN_EPSILON,
    synchronized=synchronized,
    dtype="float32" if synchronized else None,  # Keras would sum up in bfloat16.
    name=f"{name}_bn",
  )(x)
  return tf.keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x
