"""The compiled steps: they learn, and one device or two make the same weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import presets
from sbae_tf.config import Branch, Component
from sbae_tf.steps import Steps
from sbae_tf.strategies import make_strategy

# Each sort of task that draws random numbers.
DRAWING = {
  "noise": ("lab", "L,a,b->L,a,b:denoising(noise='gaussian')"),
  "views": ("rgb", "R,G,B->R,G,B:contrastive"),
}


def _drawing(config, sort):
  color, branch = DRAWING[sort]
  return dataclasses.replace(config, color=Component(color), branches=(Branch.parse(branch),))


def _two(config) -> tf.distribute.Strategy:
  return make_strategy(dataclasses.replace(config, strategy="mirrored", num_devices=2))


def _batches(count=5, planes=3) -> list[tf.Tensor]:
  rng = np.random.default_rng(0)
  tint = rng.uniform(0, 255, (count, 16, 1, 1, planes))
  noise = rng.normal(0, 20, (count, 16, 32, 32, planes))
  return [tf.constant(b) for b in np.clip(tint + noise, 0, 255).astype(np.uint8)]


def _train(config, strategy, batches) -> tuple[Steps, list[dict[str, float]]]:
  steps = Steps(config, strategy, steps_per_epoch=5, steps=len(batches))
  losses = []
  for batch in _distribute(strategy, batches):
    losses.append({name: float(loss) for name, loss in steps.train(batch).items()})
  return steps, losses


def _distribute(strategy, batches):
  """Each batch cut into as many pieces as there are devices, the first ones the larger."""
  pieces = [piece for b in batches for piece in np.array_split(b, strategy.num_replicas_in_sync)]
  return strategy.distribute_datasets_from_function(
    lambda _: tf.data.Dataset.from_generator(
      lambda: iter(pieces), output_signature=tf.TensorSpec((None, 32, 32, 3), tf.uint8)
    )
  )


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


@pytest.mark.parametrize(
  ("optimizer", "options"),
  [
    ("sgd", {"global_clipnorm": 0.5}),
    pytest.param("adam", {}, marks=pytest.mark.slow),
  ],
)
def test_two_devices_make_the_weights_of_one(small_config, optimizer, options):
  """Twenty steps, with batch statistics of both devices together and weight decay."""
  options = {"weight_decay": 0.01, **options}
  config = dataclasses.replace(
    small_config,
    backbone=Component("simplenet", {"width": 0.25, "synchronized": True}),
    optimizer=Component(optimizer, options),
    learning_rate=1e-3,
  )
  batches = _batches(20)
  one, one_results = _train(config, tf.distribute.get_strategy(), batches)
  two, two_results = _train(config, _two(small_config), batches)
  assert two.strategy.num_replicas_in_sync == 2
  np.testing.assert_allclose(
    [list(step.values()) for step in two_results],
    [list(step.values()) for step in one_results],
    rtol=2e-3,
  )
  assert max(step["gradient_norm"] for step in one_results) > 0.5  # There is something to clip.
  assert len(one.model.variables) > len(one.model.trainable_variables)  # Moving statistics.
  for ours, theirs in zip(two.model.variables, one.model.variables):
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=0.01, atol=5e-4)


@pytest.mark.slow
def test_statistics_of_each_device_alone_are_others(small_config):
  batches = _batches(2)
  one, _ = _train(small_config, tf.distribute.get_strategy(), batches)
  two, _ = _train(small_config, _two(small_config), batches)
  pairs = list(zip(one.model.variables, two.model.variables))
  assert not all(np.allclose(a.numpy(), b.numpy(), rtol=0.01, atol=5e-4) for a, b in pairs)


def test_the_gradient_norm_is_that_of_all_gradients(small_config):
  (batch,) = _batches(1)
  steps = Steps(small_config, tf.distribute.get_strategy(), steps_per_epoch=1, steps=1)
  with tf.GradientTape() as tape:
    losses = steps.model.losses(steps.model.prepare(batch), training=True)
    mean = tf.reduce_mean(sum(losses.values()))
  gradients = tape.gradient(mean, steps.model.trainable_variables)
  expected = np.sqrt(sum(np.sum(np.square(g.numpy(), dtype=np.float64)) for g in gradients))
  assert float(steps.train(batch)["gradient_norm"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("sort", [None, pytest.param("noise", marks=pytest.mark.slow)])
def test_steps_in_a_loop_are_the_same_steps(small_config, sort):
  small_config = _drawing(small_config, sort) if sort else small_config
  batches = _batches(7)
  single, expected = _train(small_config, tf.distribute.get_strategy(), batches)
  steps = Steps(small_config, tf.distribute.get_strategy(), steps_per_epoch=5, steps=7)
  iterator = iter(_distribute(tf.distribute.get_strategy(), batches))
  results = []
  for count in (4, 3):
    values, waited = steps.train_loop(iterator, tf.constant(count))
    assert 0 <= float(waited) < 60
    assert {value.shape for value in values.values()} == {(count,)}
    results += [dict(zip(values, row)) for row in zip(*(v.numpy() for v in values.values()))]
  assert [list(r) for r in results] == [list(e) for e in expected]
  for ours, theirs in zip(results, expected):
    assert ours == pytest.approx(theirs, rel=1e-5)
  for ours, theirs in zip(steps.model.variables, single.model.variables):
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)


def _still(config):
  """Learns next to nothing: what changes from step to step is drawn."""
  return dataclasses.replace(config, learning_rate=1e-12)


@pytest.mark.parametrize("sort", ["noise", pytest.param("views", marks=pytest.mark.slow)])
def test_every_step_draws_anew_and_every_evaluation_the_same(small_config, sort):
  (batch,) = _batches(1)
  config = _still(_drawing(small_config, sort))
  steps, losses = _train(config, tf.distribute.get_strategy(), [batch] * 3)
  again, same = _train(config, tf.distribute.get_strategy(), [batch] * 3)
  assert [step["total"] for step in losses] == [step["total"] for step in same]
  assert len({step["total"] for step in losses}) == 3
  other = dataclasses.replace(config, seed=1)
  other, _ = _train(other, tf.distribute.get_strategy(), [])
  for ours, theirs in zip(other.model.variables, steps.model.variables):
    ours.assign(theirs)
  before, after, others = (float(s.evaluate(batch)["total"]) for s in (steps, steps, other))
  assert before == after != others
  steps.optimizer.iterations.assign(1000)
  assert float(steps.evaluate(batch)["total"]) == before


def test_devices_draw_numbers_of_their_own(small_config):
  """In no two steps the same ones, and none of evaluation's."""
  config = dataclasses.replace(_drawing(small_config, "noise"), seed=2**32 - 1)
  steps = Steps(config, _two(config), steps_per_epoch=1, steps=1)

  def seeds(training):
    made = steps.strategy.run(lambda: steps._seed(training=training))
    return [seed.numpy().tolist() for seed in made.values]

  assert seeds(training=True) == [[2**32 - 1, 0], [2**32 - 1, 1]]
  steps.optimizer.iterations.assign(3)
  assert seeds(training=True) == [[2**32 - 1, 6], [2**32 - 1, 7]]
  assert seeds(training=False) == [[2**32 - 1, -2], [2**32 - 1, -1]]


def test_where_nothing_is_drawn_the_step_knows_no_seed(small_config):
  steps = Steps(small_config, tf.distribute.get_strategy(), steps_per_epoch=1, steps=1)
  spec = tf.TensorSpec((16, 32, 32, 3), tf.uint8)
  for function in (steps.train, steps.evaluate):
    graph = function.get_concrete_function(spec).graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    assert not {node.op for node in nodes if "Random" in node.op}
  assert not steps.model.draws and steps._seed(training=True) is None


@pytest.mark.parametrize("devices", [1, 2])
def test_heldout_losses_are_means_over_photographs_whatever_the_batches(small_config, devices):
  strategy = _two(small_config) if devices == 2 else tf.distribute.get_strategy()
  steps = Steps(small_config, strategy, steps_per_epoch=1, steps=1)
  photographs = tf.concat(_batches(2), axis=0)[:21]
  uneven = [photographs[:16], photographs[16:20], photographs[20:]]  # None for the second device.
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


@pytest.mark.parametrize(
  "precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
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


@pytest.mark.slow
@pytest.mark.parametrize("sort", [None, *DRAWING])
def test_the_whole_step_compiles_under_xla(small_config, sort):
  """Color conversion, quantization and the optimizer in it; the same step as without."""
  strategy = tf.distribute.get_strategy()
  small_config = _drawing(small_config, sort) if sort else small_config
  plain, compiled = (Steps(small_config, strategy, steps_per_epoch=1, steps=2) for _ in range(2))
  _assert_same_steps(plain, tf.function(compiled.train, jit_compile=True, autograph=False))


@pytest.mark.slow
@pytest.mark.parametrize(
  # XLA takes minutes for the others on a CPU.
  "name",
  [name for name, p in presets.PRESETS.items() if p.config.backbone.name == "simplenet"],
)
def test_the_step_of_every_preset_compiles_under_xla(name):
  config = presets.preset(name)
  backbone = Component(config.backbone.name, {**config.backbone.options, "width": 0.125})
  config = dataclasses.replace(config, backbone=backbone, batch_size=16)
  strategy = tf.distribute.get_strategy()
  plain, compiled = (Steps(config, strategy, steps_per_epoch=1, steps=2) for _ in range(2))
  _assert_same_steps(plain, tf.function(compiled.train, jit_compile=True, autograph=False))


def test_jit_compile(small_config):
  strategy = tf.distribute.get_strategy()
  plain, auto, compiled = (
    Steps(dataclasses.replace(small_config, jit_compile=jit), strategy, steps_per_epoch=1, steps=2)
    for jit in ("false", "auto", "true")
  )
  spec = tf.TensorSpec((16, 32, 32, 3), tf.uint8)
  found = {
    steps: "_XlaMustCompile" in str(steps.train.get_concrete_function(spec).graph.as_graph_def())
    for steps in (plain, auto, compiled)
  }
  on_accelerator = bool(tf.config.list_logical_devices("GPU"))
  assert found == {plain: False, auto: on_accelerator, compiled: True}
  _assert_same_steps(plain, compiled.train)


@pytest.mark.slow
def test_jit_compile_on_two_devices(small_config):
  config = dataclasses.replace(small_config, jit_compile="true")
  _, compiled = _train(config, _two(config), _batches(2))
  _, plain = _train(dataclasses.replace(config, jit_compile="false"), _two(config), _batches(2))
  for ours, theirs in zip(compiled, plain):
    assert ours == pytest.approx(theirs, rel=1e-3)
  synchronized = Component("simplenet", {"width": 0.25, "synchronized": True})
  config = dataclasses.replace(config, backbone=synchronized)
  with pytest.raises(ValueError, match="`jit_compile` 'auto' or 'false' with batch normalization"):
    Steps(config, _two(config), steps_per_epoch=1, steps=1)
  Steps(config, tf.distribute.get_strategy(), steps_per_epoch=1, steps=1)
  config = dataclasses.replace(config, jit_compile="auto")
  Steps(config, _two(config), steps_per_epoch=1, steps=1)


def _assert_same_steps(plain, compiled):
  """The steps of `plain`, and a function that trains as they do."""
  for batch in _batches(2, plain.model.encoder.color.planes):
    expected, losses = plain.train(batch), compiled(batch)
    for name in expected:
      assert float(losses[name]) == pytest.approx(float(expected[name]), rel=1e-3)
