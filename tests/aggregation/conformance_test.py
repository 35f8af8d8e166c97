"""What every aggregation must do; finds them by itself."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.config import Branch

BRANCHES = (Branch(("L",), ("a", "b")), Branch(("a", "b"), ("L",)))


def _tower(channels: int, name: str) -> tf.keras.Model:
  inputs = tf.keras.Input((None, None, channels))
  first = tf.keras.layers.Conv2D(4, 3, 2, "same", name="first")(inputs)
  second = tf.keras.layers.Conv2D(6, 3, 2, "same", name="second")(first)
  return tf.keras.Model(inputs, {"first": first, "second": second}, name=name)


@pytest.fixture(params=plugins.names("aggregation"), name="aggregation")
def _aggregation(request):
  return plugins.find("aggregation", request.param).build(BRANCHES, _tower)


def _inputs() -> list[tf.Tensor]:
  return [
    tf.random.stateless_normal((2, 8, 8, len(b.inputs)), (i, 0)) for i, b in enumerate(BRANCHES)
  ]


def test_features_for_each_branch_and_merged(aggregation):
  features = aggregation.branch_features(_inputs(), training=False)
  assert len(features) == len(BRANCHES)
  assert all(list(f) == ["first", "second"] for f in features)
  merged = aggregation.merge(features)
  assert list(merged) == ["first", "second"]
  assert merged["second"].shape[:3] == (2, 2, 2)


def test_towers_hold_all_weights_that_are_trained(aggregation):
  with tf.GradientTape() as tape:
    features = aggregation.branch_features(_inputs(), training=True)
    loss = tf.add_n([tf.reduce_sum(f["second"] ** 2) for f in features])
  variables = [v for tower in aggregation.towers for v in tower.trainable_variables]
  assert variables and {v.ref() for v in variables} == {v.ref() for v in tape.watched_variables()}
  assert all(np.abs(g).max() > 0 for g in tape.gradient(loss, variables))
