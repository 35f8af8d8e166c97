"""Golden numbers of ResNet18, and its shortcuts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sbae_tf.backbones import resnet18

# The tower of L at width 0.5 and 96 x 96 images: kernel, channels in and out, size of the output,
# number of such layers.
_LAYERS = (
  (7, 1, 32, 48, 1),
  (3, 32, 32, 24, 4),
  (3, 32, 64, 12, 1),
  (1, 32, 64, 12, 1),
  (3, 64, 64, 12, 3),
  (3, 64, 128, 12, 1),
  (1, 64, 128, 12, 1),
  (3, 128, 128, 12, 3),
  (3, 128, 256, 12, 1),
  (1, 128, 256, 12, 1),
  (3, 256, 256, 12, 3),
  (3, 256, 256, 12, 1),  # conv6
)


def test_parameters_of_the_towers(count_parameters: Callable[..., tuple[int, int]]) -> None:
  assert count_parameters(resnet18, (1,), heads=False) == (3_391_392, 3_386_080)
  assert count_parameters(resnet18, (2,), heads=False) == (3_392_960, 3_387_648)


def test_parameters_of_the_whole_model(count_parameters: Callable[..., tuple[int, int]]) -> None:
  assert count_parameters(resnet18, (1, 2), heads=True) == (6_835_752, 6_825_128)


def test_parameters_by_hand(count_parameters: Callable[..., tuple[int, int]]) -> None:
  kernels = sum(n * k * k * inputs * outputs for k, inputs, outputs, _, n in _LAYERS)
  channels = sum(n * outputs for _, _, outputs, _, n in _LAYERS)
  second_channel = 7 * 7 * 32  # What the tower of a and b has more, in conv1.
  head = 256 * 100 + 100
  trainable = 2 * (kernels + 2 * channels + head) + second_channel
  expected = (trainable + 2 * 2 * channels, trainable)
  assert count_parameters(resnet18, (1, 2), heads=True) == expected


def test_full_width_is_the_published_network(
  count_parameters: Callable[..., tuple[int, int]],
) -> None:
  # torchvision's resnet18 has 11,689,512 trainable parameters; 513,000 of them are its classifier.
  conv6 = 3 * 3 * 512 * 512 + 2 * 512
  _, trainable = count_parameters(resnet18, (3,), heads=False, width=1.0)
  assert trainable - conv6 == 11_689_512 - 513_000


def test_maps_at_96() -> None:
  maps = resnet18.build(1)(tf.zeros((1, 96, 96, 1)))
  assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
    "conv1": (48, 48, 32),
    "conv2": (24, 24, 32),
    "conv3": (12, 12, 64),
    "conv4": (12, 12, 128),
    "conv5": (12, 12, 256),
    "conv6": (12, 12, 256),
  }


def test_block_without_residual_is_its_shortcut() -> None:
  tower = resnet18.build(1, width=0.1)
  for layer in tower.layers:
    if layer.name.endswith("_conv2_bn"):
      layer.gamma.assign(tf.zeros_like(layer.gamma))
  inner = [tower.get_layer(n).output for n in ("conv1_pool", "conv3_block1_shortcut_bn")]
  images = tf.random.stateless_normal((2, 64, 64, 1), seed=(1, 2))
  pooled, projected = tf.keras.Model(tower.input, inner)(images)
  maps = tower(images)
  np.testing.assert_allclose(maps["conv2"], pooled, atol=1e-6)
  np.testing.assert_allclose(maps["conv3"], tf.nn.relu(projected), atol=1e-6)
