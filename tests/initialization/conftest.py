"""What tests of initializations start from: photographs, and towers of every backbone."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import plugins

_PHOTOGRAPHS = 128


def _draw(channels: int, *, seed: int) -> np.ndarray:
  """(128, 32, 32, C) float32 in [-1, 1]: noise of neighbors that are alike, as in photographs."""
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


@pytest.fixture(params=plugins.names("backbone"))
def tower(request) -> tf.keras.Model:
  """A tower of 8 channels in every layer, that sees 2."""
  tf.keras.utils.set_random_seed(0)
  backbone = importlib.import_module(plugins.find("backbone", request.param).module)
  return backbone.build(2, width=1 / 512)
