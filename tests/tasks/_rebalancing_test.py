"""Class rebalancing against Eq. 4 of Zhang et al. 2016, written out."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.quantize.bin_prior import BinPrior
from sbae_tf.quantize.gamut import gamut_centers
from sbae_tf.tasks._rebalancing import Rebalancing, rebalancing_weights, scale_gradient


def _by_formula(p, centers, rebalance, sigma):
  """w ~ ((1 - lambda) p~ + lambda / Q)^-1 with the sum of p~ w 1; p~ is p after the Gaussian."""
  smooth = np.zeros(len(p))
  for q, probability in enumerate(p):
    kernel = np.array(
      [np.exp(-((center - centers[q]) ** 2).sum() / 2 / sigma**2) for center in centers]
    )
    smooth += probability * kernel / kernel.sum()
  w = np.array([1 / ((1 - rebalance) * s + rebalance / len(p)) for s in smooth])
  return w / sum(smooth * w), smooth


@pytest.mark.parametrize(("rebalance", "sigma"), [(0.5, 5.0), (0.01, 12.0), (1.0, 5.0)])
def test_agrees_with_the_formula(rebalance, sigma):
  centers = gamut_centers()[::4]
  p = np.random.default_rng(0).dirichlet(np.full(len(centers), 0.05))
  expected, smooth = _by_formula(p, centers.astype(float), rebalance, sigma)
  ours = rebalancing_weights(p, centers, rebalance=rebalance, sigma=sigma)
  np.testing.assert_allclose(ours, expected, rtol=1e-5)
  assert smooth.sum() == pytest.approx(1) and smooth @ ours == pytest.approx(1, rel=1e-5)
  assert (
    np.ptp(ours) == pytest.approx(0, abs=1e-9) if rebalance == 1 else ours.max() > 3 * ours.min()
  )


def test_by_hand():
  """Bins so far from each other that nothing is smoothed: 1 / (3/8 + 1/4) to 1 / (1/8 + 1/4)."""
  ours = rebalancing_weights(np.array([0.75, 0.25]), np.array([[0], [1e3]]), rebalance=0.5, sigma=5)
  np.testing.assert_allclose(ours, np.array([1.6, 8 / 3]) / (0.75 * 1.6 + 0.25 * 8 / 3))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_only_gradients_are_scaled(jit_compile):
  values = tf.random.stateless_normal((2, 3), (0, 0))
  factors = tf.constant([[0.1, 2.0, 30.0], [1.0, 0.0, 0.3]])

  @tf.function(jit_compile=jit_compile)
  def run(values):
    with tf.GradientTape() as tape:
      tape.watch(values)
      scaled = scale_gradient(values, factors)
    return scaled, tape.gradient(scaled, values)

  scaled, gradient = run(values)
  np.testing.assert_array_equal(scaled, values)
  np.testing.assert_allclose(gradient, factors, rtol=1e-6)


@pytest.mark.parametrize("rebalance", [0.0, -0.5, 1.5])
def test_lambda_is_in_its_range(rebalance):
  with pytest.raises(ValueError, match=r"`rebalance` in \(0, 1\]. Received: "):
    Rebalancing("none.json", "bins", np.zeros((2, 1)), rebalance=rebalance, sigma=5.0)


def test_the_file_is_read_when_it_is_needed(tmp_path):
  file, centers = tmp_path / "prior.json", np.array([[1.0], [2.0]])
  ours = Rebalancing(str(file), "uniform of L", centers, rebalance=0.5, sigma=1.0)
  with pytest.raises(ValueError, match=rf"^Cannot read the prior {file}: No such file"):
    ours.weights  # noqa: B018 - it is computed.
  file.write_bytes(b"\xff")
  with pytest.raises(ValueError, match=f"Cannot read the prior {file}: it is no text"):
    ours.weights  # noqa: B018
  prior = BinPrior("uniform of L", centers, np.array([3, 1]), {})
  file.write_text(prior.dumps())
  expected = rebalancing_weights(prior.probabilities, centers, rebalance=0.5, sigma=1.0)
  assert ours.weights.dtype == np.float32
  np.testing.assert_allclose(ours.weights, expected, rtol=1e-6)


def test_a_prior_that_comes_with_the_package(tmp_path, monkeypatch):
  centers = gamut_centers()
  ours = Rebalancing("imagenette96", "gamut of a,b", centers, rebalance=0.5, sigma=5.0)
  prior = ours.prior
  assert prior.counts.sum() == prior.provenance["photographs"] * 12**2  # The maps of 96 pixels.
  gray = np.square(centers).sum(axis=1).argmin()
  assert prior.counts.argmax() == gray and ours.weights.argmin() == gray
  assert ours.weights @ _smoothed(prior.probabilities, centers) == pytest.approx(1, abs=1e-5)
  # A file of that name in the folder is meant where it is written as a path.
  monkeypatch.chdir(tmp_path)
  pathlib.Path("imagenette96").write_text("{}")
  with pytest.raises(ValueError, match="Expected imagenette96 to be a prior"):
    Rebalancing("./imagenette96", "gamut of a,b", centers, rebalance=0.5, sigma=5.0).prior  # noqa: B018


def _smoothed(probabilities, centers):
  """By a Gaussian of sigma 5, in a loop."""
  smooth = np.zeros_like(probabilities)
  for probability, center in zip(probabilities, centers):
    kernel = np.exp(-np.square(centers - center).sum(axis=1) / (2 * 5.0**2))
    smooth += probability * kernel / kernel.sum()
  return smooth
