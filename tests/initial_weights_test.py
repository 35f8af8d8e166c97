"""The same initial weights for all replicas, and only once: before the first step."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import cluster, training
from sbae_tf.agreement import Agreement
from sbae_tf.config import Component
from sbae_tf.encoder import Encoder
from sbae_tf.export import load_encoder
from sbae_tf.initial_weights import InitialWeights
from sbae_tf.initialization.kmeans import KMeans
from sbae_tf.strategies import make_strategy


@pytest.fixture(scope="module")
def config(small_config):
  return dataclasses.replace(
    small_config,
    backbone=Component("simplenet", {"width": 1 / 16}),
    initialization=Component("kmeans", {"photographs": 20}),
  )


def _set(config, images) -> list[tf.Variable]:
  """The variables of an encoder under a configuration's strategy, once they are set."""
  strategy = make_strategy(config)
  with strategy.scope():
    tf.keras.utils.set_random_seed(config.seed)
    encoder = Encoder(config)
  drawn = [variable.numpy() for variable in encoder.trainable_variables]
  InitialWeights(encoder).set(
    lambda count: np.tile(images, (count // len(images), 1, 1, 1)),
    Agreement(strategy, cluster.ALONE, seconds=1.0),
  )
  kernels = [v for v in encoder.trainable_variables if v.shape.rank == 4]
  before = [value for value in drawn if value.ndim == 4]
  assert not any(np.allclose(now, value) for now, value in zip(kernels, before))
  return list(encoder.variables)


def test_two_devices_get_the_weights_of_one(config, images):
  """To the bit, in 16 bits too: they are computed in 32."""
  ours = _set(config, images)
  theirs = _set(
    dataclasses.replace(config, strategy="mirrored", num_devices=2, precision="mixed_bfloat16"),
    images,
  )
  for one, two in zip(ours, theirs):
    assert len(two.values) == 2
    for replica in two.values:
      np.testing.assert_array_equal(one, replica, err_msg=one.name)


@pytest.mark.slow
def test_a_run_that_goes_on_does_not_begin_anew(config, tmp_path, monkeypatch):
  """With no steps the encoder is the initial one, and its checkpoint is of step 0 as well."""
  config = dataclasses.replace(config, epochs=0)
  training.train(config, tmp_path)
  encoder = load_encoder(tmp_path / "encoder")
  first = [variable.numpy() for variable in encoder.variables]
  for tower in encoder.towers:
    for layer in tower.layers:
      if isinstance(layer, tf.keras.layers.BatchNormalization):
        assert np.abs(layer.moving_mean).max() > 0  # The data's: it was initialized.
  (tmp_path / "encoder").rename(tmp_path / "before")
  monkeypatch.setattr(KMeans, "initialize", lambda *_, **__: pytest.fail("it did it again"))
  training.train(config, tmp_path)
  for one, two in zip(first, load_encoder(tmp_path / "encoder").variables):
    np.testing.assert_array_equal(one, two)


def test_a_backbone_that_cannot_be_initialized_leaves_nothing(config, tmp_path, monkeypatch):
  (tmp_path / "bare.py").write_text(
    '"""A convolution alone."""\n'
    "import tensorflow as tf\n"
    'STRIDE = 2\nFEATURES = ("conv1",)\n'
    "def build(channels):\n"
    "  x = tf.keras.Input((None, None, channels))\n"
    '  y = tf.keras.layers.Conv2D(4, 3, 2, "same", name="conv1")(x)\n'
    '  return tf.keras.Model(x, {"conv1": y})\n'
  )
  (tmp_path / "own").mkdir()
  (tmp_path / "bare.py").rename(tmp_path / "own" / "bare.py")
  monkeypatch.syspath_prepend(str(tmp_path))
  config = dataclasses.replace(config, backbone=Component("own.bare"))
  wrong = "initialization 'kmeans': Expected .* 'conv1', Conv2D.* 'random' takes any backbone"
  with pytest.raises(ValueError, match=wrong):
    training.train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()
