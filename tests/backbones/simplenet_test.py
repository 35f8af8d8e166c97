"""Golden numbers of SimpleNet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tensorflow as tf

from sbae_tf.backbones import simplenet

# The tower of L at width 1 and 96 x 96 images: kernel, channels in and out, size of the output.
_LAYERS = (
  (5, 1, 16, 48),
  (3, 16, 64, 24),
  (3, 64, 128, 12),
  (3, 128, 128, 12),
  (3, 128, 96, 12),
)


def test_parameters_of_the_towers(count_parameters: Callable[..., tuple[int, int]]) -> None:
  assert count_parameters(simplenet, (1,), heads=False) == (343_120, 342_256)
  assert count_parameters(simplenet, (2,), heads=False) == (343_520, 342_656)


def test_parameters_of_the_whole_model(count_parameters: Callable[..., tuple[int, int]]) -> None:
  assert count_parameters(simplenet, (1, 2), heads=True) == (706_040, 704_312)


def test_parameters_by_hand(count_parameters: Callable[..., tuple[int, int]]) -> None:
  kernels = sum(k * k * inputs * outputs for k, inputs, outputs, _ in _LAYERS)
  channels = sum(outputs for _, _, outputs, _ in _LAYERS)
  second_channel = 5 * 5 * 16  # What the tower of a and b has more, in conv1.
  head = 96 * 100 + 100
  trainable = 2 * (kernels + 2 * channels + head) + second_channel
  expected = (trainable + 2 * 2 * channels, trainable)
  assert count_parameters(simplenet, (1, 2), heads=True) == expected


def test_training_step_stays_cheap() -> None:
  products = sum(k * k * i * o * size * size for k, i, o, size in _LAYERS) + 96 * 100 * 12 * 12
  products = 2 * products + 5 * 5 * 16 * 48 * 48
  assert products == 111_697_920
  # Two operations a product; a step is a forward pass and two backward passes of the same cost.
  assert 3 * 2 * products < 0.68e9


def test_maps_at_96() -> None:
  maps = simplenet.build(1)(tf.zeros((1, 96, 96, 1)))
  assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
    f"conv{i}": (size, size, channels) for i, (_, _, channels, size) in enumerate(_LAYERS, 1)
  }


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_channels_are_whole_blocks(width: float) -> None:
  with tf.Graph().as_default():
    outputs = simplenet.build(1, width=width).output
  assert all(x.shape[-1] % (16 * width) == 0 for x in outputs.values())
