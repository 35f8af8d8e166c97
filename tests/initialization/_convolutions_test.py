"""Which towers' layers can be scaled, and that scaling changes nothing but weights."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.initialization._convolutions import normalized_convolutions

layers = tf.keras.layers


def _no_normalization(x):
  return layers.Conv2D(4, 3, name="bare")(layers.ReLU()(x))


def _seen_twice(x):
  x = layers.Conv2D(4, 3, name="seen")(x)
  return layers.Concatenate()([layers.BatchNormalization()(x), x])


def _called_twice(x):
  shared = layers.Conv2D(2, 3, padding="same", name="shared")
  return layers.BatchNormalization()(shared(layers.ReLU()(shared(x))))


def _depthwise(x):
  return layers.BatchNormalization()(layers.DepthwiseConv2D(3, name="depthwise")(x))


def _grouped(x):
  return layers.BatchNormalization()(layers.Conv2D(4, 3, groups=2, name="grouped")(x))


def _activated(x):
  return layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu", name="activated")(x))


@pytest.mark.parametrize(
  ("make", "name"),
  [
    (_no_normalization, "'bare', Conv2D"),
    (_seen_twice, "'seen', Conv2D"),
    (_called_twice, "'shared', Conv2D"),
    (_depthwise, "'depthwise', DepthwiseConv2D"),
    (_grouped, "'grouped', Conv2D"),
    (_activated, "'activated', Conv2D"),
    (lambda x: layers.BatchNormalization(name="alone")(x), "'alone', BatchNormalization"),
    (layers.ReLU(), "none"),
  ],
)
def test_other_layers_are_refused_by_name(make, name):
  inputs = tf.keras.Input((8, 8, 2))
  with pytest.raises(ValueError, match=f"BatchNormalization.* Received: .*{name}") as caught:
    normalized_convolutions(tf.keras.Model(inputs, make(inputs)))
  assert "\n" not in str(caught.value)


def test_scaling_leaves_the_output_as_it_was():
  """Also of a channel that hardly varies, whose remembered variance would be negative."""
  inputs = tf.keras.Input((8, 8, 2))
  x = layers.Conv2D(3, 3, bias_initializer="ones")(inputs)
  tower = tf.keras.Model(inputs, layers.BatchNormalization(epsilon=1e-3)(x))
  (unit,) = normalized_convolutions(tower)
  unit.normalization.moving_mean.assign([0.5, -1.0, 2.0])
  unit.normalization.moving_variance.assign([4.0, 0.25, 1e-5])
  images = tf.random.stateless_normal((4, 8, 8, 2), (0, 0))
  before, kernel = tower(images).numpy(), unit.convolution.kernel.numpy()
  for factor in (0.1, np.array([3.0, 2.0, 7.0])):
    unit.scale(factor)
    np.testing.assert_allclose(tower(images), before, rtol=1e-5, atol=1e-5)
    assert unit.normalization.moving_variance.numpy().min() >= 0
  ratio = (unit.convolution.kernel.numpy() / kernel).mean((0, 1, 2))
  np.testing.assert_allclose(ratio, [0.3, 0.2, 7.0], rtol=1e-5)
