"""The compiled steps: they learn, and one device or two make the same weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.config import Component
from sbae_tf.steps import Steps

TWO = ["CPU:0", "CPU:1"]


def _batches(count=5) -> list[tf.Tensor]:
  rng = np.random.default_rng(0)
  tint = rng.uniform(0, 255, (count, 16, 1, 1, 3))
  noise = rng.normal(0, 20, (count, 16, 32, 32, 3))
  return [tf.constant(b) for b in np.clip(tint + noise, 0, 255).astype(np.uint8)]


def _train(config, strategy, batches) -> tuple[Steps, list[dict[str, float]]]:
  steps = Steps(config, strategy, steps_per_epoch=5, steps=len(batches))
  losses = []
  for batch in _distribute(strategy, batches):
    losses.append({name: float(loss) for name, loss in steps.train(batch).items()})
  return steps, losses


def _distribute(strategy, batches):
  dataset = tf.data.Dataset.from_generator(
    lambda: iter(batches), output_signature=tf.TensorSpec((None, 32, 32, 3), tf.uint8)
  )
  options = tf.data.Options()
  options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
  return strategy.experimental_distribute_dataset(dataset.with_options(options))


def test_training_lowers_the_loss(small_config):
  config = dataclasses.replace(small_config, learning_rate=3e-3)
  _, losses = _train(config, tf.distribute.get_strategy(), _batches(1) * 30)
  assert losses[-1]["total"] < 0.7 * losses[0]["total"]
  # Cross-entropy of 100 bins starts near log 100.
  assert losses[0]["L->ab"] == pytest.approx(np.log(100), abs=0.7)


def test_total_is_the_weighted_sum(small_config):
  heavy = dataclasses.replace(small_config.branches[0], weight=3.0)
  config = dataclasses.replace(small_config, branches=(heavy, small_config.branches[1]))
  _, (losses,) = _train(config, tf.distribute.get_strategy(), _batches(1))
  assert losses["total"] == pytest.approx(3 * losses["L->ab"] + losses["ab->L"], rel=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_two_devices_make_the_weights_of_one(small_config, optimizer):
  """Regression of a batch that both halves share, so that batch statistics are equal too."""
  half = _batches(6)
  batches = [tf.concat([b[:8], b[:8]], axis=0) for b in half]
  config = dataclasses.replace(
    small_config,
    optimizer=Component(optimizer, {"weight_decay": 0.01}),
    learning_rate=1e-3,
  )
  one, one_losses = _train(config, tf.distribute.get_strategy(), batches)
  two, two_losses = _train(config, tf.distribute.MirroredStrategy(TWO), batches)
  assert two.strategy.num_replicas_in_sync == 2
  np.testing.assert_allclose(
    [list(step.values()) for step in two_losses],
    [list(step.values()) for step in one_losses],
    rtol=1e-3,
  )
  for ours, theirs in zip(two.model.trainable_variables, one.model.trainable_variables):
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=0.01, atol=2e-4)


@pytest.mark.parametrize("devices", [1, 2])
def test_heldout_losses_are_means_over_photographs_whatever_the_batches(small_config, devices):
  strategy = tf.distribute.MirroredStrategy(TWO) if devices == 2 else tf.distribute.get_strategy()
  steps = Steps(small_config, strategy, steps_per_epoch=1, steps=1)
  photographs = tf.concat(_batches(2), axis=0)[:21]
  uneven = [photographs[:16], photographs[16:]]
  losses = steps.heldout_losses(_distribute(strategy, uneven))
  expected = steps.model.losses(steps.model.prepare(photographs), training=False)
  assert list(losses) == ["L->ab", "ab->L", "total"]
  for name, each in expected.items():
    assert each.shape == (21,)
    assert losses[name] == pytest.approx(float(tf.reduce_mean(each)), rel=1e-5)


def test_color_in_the_pipeline_makes_the_same_step(small_config):
  batch = _batches(1)[0]
  device = Steps(small_config, tf.distribute.get_strategy(), steps_per_epoch=1, steps=1)
  pipeline = Steps(
    dataclasses.replace(small_config, color_placement="pipeline"),
    tf.distribute.get_strategy(),
    steps_per_epoch=1,
    steps=1,
  )
  ours = device.train(batch)
  theirs = pipeline.train(pipeline.model.prepare(batch))
  for name in ours:
    assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-4)


def test_same_seed_same_weights(small_config):
  def build(seed):
    config = dataclasses.replace(small_config, seed=seed)
    return Steps(config, tf.distribute.get_strategy(), steps_per_epoch=1, steps=1).model

  first, again, other = build(1), build(1), build(2)
  pairs = list(zip(first.variables, again.variables, other.variables))
  assert all(np.array_equal(a.numpy(), b.numpy()) for a, b, _ in pairs)
  assert any(not np.array_equal(a.numpy(), c.numpy()) for a, _, c in pairs)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_as_float32_does(small_config, precision):
  config = dataclasses.replace(small_config, learning_rate=3e-3)
  batches = _batches(1) * 20
  _, plain = _train(config, tf.distribute.get_strategy(), batches)
  mixed, losses = _train(
    dataclasses.replace(config, precision=precision), tf.distribute.get_strategy(), batches
  )
  assert losses[0]["total"] == pytest.approx(plain[0]["total"], rel=0.02)
  assert losses[-1]["total"] == pytest.approx(plain[-1]["total"], rel=0.1)
  assert losses[-1]["total"] != plain[-1]["total"]
  # What is trained stays float32, and so do heads and losses.
  assert {variable.dtype for variable in mixed.model.trainable_variables} == {tf.float32}
  batch = mixed.model.prepare(batches[0])
  assert {o.dtype for o in mixed.model.outputs(batch.inputs, training=False)} == {tf.float32}
  half = tf.as_dtype(precision.replace("mixed_", ""))
  features = mixed.model.encoder.branch_features(batch.inputs, training=False)
  assert {f.dtype for maps in features for f in maps.values()} == {half}
  assert {f.dtype for f in mixed.model.encoder(batches[0]).values()} == {tf.float32}
  assert tf.keras.mixed_precision.global_policy().name == "float32"


def test_float16_leaves_a_step_out_whose_gradients_are_not_finite(small_config):
  config = dataclasses.replace(small_config, precision="mixed_float16")
  steps = Steps(config, tf.distribute.get_strategy(), steps_per_epoch=1, steps=9)
  scale = float(steps.optimizer.loss_scale)
  assert scale > 1
  weight = steps.model.trainable_variables[0]
  fine = weight.numpy()
  weight.assign(tf.fill(weight.shape, 1e30))  # More than float16 holds.
  before = [variable.numpy() for variable in steps.model.trainable_variables]
  steps.train(_batches(1)[0])
  assert float(steps.optimizer.loss_scale) == scale / 2
  for variable, value in zip(steps.model.trainable_variables, before):
    np.testing.assert_array_equal(variable.numpy(), value)
  weight.assign(fine)
  steps.train(_batches(1)[0])
  after = [variable.numpy() for variable in steps.model.trainable_variables]
  assert any((value != old).any() for value, old in zip(after[1:], before[1:]))


def test_the_whole_step_compiles_under_xla(small_config):
  """Color conversion, quantization and the optimizer in it; the same step as without."""
  strategy = tf.distribute.get_strategy()
  plain, compiled = (Steps(small_config, strategy, steps_per_epoch=1, steps=2) for _ in range(2))
  step = tf.function(compiled.train, jit_compile=True, autograph=False)
  for batch in _batches(2):
    expected, losses = plain.train(batch), step(batch)
    for name in expected:
      assert float(losses[name]) == pytest.approx(float(expected[name]), rel=1e-3)
