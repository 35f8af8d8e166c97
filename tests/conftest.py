"""Two CPU devices for every test, and small things that many of them need."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from sbae_tf import runtime
from sbae_tf.config import Component, DataConfig, PretrainConfig

runtime.start_tensorflow()

import tensorflow as tf  # noqa: E402 - after the quiet start, as what imports it.

from sbae_tf.encoder import Encoder  # noqa: E402
from sbae_tf.export import export_encoder  # noqa: E402

# Before TensorFlow makes its devices, and so here.
tf.config.set_logical_device_configuration(
  tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


# Servers of tf.data services that tests have stopped. One that Python collects waits for its
# connections with Python's lock in its hands: forever, where these are this process's own.
KEPT_SERVERS: list[object] = []


@pytest.fixture(name="keep_server")
def _keep_server() -> Callable[[object], None]:
  """Keeps a server of a tf.data service until the process ends."""
  return KEPT_SERVERS.append


@pytest.fixture(scope="session")
def small_config() -> PretrainConfig:
  """A configuration that trains in seconds: a quarter of SimpleNet's width on 32 x 32."""
  return PretrainConfig(
    data=DataConfig(image_size=32, embedded_crops=48, heldout_limit=20),
    backbone=Component("simplenet", {"width": 0.25}),
    batch_size=16,
    epochs=2,
    panel_images=2,
  )


@pytest.fixture(scope="session")
def live_encoder(small_config) -> Encoder:
  """With statistics other than a fresh network's. Whoever changes a variable sets it back."""
  encoder = Encoder(small_config)
  noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
  encoder(noise, training=True)
  return encoder


@pytest.fixture(scope="session")
def encoder_folder(live_encoder, tmp_path_factory) -> pathlib.Path:
  """Its SavedModel, named `encoder` and alone in a folder, for tests that only read."""
  path = tmp_path_factory.mktemp("exported") / "encoder"
  export_encoder(live_encoder, path)
  return path


@pytest.fixture
def images() -> np.ndarray:
  """(4, 32, 32, 3) uint8: smooth gradients of random colors, with some noise."""
  rng = np.random.default_rng(0)
  corners = rng.uniform(0, 255, (4, 2, 2, 3))
  x = np.linspace(0, 1, 32)
  rows = corners[:, :1] * (1 - x)[:, None, None] + corners[:, 1:] * x[:, None, None]
  smooth = rows[:, :, :1] * (1 - x)[:, None] + rows[:, :, 1:] * x[:, None]
  return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def test_data() -> pathlib.Path:
  """The folder of real photographs, where there is one."""
  if "SBAE_TEST_DATA" not in os.environ:
    pytest.skip("SBAE_TEST_DATA is not set")
  return pathlib.Path(os.environ["SBAE_TEST_DATA"])
