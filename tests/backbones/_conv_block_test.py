"""Tests of the convolution block that the backbones share."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.backbones import _conv_block


@pytest.mark.parametrize(
  ("channels", "width", "expected"),
  [
    (64, 1, 64),
    (64, 0.5, 32),
    (96, 0.25, 24),
    (64, 0.2, 16),  # 12.8
    (64, 0.1875, 16),  # 12: half way, up.
    (64, 0.17, 8),  # 10.88
    (16, 0.001, 8),
    (64, 1.3, 80),  # 83.2
  ],
)
def test_scale_channels(channels: int, width: float, expected: int) -> None:
  assert _conv_block.scale_channels(channels, width=width) == expected


def test_scale_channels_names_a_bad_width() -> None:
  with pytest.raises(ValueError, match="Expected `width` a finite number above 0. Received: -1"):
    _conv_block.scale_channels(64, width=-1)


def _conv_same(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
  """Cross-correlates (H, W, C) with (k, k, C, F), k odd, stride 1, zeros around."""
  size = kernel.shape[0]
  padded = np.pad(x, ((size // 2, size // 2), (size // 2, size // 2), (0, 0)))
  output = np.zeros(x.shape[:2] + kernel.shape[-1:])
  for row in range(x.shape[0]):
    for column in range(x.shape[1]):
      window = padded[row : row + size, column : column + size]
      output[row, column] = np.tensordot(window, kernel, axes=3)
  return output


@pytest.mark.parametrize("relu", [True, False])
def test_conv_bn_relu_against_numpy(relu: bool) -> None:
  rng = np.random.default_rng(0)
  inputs = _conv_block.tower_input(2)
  outputs = _conv_block.conv_bn_relu(inputs, 4, kernel=3, name="conv9", relu=relu)
  model = tf.keras.Model(inputs, outputs)
  kernel = rng.normal(size=(3, 3, 2, 4))
  gamma, beta, mean = rng.normal(size=(3, 4))
  variance = rng.uniform(0.5, 2, size=4)
  model.get_layer("conv9").set_weights([kernel])
  model.get_layer("conv9_bn").set_weights([gamma, beta, mean, variance])

  image = rng.normal(size=(5, 7, 2))
  expected = gamma * (_conv_same(image, kernel) - mean) / np.sqrt(variance + 1e-5) + beta
  if relu:
    expected = np.maximum(expected, 0)
  actual = model(image[None].astype(np.float32), training=False)[0]
  np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_conv_bn_relu_rounds_odd_sizes_up() -> None:
  inputs = _conv_block.tower_input(1)
  outputs = _conv_block.conv_bn_relu(inputs, 8, kernel=3, stride=2, name="conv9")
  assert tf.keras.Model(inputs, outputs)(tf.zeros((1, 9, 6, 1))).shape == (1, 5, 3, 8)


def test_strided_1x1_is_the_strided_convolution_and_its_gradient() -> None:
  # With 3 channels, where the convolution's own gradient is at fault.
  inputs = _conv_block.tower_input(3)
  outputs = _conv_block.conv_bn_relu(inputs, 8, kernel=1, stride=2, name="conv9", relu=False)
  model = tf.keras.Model(inputs, outputs)
  kernel = model.get_layer("conv9").kernel
  images = tf.random.stateless_normal((3, 15, 16, 3), seed=(1, 2))
  weights = tf.random.stateless_normal((3, 8, 8, 8), seed=(3, 4))
  with tf.GradientTape() as tape:
    maps = model(images, training=False)
    loss = tf.reduce_sum(weights * maps)
  scale = 1 / np.sqrt(1 + 1e-5)  # Batch normalization with its initial statistics.
  every_second = images[:, ::2, ::2].numpy() * scale
  expected = np.einsum("bhwc,cf->bhwf", every_second, kernel[0, 0])
  np.testing.assert_allclose(maps, expected, atol=1e-5)
  expected_gradient = np.einsum("bhwc,bhwf->cf", every_second, weights)
  np.testing.assert_allclose(tape.gradient(loss, kernel)[0, 0], expected_gradient, atol=1e-4)


def test_initial_kernel_has_he_variance() -> None:
  tf.keras.utils.set_random_seed(0)
  inputs = _conv_block.tower_input(64)
  model = tf.keras.Model(inputs, _conv_block.conv_bn_relu(inputs, 256, kernel=3, name="conv9"))
  kernel = model.get_layer("conv9").get_weights()[0]
  np.testing.assert_allclose(kernel.mean(), 0, atol=1e-3)
  # Var[w] = 2 / fan-in, He et al. 2015, Eq. 10.
  np.testing.assert_allclose(kernel.var(), 2 / (3 * 3 * 64), rtol=0.02)
