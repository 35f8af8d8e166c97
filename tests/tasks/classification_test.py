"""Cross-entropy and the annealed mean against the papers' formulas, written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.color.color_space import Channel
from sbae_tf.tasks import classification

L = (Channel("L", 0.0, 100.0),)


def _annealed_mean_by_formula(logits, centers, temperature):
  """Zhang et al. 2016, Eq. 5: H(z) = E[f_T(z)], f_T(z) = exp(log(z)/T) / sum exp(log(z)/T)."""
  z = np.exp(logits.astype(np.float64))
  z /= z.sum(-1, keepdims=True)
  f = np.exp(np.log(z) / temperature)
  f /= f.sum(-1, keepdims=True)
  return np.einsum("bhwk,bkc->bhwc", f, np.broadcast_to(centers, (len(logits), *centers.shape[1:])))


@pytest.mark.parametrize("temperature", [0.05, 0.38, 1.0])
@pytest.mark.parametrize("batch", [1, 3])
def test_annealed_mean_agrees_with_the_formula(temperature, batch):
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 2, (3, 4, 5, 7)).astype(np.float32)
  centers = rng.uniform(-110, 110, (batch, 7, 2)).astype(np.float32)
  ours = classification.annealed_mean(
    tf.constant(logits), tf.constant(centers), temperature=temperature
  )
  np.testing.assert_allclose(
    ours, _annealed_mean_by_formula(logits, centers, temperature), rtol=1e-3, atol=1e-3
  )


def test_annealed_mean_goes_from_mode_to_mean():
  logits = tf.math.log(tf.constant([[[[0.5, 0.3, 0.2]]]]))
  centers = tf.constant([[[0.0], [10.0], [100.0]]])

  def decode(temperature):
    return float(classification.annealed_mean(logits, centers, temperature=temperature)[0, 0, 0, 0])

  assert decode(1.0) == pytest.approx(23.0, abs=1e-3)
  assert decode(0.01) == pytest.approx(0.0, abs=1e-3)
  assert decode(0.0) == 0.0
  assert decode(0.01) < decode(0.38) < decode(1.0)


@pytest.mark.parametrize("temperature", [-0.1, 1.5, float("nan")])
def test_temperature_out_of_range(temperature):
  with pytest.raises(ValueError, match=r"`temperature`.*\[0, 1\]"):
    classification.annealed_mean(
      tf.zeros((1, 1, 1, 2)), tf.zeros((1, 2, 1)), temperature=temperature
    )
  with pytest.raises(ValueError, match=r"`temperature`"):
    classification.build(L, temperature=temperature)


def test_cross_entropy_agrees_with_the_formula():
  """Zhang et al. 2017, Sec. 3.1 with hard targets: -sum_q Y log Yhat, a mean over pixels here."""
  rng = np.random.default_rng(1)
  task = classification.build(L)
  ids = rng.integers(0, 100, (2, 3, 3)).astype(np.int32)
  logits = rng.normal(0, 3, (2, 3, 3, 100))
  p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  one_hot = np.eye(100)[ids]
  expected = -(one_hot * np.log(p)).sum(-1).mean((1, 2))
  ours = task.loss(tf.constant(ids), tf.constant(logits, tf.float32))
  np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_ignorance_costs_log_k():
  task = classification.build(L, quantizer="uniform(bins=50)")
  loss = task.loss(tf.zeros((1, 2, 2), tf.int32), tf.zeros((1, 2, 2, 50)))
  assert float(loss[0]) == pytest.approx(np.log(50), rel=1e-5)


def test_a_sure_prediction_decodes_to_the_truth():
  task = classification.build(L, quantizer="rescaled")
  values = tf.constant(np.random.default_rng(2).uniform(30, 60, (2, 6, 6, 1)), tf.float32)
  logits = 1e3 * tf.one_hot(task.target(values), task.quantizer.bins)
  np.testing.assert_allclose(task.decode(logits, values), values, atol=0.16)  # 30 / 100 / 2


def test_unknown_quantizer():
  with pytest.raises(ValueError, match="Unknown quantizer 'vector'. Known: .*uniform"):
    classification.build(L, quantizer="vector")
