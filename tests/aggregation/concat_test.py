"""Concatenation: Zhang et al. 2017, Sec. 3.2, F_l = {F1_l, F2_l}."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.aggregation import concat
from sbae_tf.config import Branch


def test_concatenates_channels_in_the_order_of_the_branches():
  built = []

  def tower(channels, name):
    built.append((channels, name))
    inputs = tf.keras.Input((None, None, channels))
    return tf.keras.Model(inputs, {"map": inputs * len(built)})

  branches = (Branch(("L",), ("a", "b")), Branch(("a", "b"), ("L",)))
  aggregation = concat.build(branches, tower, ("L", "a", "b"))
  assert built == [(1, "tower_L_0"), (2, "tower_ab_1")]
  inputs = [tf.ones((1, 2, 2, 1)), tf.ones((1, 2, 2, 2))]
  merged = aggregation.merge(aggregation.branch_features(inputs, training=False))
  np.testing.assert_array_equal(merged["map"][0, 0, 0], [1, 2, 2])
