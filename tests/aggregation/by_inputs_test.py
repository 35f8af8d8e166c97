"""One tower for each set of inputs: Zhang et al. 2017, Sec. 4.2, L and ab from one HHA network."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.aggregation import by_inputs
from sbae_tf.config import Branch

CHANNELS = ("L", "a", "b", "D")
BRANCHES = (
  Branch(("L", "a", "b"), ("D",)),
  Branch(("D",), ("L",)),
  Branch(("D",), ("a", "b")),
)


def _tower(channels: int, name: str) -> tf.keras.Model:
  inputs = tf.keras.Input((None, None, channels))
  maps = tf.keras.layers.Conv2D(4, 3, 2, "same")(inputs)
  return tf.keras.Model(inputs, {"map": maps}, name=name)


def test_branches_that_see_the_same_stand_on_one_tower():
  aggregation = by_inputs.build(BRANCHES, _tower, CHANNELS)
  assert [tower.name for tower in aggregation.towers] == ["tower_Lab_0", "tower_D_1"]
  color, depth = (tf.random.stateless_normal((2, 8, 8, c), (0, c)) for c in (3, 1))
  with tf.GradientTape(persistent=True) as tape:
    features = aggregation.branch_features([color, depth, depth], training=True)
    losses = [tf.reduce_sum(f["map"] ** 2) for f in features]
    both = losses[1] + losses[2]
  assert features[1]["map"] is features[2]["map"]
  kernel = aggregation.towers[1].trainable_variables[0]
  assert tape.gradient(losses[0], kernel) is None
  np.testing.assert_allclose(
    tape.gradient(both, kernel), 2 * tape.gradient(losses[1], kernel), rtol=1e-5
  )
  merged = aggregation.merge(features[:2])["map"]
  np.testing.assert_array_equal(merged, np.concatenate([f["map"] for f in features[:2]], -1))


def test_another_order_of_inputs_is_another_tower():
  branches = (Branch(("a", "b"), ("L",)), Branch(("b", "a"), ("L",)))
  assert len(by_inputs.build(branches, _tower, CHANNELS).towers) == 2
