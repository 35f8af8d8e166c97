"""A rescaled encoder gives the same features, and its layers learn at one rate."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.encoder import Encoder
from sbae_tf.rescaling import rescale_encoder


@pytest.mark.parametrize(("precision", "close"), [("float32", 1e-5), ("mixed_bfloat16", 0.05)])
def test_features_stay_and_rates_become_one(small_config, images, precision, close):
  encoder = Encoder(dataclasses.replace(small_config, precision=precision))
  for factor, variable in enumerate(encoder.trainable_variables, 1):
    if variable.shape.rank == 4:
      variable.assign(variable * (0.3 * factor))
  for _ in range(3):
    encoder(images, training=True)  # Statistics of batch normalization, as after training.
  before = encoder(images)
  rates = rescale_encoder(encoder, np.concatenate([images] * 4))
  assert list(rates) == [
    f"{tower.name}/conv{number}" for tower in encoder.towers for number in range(1, 6)
  ]
  assert max(rates.values()) / min(rates.values()) > 4
  for name, maps in encoder(images).items():
    largest = np.abs(before[name]).max()
    np.testing.assert_allclose(maps, before[name], atol=close * largest, err_msg=name)
  again = rescale_encoder(encoder, np.concatenate([images] * 4))
  np.testing.assert_allclose(list(again.values()), 1, rtol=0.02)


def test_other_backbones_are_refused(small_config, images, monkeypatch):
  encoder = Encoder(small_config)
  inputs = tf.keras.Input((None, None, 1))
  bare = tf.keras.Model(inputs, {"conv1": tf.keras.layers.Conv2D(2, 3, name="bare")(inputs)})
  monkeypatch.setattr(encoder, "towers", (bare,))
  with pytest.raises(ValueError, match="Expected .* Received: layer 'bare', Conv2D"):
    rescale_encoder(encoder, images)
