"""What every proxy task must do; finds them by itself."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.color.color_space import Channel

ONE = (Channel("L", 0.0, 100.0),)
TWO = (Channel("a", -86.0, 98.0), Channel("b", -108.0, 94.0))
SEED = tf.constant([3, 2**40], tf.int64)
OTHER_SEED = tf.constant([3, 2**40 + 1], tf.int64)


@pytest.fixture(params=plugins.names("task"), name="plugin")
def _plugin(request):
  return plugins.find("task", request.param)


@pytest.fixture(params=[ONE, TWO], ids=["one", "two"], name="channels")
def _channels(request):
  return request.param


@pytest.fixture(name="rows")
def _rows(plugin) -> int:
  """Of what the head sees for three photographs."""
  return 3 * plugin.constants.get("VIEWS", 1)


def _values(channels, rows) -> tf.Tensor:
  rng = np.random.default_rng(0)
  return tf.constant(
    np.stack([rng.uniform(c.low, c.high, (rows, 6, 4)) for c in channels], -1), tf.float32
  )


def _output(task, rows) -> tf.Tensor:
  tf.keras.utils.set_random_seed(0)
  return task.build_head(8, name="head")(tf.random.normal((rows, 6, 4, 8)))


def test_head_is_functional_and_float32(plugin, channels, rows):
  task = plugin.build(channels)
  tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
  try:
    head = task.build_head(8, name="head")
  finally:
    tf.keras.mixed_precision.set_global_policy("float32")
  output = head(tf.zeros((rows, 6, 4, 8), tf.bfloat16))
  assert head.name == "head" and output.dtype == tf.float32
  assert output.shape[:-1] in [(rows, 6, 4), (rows,)]
  assert head.from_config(head.get_config()).count_params() == head.count_params()


def test_loss_is_one_of_each_photograph(plugin, channels, rows):
  task = plugin.build(channels)
  target, output = task.target(_values(channels, rows)), _output(task, rows)
  losses = task.loss(target, output)
  assert losses.shape == (3,) and losses.dtype == tf.float32
  assert (losses.numpy() > 0).all()
  if not task.has_views:  # Those are compared with each other.
    np.testing.assert_allclose(task.loss(target[1:2], output[1:2])[0], losses[1], rtol=1e-5)


def test_what_is_not_known_has_no_part_in_the_loss(plugin, channels, rows):
  task = plugin.build(channels)
  if task.has_views:
    return
  target, output = task.target(_values(channels, rows)), _output(task, rows)
  np.testing.assert_allclose(
    task.loss(target, output, tf.ones((3, 6, 4))), task.loss(target, output), rtol=1e-5
  )
  known = np.zeros((3, 6, 4), np.float32)
  known[0, 2:4, 1:3], known[1] = 1.0, 0.5  # Nothing of the third.
  with tf.GradientTape() as tape:
    tape.watch(output)
    losses = task.loss(target, output, tf.constant(known))
  gradient = np.abs(tape.gradient(losses, output)).sum(-1)
  assert ((gradient > 0) == (known > 0)).all()
  part = task.loss(target[:1, 2:4, 1:3], output[:1, 2:4, 1:3])
  np.testing.assert_allclose(losses[0], part[0], rtol=1e-5)
  np.testing.assert_allclose(losses[1], task.loss(target, output)[1], rtol=1e-5)
  assert losses[2] == 0.0


def test_training_the_head_lowers_the_loss(plugin, channels, rows):
  task = plugin.build(channels)
  head = task.build_head(8, name="head")
  features = tf.random.stateless_normal((rows, 6, 4, 8), (0, 0))
  target = task.target(_values(channels, rows))
  optimizer = tf.keras.optimizers.SGD(0.5)
  history = []
  for _ in range(20):
    with tf.GradientTape() as tape:
      loss = tf.reduce_mean(task.loss(target, head(features)))
    gradients = tape.gradient(loss, head.trainable_variables)
    assert all(np.isfinite(g.numpy()).all() for g in gradients)
    optimizer.apply_gradients(zip(gradients, head.trainable_variables))
    history.append(float(loss))
  assert history[-1] < history[0]


def test_decodes_to_the_channels(plugin, channels, rows):
  task = plugin.build(channels)
  values = task.decode(_output(task, rows), _values(channels, rows))
  if task.has_views:
    assert values is None
    return
  assert values.shape == (3, 6, 4, len(channels)) and values.dtype == tf.float32
  assert np.isfinite(values.numpy()).all()


def test_what_is_read_from_the_source_is_so(plugin):
  task = plugin.build(ONE)
  assert task.has_views == ("VIEWS" in plugin.constants)
  assert task.corrupts == ("CORRUPTS" in plugin.constants)


def test_views_are_photographs(plugin, images, rows):
  task = plugin.build(ONE)
  images = tf.constant(images[:3])
  if not task.has_views:
    assert task.views(images, None) is images  # And so share their conversion.
    return
  views = task.views(images, SEED)
  assert views.shape == (rows, *images.shape[1:]) and views.dtype == tf.uint8
  first, second = np.split(views, 2)
  assert (first != second).any()
  _assert_drawn_by_the_seed(lambda seed: task.views(images, seed), tolerance=1)


def test_corrupts_what_it_says(plugin, channels):
  task = plugin.build(channels)
  inputs = tf.random.stateless_uniform((3, 16, 16, len(channels)), (0, 1), -1.0, 1.0)
  if not task.corrupts:
    assert task.corrupt(inputs, None) is inputs
    return
  seen = task.corrupt(inputs, SEED)
  assert seen.shape == inputs.shape and seen.dtype == tf.float32
  assert all((a != b).numpy().any() for a, b in zip(seen, inputs))  # Each photograph.
  _assert_drawn_by_the_seed(lambda seed: task.corrupt(inputs, seed), tolerance=1e-5)


def _assert_drawn_by_the_seed(draw, *, tolerance):
  """The same by the same seed, eagerly, in a graph and compiled by XLA; another by another."""
  expected = draw(SEED).numpy().astype(np.float32)
  np.testing.assert_array_equal(draw(SEED), expected)
  for compiled in (False, True):
    drawn = tf.function(draw, jit_compile=compiled, autograph=False)(SEED)
    np.testing.assert_allclose(drawn.numpy().astype(np.float32), expected, atol=tolerance)
  assert np.abs(draw(OTHER_SEED).numpy() - expected).max() > 10 * tolerance
