"""What tests of initializations start from: photographs, and towers of every backbone."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import plugins

_PHOTOGRAPHS = 96


def _draw(channels: int, *, seed: int) -> np.ndarray:
  """(96, 32, 32, C) float32 in [-1, 1]: noise of neighbors that are alike, as in photographs."""
  rng = np.random.default_rng(seed)
  noise = np.zeros((_PHOTOGRAPHS, 32, 32, channels))
  for side in (4, 8, 16, 32):
    coarse = rng.normal(size=(_PHOTOGRAPHS, side, side, channels)) * 8 / side
    noise += coarse.repeat(32 // side, 1).repeat(32 // side, 2)
  return np.clip(noise / 4, -1, 1).astype(np.float32)


@pytest.fixture(scope="session")
def photographs() -> Callable[..., np.ndarray]:
  """Photographs of so many channels; others by another seed."""
  return _draw


def _build_small(channels: int, *, sizes: tuple[float, float] = (1.0, 1.0)) -> tf.keras.Model:
  """Two layers of 1 x 1 convolutions, whose weights have such standard deviations."""
  inputs = x = tf.keras.Input((None, None, channels))
  for number, (filters, size) in enumerate(zip((5, 4), sizes), 1):
    drawn = tf.keras.initializers.RandomNormal(stddev=size, seed=number)
    name = f"conv{number}"
    x = tf.keras.layers.Conv2D(filters, 1, use_bias=False, kernel_initializer=drawn, name=name)(x)
    x = tf.keras.layers.BatchNormalization(epsilon=1e-5)(x)
    x = tf.keras.layers.ReLU()(x)
  return tf.keras.Model(inputs, {"conv2": x})


@pytest.fixture(scope="session")
def build_small() -> Callable[..., tf.keras.Model]:
  """Builds a tower that is quicker than a backbone's."""
  return _build_small


@pytest.fixture(params=plugins.names("backbone"))
def tower(request) -> tf.keras.Model:
  """A tower of 8 channels in every layer, that sees 2."""
  tf.keras.utils.set_random_seed(0)
  backbone = importlib.import_module(plugins.find("backbone", request.param).module)
  return backbone.build(2, width=1 / 512)
