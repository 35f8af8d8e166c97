"""One tower for all: Zhang et al. 2017, Sec. 3.2, where channels are "zeroed out"."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.aggregation import shared
from sbae_tf.config import Branch

CHANNELS = ("L", "a", "b", "depth")
# In another order than the color space's, and none of them sees the depth.
BRANCHES = (Branch(("b", "a"), ("L",)), Branch(("L",), ("a", "b")), Branch(("L", "a"), ("b",)))


def _copies(channels: int, name: str) -> tf.keras.Model:
  """Gives back what it sees."""
  inputs = tf.keras.Input((None, None, channels))
  return tf.keras.Model(inputs, {"map": tf.keras.layers.Activation("linear")(inputs)}, name=name)


def _normalizes(channels: int, name: str) -> tf.keras.Model:
  inputs = tf.keras.Input((None, None, channels))
  normal = tf.keras.layers.BatchNormalization(momentum=0.75, epsilon=0.0)(inputs)
  return tf.keras.Model(inputs, {"map": normal}, name=name)


def _inputs(batches=(2, 2, 2)) -> list[np.ndarray]:
  rng = np.random.default_rng(0)
  return [
    rng.normal(i + 1, i + 1, (size, 4, 4, len(branch.inputs))).astype(np.float32)
    for i, (size, branch) in enumerate(zip(batches, BRANCHES))
  ]


def _zeroed(inputs: list[np.ndarray]) -> list[np.ndarray]:
  """Each branch's inputs as L, a and b, written out."""
  none = [np.zeros_like(x[..., 0]) for x in inputs]
  columns = (
    (none[0], inputs[0][..., 1], inputs[0][..., 0]),
    (inputs[1][..., 0], none[1], none[1]),
    (inputs[2][..., 0], inputs[2][..., 1], none[2]),
  )
  return [np.stack(column, axis=-1) for column in columns]


@pytest.mark.parametrize("training", [False, True])
def test_channels_stand_in_the_color_spaces_order_and_others_are_zero(training):
  aggregation = shared.build(BRANCHES, _copies, CHANNELS)
  assert [tower.name for tower in aggregation.towers] == ["tower_Lab"]
  assert aggregation.tower_channels == (("L", "a", "b"),)
  inputs = _inputs(batches=(2, 4, 3))  # Views of a photograph make more.
  features = aggregation.branch_features(inputs, training=training)
  for maps, expected in zip(features, _zeroed(inputs)):
    np.testing.assert_array_equal(maps["map"], expected)


def test_batch_statistics_are_of_all_branches_together():
  aggregation = shared.build(BRANCHES, _normalizes, CHANNELS)
  inputs = _inputs(batches=(2, 4, 3))
  whole = np.concatenate(_zeroed(inputs))
  mean, variance = whole.mean((0, 1, 2)), whole.var((0, 1, 2))
  # In a graph of batches of unknown size.
  specs = [[tf.TensorSpec((None, *x.shape[1:])) for x in inputs]]
  step = tf.function(lambda x: aggregation.branch_features(x, training=True), input_signature=specs)
  for maps, x in zip(step(inputs), _zeroed(inputs)):
    np.testing.assert_allclose(maps["map"], (x - mean) / np.sqrt(variance), rtol=1e-4, atol=1e-4)
  # And are those that the tower keeps: a quarter of the way from 0 and 1, in one step.
  _, _, moving_mean, moving_variance = aggregation.towers[0].variables
  np.testing.assert_allclose(moving_mean, 0.25 * mean, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(moving_variance, 0.75 + 0.25 * variance, rtol=0.02)  # By n - 1.
