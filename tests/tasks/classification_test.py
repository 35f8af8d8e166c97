"""Cross-entropy and the annealed mean against the papers' formulas, written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.color.color_space import Channel
from sbae_tf.quantize.bin_prior import BinPrior
from sbae_tf.quantize.gamut import gamut_centers
from sbae_tf.tasks import classification

L = (Channel("L", 0.0, 100.0),)
AB = (Channel("a", -86.0, 98.0), Channel("b", -108.0, 94.0))


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


@pytest.fixture(name="prior")
def _prior(tmp_path):
  """The path of a prior of the bins in gamut, and the counts in it."""
  counts = np.random.default_rng(0).integers(0, 10_000, 313)
  file = tmp_path / "prior.json"
  file.write_text(BinPrior("gamut of a,b", gamut_centers(), counts, {}).dumps())
  return str(file), counts


def _gamut_batch():
  rng = np.random.default_rng(3)
  values = tf.constant(rng.uniform(-70, 70, (2, 3, 4, 2)), tf.float32)
  return values, tf.constant(rng.normal(0, 2, (2, 3, 4, 313)), tf.float32)


def _loss_and_gradient(task, values, logits):
  with tf.GradientTape() as tape:
    tape.watch(logits)
    loss = task.loss(task.target(values), logits)
  return loss, tape.gradient(loss, logits)


def test_soft_cross_entropy_agrees_with_the_formula():
  """Zhang et al. 2016, Eq. 2: -sum_q Z log Zhat with soft Z, a mean over pixels here."""
  task = classification.build(AB, quantizer="gamut", soft_neighbors=10)
  values, logits = _gamut_batch()
  z = task.target(values).numpy().astype(np.float64)
  assert z.shape == (2, 3, 4, 313)
  log_p = logits.numpy() - np.log(np.exp(logits.numpy().astype(np.float64)).sum(-1, keepdims=True))
  np.testing.assert_allclose(
    task.loss(z.astype(np.float32), logits), -(z * log_p).sum(-1).mean((1, 2)), rtol=1e-5
  )
  assert float(task.loss(z.astype(np.float32), 0 * logits)[0]) == pytest.approx(
    np.log(313), rel=1e-5
  )


@pytest.mark.parametrize("soft_neighbors", [1, 10])
def test_rebalancing_scales_gradients_by_the_bin_and_nothing_else(soft_neighbors, prior):
  """(1 / pixels) w (softmax - Z): Zhang et al. 2016, Eq. 2 to 4."""
  path, counts = prior
  options = {"quantizer": "gamut", "soft_neighbors": soft_neighbors}
  plain = classification.build(AB, **options)
  task = classification.build(AB, prior=path, **options)
  values, logits = _gamut_batch()
  expected_loss, expected = _loss_and_gradient(plain, values, logits)
  p = counts / counts.sum()
  squares = ((gamut_centers()[:, None].astype(float) - gamut_centers()) ** 2).sum(-1)
  kernel = np.exp(-squares / 50)
  smooth = (kernel / kernel.sum(1, keepdims=True)).T @ p
  w = 1 / (smooth / 2 + 0.5 / 313)
  w /= (smooth * w).sum()
  nearest = ((values.numpy()[..., None, :] - gamut_centers()) ** 2).sum(-1).argmin(-1)
  for run in (_loss_and_gradient, tf.function(_loss_and_gradient, jit_compile=True)):
    loss, gradient = run(task, values, logits)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected * w[nearest][..., None], rtol=1e-3, atol=1e-7)
  assert w.max() > 1.5 * w.min()


def test_a_prior_is_kept_by_a_run_and_not_needed_to_decode(prior, tmp_path):
  path, _ = prior
  assert classification.build(AB, quantizer="gamut").files == {}
  kept = classification.build(AB, quantizer="gamut", prior=path).files
  assert kept.keys() == {"prior.json"} and b'"gamut of a,b"' in kept["prior.json"]
  absent = classification.build(AB, quantizer="gamut", prior=str(tmp_path / "none.json"))
  values, logits = _gamut_batch()
  assert absent.decode(logits, values).shape == (2, 3, 4, 2)
  with pytest.raises(ValueError, match="Cannot read the prior .*none.json"):
    absent.files  # noqa: B018 - it is read.


def test_a_prior_of_other_bins_names_both(prior):
  path, _ = prior
  task = classification.build(AB, quantizer="uniform(bins=20)", prior=path)
  with pytest.raises(
    ValueError, match=r"other bins: 313, gamut of a,b. .* 400, uniform\(bins=20\) of a,b"
  ):
    task.files  # noqa: B018
  with pytest.raises(ValueError, match="bins that all images share"):
    classification.build(AB, quantizer="rescaled", prior=path)


@pytest.mark.parametrize(
  ("options", "named"),
  [
    ({"soft_neighbors": 0}, "`soft_neighbors` from 1 to 313"),
    ({"soft_neighbors": 314}, "`soft_neighbors` from 1 to 313"),
    ({"soft_sigma": 0.0}, "`soft_sigma` above 0"),
    ({"prior": "x.json", "rebalance": 0.0}, r"`rebalance` in \(0, 1\]"),
    ({"prior": "x.json", "soft_sigma": -1.0}, "`soft_sigma` above 0"),
  ],
)
def test_options_out_of_range(options, named):
  with pytest.raises(ValueError, match=named):
    classification.build(AB, quantizer="gamut", **options)
