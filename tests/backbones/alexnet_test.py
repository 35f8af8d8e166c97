"""Golden numbers of AlexNet."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sbae_tf.backbones import alexnet

# The tower of L at width 1 and 96 x 96 images: kernel, channels in and out, size of the output.
_LAYERS = (
  (11, 1, 96, 24),
  (5, 96, 256, 12),
  (3, 256, 384, 12),
  (3, 384, 384, 12),
  (3, 384, 256, 12),
  (7, 256, 4096, 12),
  (1, 4096, 4096, 12),
)


def test_parameters_of_the_towers(count_parameters: Callable[..., tuple[int, int]]) -> None:
  assert count_parameters(alexnet, (1,), heads=False) == (71_918_304, 71_899_168)
  assert count_parameters(alexnet, (2,), heads=False) == (71_929_920, 71_910_784)


def test_parameters_of_the_whole_model(count_parameters: Callable[..., tuple[int, int]]) -> None:
  assert count_parameters(alexnet, (1, 2), heads=True) == (144_667_624, 144_629_352)


def test_parameters_of_the_split_brain_paper(
  count_parameters: Callable[..., tuple[int, int]],
) -> None:
  assert count_parameters(alexnet, (1, 2), heads=True, width=0.5) == (36_399_704, 36_380_568)


def test_parameters_by_hand(count_parameters: Callable[..., tuple[int, int]]) -> None:
  kernels = sum(k * k * inputs * outputs for k, inputs, outputs, _ in _LAYERS)
  channels = sum(outputs for _, _, outputs, _ in _LAYERS)
  second_channel = 11 * 11 * 96  # What the tower of a and b has more, in conv1.
  head = 4096 * 100 + 100
  trainable = 2 * (kernels + 2 * channels + head) + second_channel
  expected = (trainable + 2 * 2 * channels, trainable)
  assert count_parameters(alexnet, (1, 2), heads=True) == expected


def test_maps_at_96() -> None:
  maps = alexnet.build(1, width=0.25)(tf.zeros((1, 96, 96, 1)))
  assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
    f"conv{i}": (size, size, channels // 4) for i, (_, _, channels, size) in enumerate(_LAYERS, 1)
  }
