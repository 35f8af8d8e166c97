"""Soft encoding against the formula of the paper's code, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.color.color_space import Channel
from sbae_tf.quantize import gamut, rescaled, uniform
from sbae_tf.quantize.soft_encoding import soft_encode

AB = (Channel("a", -86.0, 98.0), Channel("b", -108.0, 94.0))
L = (Channel("L", 0.0, 100.0),)


def _by_formula(values, centers, neighbors, sigma):
  """The nearest, weighted by exp(-d^2 / (2 sigma^2)), and divided by their sum."""
  shared = np.zeros((*values.shape[:3], centers.shape[1]))
  for place in np.ndindex(values.shape[:3]):
    d = np.linalg.norm(centers[min(place[0], len(centers) - 1)] - values[place], axis=-1)
    nearest = np.argsort(d, kind="stable")[:neighbors]
    shared[place][nearest] = np.exp(-(d[nearest] ** 2) / (2 * sigma**2))
  return shared / shared.sum(-1, keepdims=True)


@pytest.mark.parametrize("jit_compile", [None, False, True])
@pytest.mark.parametrize(
  ("channels", "build", "neighbors", "sigma"),
  [(AB, gamut.build, 10, 5.0), (AB, rescaled.build, 4, 3.0), (L, uniform.build, 5, 1.5)],
  ids=["gamut", "rescaled", "uniform"],
)
def test_agrees_with_the_formula(channels, build, neighbors, sigma, jit_compile):
  rng = np.random.default_rng(0)
  values = np.stack([rng.uniform(c.low, c.high, (2, 5, 4)) for c in channels], -1)
  values = tf.constant(values, tf.float32)
  quantizer = build(channels)

  def encode(values):
    return soft_encode(values, quantizer.centers(values), neighbors=neighbors, sigma=sigma)

  if jit_compile is not None:
    encode = tf.function(encode, jit_compile=jit_compile)
  ours = encode(values).numpy()
  centers = quantizer.centers(values).numpy().astype(np.float64)
  expected = _by_formula(values.numpy().astype(np.float64), centers, neighbors, sigma)
  assert ours.dtype == np.float32 and ours.shape == (2, 5, 4, quantizer.bins)
  np.testing.assert_allclose(ours, expected, atol=2e-5)
  np.testing.assert_array_equal((ours > 1e-7).sum(-1) <= neighbors, True)
  np.testing.assert_allclose(ours.sum(-1), 1, rtol=1e-5)


def _ab(a, b, **options):
  values = tf.constant([[[[a, b]]]], tf.float32)
  quantizer = gamut.build(AB)
  shared = soft_encode(values, quantizer.centers(values), **options).numpy()[0, 0, 0]
  return shared, quantizer.encode(values).numpy()[0, 0, 0]


def test_of_a_center_all_that_are_as_far_share():
  """With 10 neighbors 13: one at 0, four each at 10, at 10 sqrt 2 and at 20 units."""
  shared, own = _ab(0, 0, neighbors=10, sigma=5.0)
  e = [math.exp(-(d**2) / 50) for d in (10, 10 * math.sqrt(2), 20)]
  assert shared[own] == pytest.approx(1 / (1 + 4 * sum(e)), rel=1e-5)
  assert (shared > 0).sum() == 13


def test_one_neighbor_is_the_bin():
  shared, own = _ab(31.4, -27.1, neighbors=1, sigma=5.0)
  assert shared[own] == 1 and shared.sum() == 1


def test_far_from_all_bins_there_still_is_a_nearest():
  shared, _ = _ab(400.0, 20.0, neighbors=10, sigma=5.0)
  assert np.isfinite(shared).all() and shared.sum() == pytest.approx(1)
  assert gamut.gamut_centers()[shared.argmax()].tolist() == [100, 0]
