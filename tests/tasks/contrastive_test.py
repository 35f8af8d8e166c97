"""NT-Xent against the paper's formula, written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.tasks import contrastive


def _nt_xent(first, second, temperature) -> np.ndarray:
  """Chen et al. 2020, Eq. 1, for each pair the mean of l(i, j) and l(j, i)."""
  z = np.concatenate([first, second]).astype(np.float64)
  count = len(first)
  sim = np.array([[a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in z] for a in z])

  def one(i, j):
    others = sum(np.exp(sim[i, k] / temperature) for k in range(2 * count) if k != i)
    return -np.log(np.exp(sim[i, j] / temperature) / others)

  return np.array([(one(i, i + count) + one(i + count, i)) / 2 for i in range(count)])


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("count", [2, 7])
def test_loss_agrees_with_the_formula(temperature, count):
  rng = np.random.default_rng(0)
  first = rng.normal(0, 2, (count, 5)).astype(np.float32)
  second = first + rng.normal(0, 1, (count, 5)).astype(np.float32)
  task = contrastive.build((), temperature=temperature)
  losses = task.loss(tf.zeros((2 * count, 0)), tf.concat([first, second], 0))
  np.testing.assert_allclose(losses, _nt_xent(first, second, temperature), rtol=1e-4)


def test_known_losses():
  task = contrastive.build((), temperature=0.1)
  ignorant = task.loss(tf.zeros((8, 0)), tf.ones((8, 3)))
  np.testing.assert_allclose(ignorant, [np.log(7)] * 4, rtol=1e-5)
  knowing = task.loss(tf.zeros((8, 0)), tf.tile(tf.eye(4), (2, 1)))
  # The other view at 1, six at 0: log(1 + 6 exp(-10)).
  np.testing.assert_allclose(knowing, [np.log1p(6 * np.exp(-10))] * 4, rtol=1e-3)


def test_the_loss_is_the_same_in_a_graph_of_any_batch():
  task = contrastive.build(())
  output = tf.random.stateless_normal((6, 4), (0, 1))
  expected = task.loss(tf.zeros((6, 0)), output)
  graph = tf.function(task.loss, input_signature=[tf.TensorSpec((None, None))] * 2)
  np.testing.assert_allclose(graph(tf.zeros((6, 0)), output), expected, rtol=1e-5)
  compiled = tf.function(task.loss, jit_compile=True)(tf.zeros((6, 0)), output)
  np.testing.assert_allclose(compiled, expected, rtol=1e-5)


def test_the_head_sees_means_over_the_map():
  head = contrastive.build((), projection=7).build_head(8, name="head")
  features = tf.random.stateless_normal((2, 3, 5, 8), (0, 2))
  mean = features.numpy().mean((1, 2))
  w1, b1, w2, b2 = (v.numpy() for v in head.trainable_variables)
  assert w1.shape == (8, 8) and w2.shape == (8, 7)
  expected = np.maximum(mean @ w1 + b1, 0) @ w2 + b2
  np.testing.assert_allclose(head(features), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"temperature": 0.0}, "`temperature` above 0. Received: 0.0"),
    ({"projection": 0}, "`projection` of 1 or more. Received: 0"),
    ({"smallest": 0.0}, r"`smallest` in \(0, 1\]. Received: 0.0"),
    ({"strength": 1.5}, "`strength` from 0 to 1. Received: 1.5"),
  ],
)
def test_options_out_of_range(options, message):
  with pytest.raises(ValueError, match=message):
    contrastive.build((), **options)
