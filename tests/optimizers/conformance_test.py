"""What every optimizer must do; finds them by itself."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.schedules import constant

ALL = [plugins.find("optimizer", name) for name in plugins.names("optimizer")]
AVAILABLE = [p for p in ALL if p.needs is None or importlib.util.find_spec(p.needs)]
MISSING = [p for p in ALL if p not in AVAILABLE]


@pytest.mark.parametrize("plugin", AVAILABLE, ids=lambda p: p.name)
def test_minimizes_a_quadratic(plugin):
  optimizer = plugin.build(constant.build(0.05, 1, 100))
  weights = tf.Variable([3.0, -2.0])
  for _ in range(100):
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(weights**2)
    optimizer.apply_gradients([(tape.gradient(loss, weights), weights)])
  assert float(tf.reduce_sum(weights**2)) < 1.0
  assert int(optimizer.iterations) == 100


@pytest.mark.parametrize("plugin", AVAILABLE, ids=lambda p: p.name)
def test_weight_decay_shrinks_weights_without_a_gradient(plugin):
  optimizer = plugin.build(constant.build(0.1, 1, 1), weight_decay=0.5)
  weights = tf.Variable(np.ones((2, 2), np.float32))
  optimizer.apply_gradients([(tf.zeros((2, 2)), weights)])
  assert (weights.numpy() < 1).all()


@pytest.mark.skipif(not MISSING, reason="every optimizer's package is installed")
def test_a_missing_package_is_one_clear_line():
  for plugin in MISSING:
    with pytest.raises(ValueError, match=f"needs {plugin.needs}, which is not installed") as error:
      plugin.build(constant.build(0.1, 1, 1))
    assert "\n" not in str(error.value)
    assert plugin.constants["NEEDS_NOTE"] in str(error.value)
