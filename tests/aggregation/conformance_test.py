"""What every aggregation must do; finds them by itself."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.config import Branch

CHANNELS = ("L", "a", "b", "depth")
BRANCHES = (Branch(("L",), ("a", "b")), Branch(("a", "b"), ("L",)))


def _tower(channels: int, name: str) -> tf.keras.Model:
  inputs = tf.keras.Input((None, None, channels))
  first = tf.keras.layers.Conv2D(4, 3, 2, "same", name="first")(inputs)
  second = tf.keras.layers.Conv2D(6, 3, 2, "same", name="second")(first)
  return tf.keras.Model(inputs, {"first": first, "second": second}, name=name)


@pytest.fixture(params=plugins.names("aggregation"), name="aggregation")
def _aggregation(request):
  return plugins.find("aggregation", request.param).build(BRANCHES, _tower, CHANNELS)


def _inputs() -> list[tf.Tensor]:
  return [
    tf.random.stateless_normal((2, 8, 8, len(b.inputs)), (i, 0)) for i, b in enumerate(BRANCHES)
  ]


def _whole(aggregation) -> list[tf.Tensor]:
  """What each tower takes of whole photographs."""
  whole = dict(zip(CHANNELS, tf.unstack(tf.random.stateless_normal((2, 8, 8, 4), (5, 0)), axis=-1)))
  return [tf.stack([whole[c] for c in names], axis=-1) for names in aggregation.tower_channels]


@pytest.mark.parametrize("training", [False, True])
def test_features_for_each_branch(aggregation, training):
  features = aggregation.branch_features(_inputs(), training=training)
  assert len(features) == len(BRANCHES)
  assert all(list(f) == ["first", "second"] for f in features)
  assert all(f["second"].shape == (2, 2, 2, 6) for f in features)


def test_every_tower_takes_part_in_the_representation(aggregation):
  assert len(aggregation.towers) == len(aggregation.tower_channels)
  inputs = _whole(aggregation)
  features = [tower(x, training=False) for tower, x in zip(aggregation.towers, inputs)]
  merged = aggregation.merge(features)
  assert list(merged) == ["first", "second"]
  assert merged["second"].shape == (2, 2, 2, 6 * len(aggregation.towers))
  for f in features:
    assert (f["second"].numpy()[..., :1] == merged["second"].numpy()).all((0, 1, 2)).any()


def test_a_branch_stands_on_its_tower_which_takes_its_channels(aggregation):
  assert len(aggregation.tower_of) == len(BRANCHES)
  assert set(aggregation.tower_of) == set(range(len(aggregation.towers)))
  for branch, index in zip(BRANCHES, aggregation.tower_of):
    names = aggregation.tower_channels[index]
    assert set(branch.inputs) <= set(names)
    assert aggregation.towers[index].input_shape[-1] == len(names)


def test_what_towers_see_makes_the_features_of_training(aggregation):
  seen = aggregation.tower_inputs(_inputs())
  towers = [tower(x, training=True)["second"] for tower, x in zip(aggregation.towers, seen)]
  features = aggregation.branch_features(_inputs(), training=True)
  for index, tower in enumerate(towers):
    own = [f["second"] for f, i in zip(features, aggregation.tower_of) if i == index]
    np.testing.assert_allclose(tower, tf.concat(own, axis=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_nothing_crosses_between_branches(aggregation, training):
  """But by what a tower's own layers make of a batch: this one has no batch normalization."""
  inputs = _inputs()
  with tf.GradientTape(persistent=True) as tape:
    tape.watch(inputs)
    features = aggregation.branch_features(inputs, training=training)
    totals = [tf.reduce_sum(f["second"] ** 2) for f in features]
  for i, total in enumerate(totals):
    gradients = tape.gradient(total, inputs, unconnected_gradients="zero")
    assert [np.abs(g).max() > 0 for g in gradients] == [i == j for j in range(len(inputs))]


def test_towers_hold_all_weights_that_are_trained(aggregation):
  with tf.GradientTape() as tape:
    features = aggregation.branch_features(_inputs(), training=True)
    loss = tf.add_n([tf.reduce_sum(f["second"] ** 2) for f in features])
  variables = [v for tower in aggregation.towers for v in tower.trainable_variables]
  assert variables and {v.ref() for v in variables} == {v.ref() for v in tape.watched_variables()}
  assert all(np.abs(g).max() > 0 for g in tape.gradient(loss, variables))
