"""Variables find their layer by name; rates go down by it. `fine_tuner_test` sees the steps."""

from __future__ import annotations

import dataclasses

import pytest
import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.config import Component
from sbae_tf.encoder import Encoder
from sbae_tf.evaluation.layer_rates import LayerRates, layer_of

_MAPS = ("conv1", "conv2", "conv10")


@pytest.mark.parametrize(
  ("variable", "layer"),
  [
    ("conv1/kernel:0", "conv1"),
    ("conv1_bn/gamma:0", "conv1"),
    ("conv10/kernel:0", "conv10"),
    ("conv2_block1_conv1/kernel:0", "conv2"),
    ("encoder/tower_L/conv2/bias:0", "conv2"),
    ("deconv1/kernel:0", None),
    ("dense/kernel:0", None),
  ],
)
def test_layer_of(variable, layer):
  assert layer_of(variable, _MAPS) == layer


@pytest.mark.parametrize("backbone", plugins.names("backbone"))
def test_every_variable_of_a_backbone_has_a_layer(backbone, small_config):
  config = dataclasses.replace(small_config, backbone=Component(backbone, {"width": 1 / 64}))
  encoder = Encoder(config)
  found = [layer_of(variable.name, encoder.feature_names) for variable in encoder.variables]
  assert set(found) == set(encoder.feature_names)


def test_factors():
  classifier, *encoder = (tf.Variable(0.0, name=n) for n in ("classifier", "conv2/kernel", "conv1"))
  rates = LayerRates([classifier], encoder, maps=_MAPS, decay=0.5)
  assert rates.factors == [1.0, 0.25, 0.125]
  assert LayerRates([classifier], encoder, maps=_MAPS).factors == [1.0]
  with pytest.raises(ValueError, match="conv1, conv2, conv10.*Received: dense:0"):
    LayerRates([classifier], [tf.Variable(0.0, name="dense")], maps=_MAPS, decay=0.5)
