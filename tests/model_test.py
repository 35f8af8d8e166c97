"""The split-brain model: disjoint towers, no tower sees its target, targets as in the paper."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.config import Branch, Component, PretrainConfig
from sbae_tf.model import PretrainModel

SPLITS = {
  "lab": (Branch(("L",), ("a", "b")), Branch(("a", "b"), ("L",))),
  "rgb": (Branch(("R",), ("G", "B")), Branch(("G", "B"), ("R",))),
  "yuv": (
    Branch(("Y",), ("U", "V"), Component("regression")),
    Branch(("U", "V"), ("Y",), Component("classification", {"quantizer": "rescaled"})),
  ),
}


@pytest.fixture(params=SPLITS, name="config")
def _config(request, small_config) -> PretrainConfig:
  return dataclasses.replace(
    small_config, color=Component(request.param), branches=SPLITS[request.param]
  )


@pytest.fixture(name="model")
def _model(config) -> PretrainModel:
  tf.keras.utils.set_random_seed(0)
  return PretrainModel(config)


def _with_other_channels(model, values: tf.Tensor, names) -> tf.Tensor:
  """The same values, but for the named channels, which get noise over their range."""
  rng = np.random.default_rng(5)
  changed = values.numpy().copy()
  for index in model.encoder.color.indices(names):
    channel = model.encoder.color.channels[index]
    changed[..., index] = rng.uniform(channel.low, channel.high, changed.shape[:3])
  return tf.constant(changed)


def test_no_weight_is_shared(model):
  owners = [
    {v.ref() for v in (*tower.variables, *head.variables)}
    for tower, head in zip(model.encoder.towers, model.heads)
  ]
  assert not owners[0] & owners[1]
  assert len(owners[0] | owners[1]) == len(model.variables)


@pytest.mark.parametrize("training", [False, True])
def test_no_activation_crosses_and_no_tower_sees_its_target(model, images, training):
  """Noise in a branch's targets changes nothing in it; noise in its inputs does."""
  values = model.encoder.color.encode(images)

  def maps(values):
    inputs = model.encoder.branch_inputs(values)
    features = model.encoder.branch_features(inputs, training=training)
    outputs = model.outputs(inputs, training=training)
    return [[*f.values(), o] for f, o in zip(features, outputs)]

  plain = maps(values)
  for i, branch in enumerate(model.config.branches):
    targets_changed = maps(_with_other_channels(model, values, branch.targets))
    inputs_changed = maps(_with_other_channels(model, values, branch.inputs))
    for a, b, c in zip(plain[i], targets_changed[i], inputs_changed[i]):
      np.testing.assert_array_equal(a, b)
      assert np.abs(a - c).max() > 0


def test_no_gradient_crosses(model, images):
  batch = model.prepare(tf.constant(images))
  with tf.GradientTape(persistent=True) as tape:
    losses = list(model.losses(batch, training=True).values())
  for i, loss in enumerate(losses):
    for j, (tower, head) in enumerate(zip(model.encoder.towers, model.heads)):
      variables = [*tower.trainable_variables, *head.trainable_variables]
      gradients = tape.gradient(loss, variables)
      if i == j:
        assert all(g is not None and np.abs(g).max() > 0 for g in gradients)
      else:
        assert all(g is None for g in gradients)


def test_targets_are_block_means_in_bins_of_the_right_channels(small_config, images):
  """Written out in NumPy: Lab by scikit-image, means of 8 x 8 pixels, bins of equal width."""
  color = pytest.importorskip("skimage.color")
  model = PretrainModel(small_config)
  means = color.rgb2lab(images).reshape(4, 4, 8, 4, 8, 3).mean((2, 4))
  spans = [(0.0, 100.0), (-86.19, 98.24), (-107.87, 94.49)]
  positions = [(means[..., c] - low) / (high - low) for c, (low, high) in enumerate(spans)]
  expected_ab = np.floor(positions[1] * 10) * 10 + np.floor(positions[2] * 10)
  expected_l = np.floor(positions[0] * 100)
  ab, lightness = model.prepare(tf.constant(images)).targets
  # A mean at a bin's very edge may fall to either side.
  assert (ab.numpy() == expected_ab).mean() > 0.95
  assert (lightness.numpy() == expected_l).mean() > 0.95


def test_pipeline_and_step_prepare_the_same(model, images):
  in_step = tf.function(model.prepare)(tf.constant(images))
  in_pipeline = next(iter(tf.data.Dataset.from_tensors(images).map(model.prepare)))
  for ours, theirs in zip(tf.nest.flatten(in_step), tf.nest.flatten(in_pipeline)):
    # Bins agree to the bit; TensorFlow may order the sums of floats in another way.
    tolerance = 0 if ours.dtype == tf.int32 else 1e-5
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


def test_inputs_span_minus_one_to_one(model):
  extremes = tf.constant([[c.low for c in model.encoder.color.channels]])[None, None]
  for low in model.encoder.branch_inputs(extremes):
    np.testing.assert_allclose(low, -1, atol=1e-5)


def test_total_weighs_the_branches(small_config):
  heavy = dataclasses.replace(small_config.branches[1], weight=200.0)
  model = PretrainModel(
    dataclasses.replace(small_config, branches=(small_config.branches[0], heavy))
  )
  losses = {"L->ab": tf.constant([1.0, 2.0]), "ab->L": tf.constant([0.5, 0.25])}
  np.testing.assert_allclose(model.total(losses), [101.0, 52.0])


def test_same_seed_same_weights(small_config):
  def build(seed):
    tf.keras.utils.set_random_seed(seed)
    return PretrainModel(small_config)

  first, again, other = build(1), build(1), build(2)
  assert all((a == b).numpy().all() for a, b in zip(first.variables, again.variables))
  assert any((a != b).numpy().any() for a, b in zip(first.variables, other.variables))


def test_one_branch_makes_a_cross_channel_encoder(small_config, images):
  model = PretrainModel(dataclasses.replace(small_config, branches=small_config.branches[:1]))
  assert list(model.losses(model.prepare(tf.constant(images)), training=False)) == ["L->ab"]
  assert len(model.encoder.towers) == 1
