"""An encoder, and the graph that converters read."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from sbae_tf import config_json
from sbae_tf.encoder import Encoder
from sbae_tf.formats.portable import save_portable

COLORS = {"lab": {}, "rgb": {"color": "rgb", "branches": ["R->G,B", "G,B->R"]}}


def make_encoder(config, **changes) -> Encoder:
  """With statistics other than those of a fresh network: they must travel, too."""
  encoder = Encoder(config_json.from_json(changes, base=config))
  noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
  encoder(noise, training=True)
  return encoder


@pytest.fixture(scope="session", params=COLORS)
def encoder(request, small_config) -> Encoder:
  return make_encoder(small_config, **COLORS[request.param])


@pytest.fixture(scope="session")
def portable(encoder, tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp("portable") / encoder.color.name
  save_portable(encoder, path, image_size=32)
  return path


@pytest.fixture
def expected(encoder, images) -> dict[str, np.ndarray]:
  return {name: value.numpy() for name, value in encoder(images).items()}
