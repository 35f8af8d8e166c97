"""What every proxy task must do; finds them by itself."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.color.color_space import Channel

ONE = (Channel("L", 0.0, 100.0),)
TWO = (Channel("a", -86.0, 98.0), Channel("b", -108.0, 94.0))


@pytest.fixture(params=plugins.names("task"), name="plugin")
def _plugin(request):
  return plugins.find("task", request.param)


@pytest.fixture(params=[ONE, TWO], ids=["one", "two"], name="channels")
def _channels(request):
  return request.param


def _values(channels, batch=3) -> tf.Tensor:
  rng = np.random.default_rng(0)
  return tf.constant(
    np.stack([rng.uniform(c.low, c.high, (batch, 6, 4)) for c in channels], -1), tf.float32
  )


def _output(task, batch=3) -> tf.Tensor:
  tf.keras.utils.set_random_seed(0)
  return task.build_head(8, name="head")(tf.random.normal((batch, 6, 4, 8)))


def test_head_is_functional_and_float32(plugin, channels):
  task = plugin.build(channels)
  tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
  try:
    head = task.build_head(8, name="head")
  finally:
    tf.keras.mixed_precision.set_global_policy("float32")
  output = head(tf.zeros((3, 6, 4, 8), tf.bfloat16))
  assert head.name == "head" and output.dtype == tf.float32 and output.shape[:3] == (3, 6, 4)
  assert head.from_config(head.get_config()).count_params() == head.count_params()


def test_loss_is_each_images_own(plugin, channels):
  task = plugin.build(channels)
  target, output = task.target(_values(channels)), _output(task)
  losses = task.loss(target, output)
  assert losses.shape == (3,) and losses.dtype == tf.float32
  assert (losses.numpy() > 0).all()
  np.testing.assert_allclose(task.loss(target[1:2], output[1:2])[0], losses[1], rtol=1e-5)


def test_training_the_head_lowers_the_loss(plugin, channels):
  task = plugin.build(channels)
  head = task.build_head(8, name="head")
  features, target = (
    tf.random.stateless_normal((3, 6, 4, 8), (0, 0)),
    task.target(_values(channels)),
  )
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


def test_decodes_to_the_channels(plugin, channels):
  task = plugin.build(channels)
  values = task.decode(_output(task), _values(channels))
  assert values.shape == (3, 6, 4, len(channels)) and values.dtype == tf.float32
  assert np.isfinite(values.numpy()).all()
