"""The split-brain model: disjoint towers, no tower sees its target, targets as in the paper."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.config import Branch, Component, PretrainConfig
from sbae_tf.model import PretrainModel

SEED = tf.constant([0, 7], tf.int64)

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


def test_branches_from_and_to_the_same_channels_differ_by_their_task(small_config, images):
  tasks = (Component("classification"), Component("regression"))
  branches = tuple(Branch(("L",), ("a", "b"), task, weight=1.0 + i) for i, task in enumerate(tasks))
  model = PretrainModel(dataclasses.replace(small_config, branches=branches))
  losses = model.losses(model.prepare(tf.constant(images)), training=False)
  assert list(losses) == ["L->ab:classification", "L->ab:regression"]
  first, second = losses.values()
  np.testing.assert_allclose(model.total(losses), first + 2 * second, rtol=1e-6)
  alone = PretrainModel(dataclasses.replace(small_config, branches=branches[1:]))
  alone.encoder.towers[0].set_weights(model.encoder.towers[1].get_weights())
  alone.heads[0].set_weights(model.heads[1].get_weights())
  expected = alone.losses(alone.prepare(tf.constant(images)), training=False)
  np.testing.assert_allclose(second, expected["L->ab"], rtol=1e-5)


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


def test_noise_is_on_inputs_and_the_loss_of_clean_targets(small_config, images):
  branch = Branch(("L", "a", "b"), ("L", "a", "b"), Component("denoising", {"amount": 0.5}))
  noisy = PretrainModel(dataclasses.replace(small_config, branches=(branch,)))
  clean = dataclasses.replace(branch, task=Component("regression"))
  plain = PretrainModel(dataclasses.replace(small_config, branches=(clean,)))
  for ours, theirs in zip(noisy.variables, plain.variables):
    ours.assign(theirs)
  ours, theirs = (model.prepare(tf.constant(images)) for model in (noisy, plain))
  for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs)):
    np.testing.assert_array_equal(a, b)
  # The tower alone sees the noise: its output for noisy inputs, compared with clean targets.
  (seen,) = noisy.corrupted(ours.inputs, SEED)
  assert np.mean(seen.numpy() == 0) == pytest.approx(0.5, abs=0.02)
  (output,) = noisy.outputs((seen,), training=False)
  expected = plain.tasks[0].loss(theirs.targets[0], output)
  losses = noisy.losses(ours, training=False, seed=SEED)
  np.testing.assert_allclose(losses["Lab->Lab"], expected, rtol=1e-6)
  with pytest.raises(ValueError, match="Expected a `seed`"):
    noisy.losses(ours, training=False)


def test_branches_have_noise_of_their_own(small_config, images):
  task = Component("denoising", {"amount": 0.5})
  branches = (Branch(("L",), ("a",), task), Branch(("L",), ("b",), task))
  model = PretrainModel(dataclasses.replace(small_config, branches=branches))
  first, second = model.corrupted(model.prepare(tf.constant(images)).inputs, SEED)
  assert np.mean((first == 0) == (second == 0)) == pytest.approx(0.5, abs=0.05)


def test_a_branch_converts_its_own_views(small_config, images):
  """Beside one on the photographs themselves."""
  branches = (
    Branch(("R", "G", "B"), ("R", "G", "B"), Component("contrastive")),
    Branch(("R",), ("G", "B")),
  )
  config = dataclasses.replace(small_config, color=Component("rgb"), branches=branches)
  model = PretrainModel(config)
  photographs = tf.constant(images)
  batch = model.prepare(photographs, SEED)
  views, unchanged = model.views(photographs, SEED)
  assert unchanged is photographs
  assert batch.inputs[0].shape == (8, 32, 32, 3) and batch.inputs[1].shape == (4, 32, 32, 1)
  np.testing.assert_allclose(batch.inputs[0], views.numpy() / 127.5 - 1, atol=1e-5)
  np.testing.assert_allclose(batch.inputs[1], images[..., :1] / 127.5 - 1, atol=1e-5)
  losses = model.losses(batch, training=True, seed=SEED)
  assert {name: loss.shape for name, loss in losses.items()} == {"RGB->RGB": (4,), "R->GB": (4,)}
  assert model.total(losses).shape == (4,)
  with pytest.raises(ValueError, match="Expected a `seed`"):
    model.prepare(photographs)


@pytest.fixture(name="with_band")
def _with_band(small_config) -> PretrainModel:
  branches = (
    Branch(("L", "a", "b"), ("N",), Component("regression")),
    Branch(("N",), ("L", "a"), Component("regression")),
  )
  color = Component("lab_bands", {"bands": "N:0:254"})
  return PretrainModel(dataclasses.replace(small_config, color=color, branches=branches))


def test_what_a_band_misses_is_in_no_mean_and_no_loss(with_band, images):
  """Written out in NumPy: means of 8 x 8 pixels and the loss, of those pixels that there are."""
  levels = np.random.default_rng(0).integers(1, 256, (4, 32, 32, 1)).astype(np.uint8)
  levels[np.random.default_rng(1).random(levels.shape) < 0.4] = 0
  levels[:, :8] = 0  # No value in the upper squares.
  levels[3] = 0  # And none at all in the last photograph.
  batch = with_band.prepare(tf.constant(np.concatenate([images, levels], -1)))
  blocks = levels.reshape(4, 4, 8, 4, 8)
  known = blocks > 0
  part = known.mean((2, 4))
  np.testing.assert_allclose(batch.known[0], part, atol=1e-6)
  np.testing.assert_array_equal(batch.known[1], np.ones((4, 4, 4)))
  values = np.where(known, (blocks - 1) / 127 - 1, 0)  # Scaled from 0..254 to -1..1.
  means = values.sum((2, 4)) / np.maximum(known.sum((2, 4)), 1)
  np.testing.assert_allclose(batch.targets[0][..., 0], means, atol=1e-5)
  # Inputs are in the middle of the range where there is no value.
  np.testing.assert_allclose(
    batch.inputs[1][..., 0], np.where(levels > 0, (levels - 1.0) / 127 - 1, 0)[..., 0], atol=1e-5
  )
  losses = with_band.losses(batch, training=False)
  output = with_band.outputs(batch.inputs, training=False)[0].numpy()[..., 0]
  total = (part * (output - means) ** 2 / 2).sum((1, 2))
  expected = total[:3] / part.sum((1, 2))[:3]
  np.testing.assert_allclose(losses["Lab->N"][:3], expected, rtol=1e-5)
  assert losses["Lab->N"][3] == 0.0 and losses["N->La"][3] > 0
  values = with_band.encoder.color.encode(np.concatenate([images, levels], -1))
  known = with_band.encoder.color.known(tf.constant(np.concatenate([images, levels], -1)))
  small = with_band.target_values(values, known)[0][..., 0]
  np.testing.assert_allclose(small, means * 127 + 127, atol=1e-3)


def test_gradients_are_finite_where_nothing_is_known(with_band, images):
  empty = np.concatenate([images, np.zeros((4, 32, 32, 1), np.uint8)], -1)

  def step(photographs):
    with tf.GradientTape() as tape:
      losses = with_band.losses(with_band.prepare(photographs), training=True)
      total = tf.reduce_sum(with_band.total(losses))
    return tape.gradient(total, with_band.trainable_variables)

  assert all(np.isfinite(gradient).all() for gradient in step(tf.constant(empty)))
