"""Noise against Vincent et al.'s definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.color.color_space import Channel
from sbae_tf.tasks import _draws, denoising

AB = (Channel("a", -80.0, 100.0), Channel("b", -110.0, 90.0))
SEED = tf.constant([0, 7], tf.int64)
SHAPE = (4, 64, 64, 3)


def _inputs() -> np.ndarray:
  return np.random.default_rng(0).uniform(-0.9, 0.9, SHAPE).astype(np.float32)


def _corrupted(noise, amount) -> np.ndarray:
  return denoising.corrupted(tf.constant(_inputs()), SEED, noise=noise, amount=amount).numpy()


def _by_definition(noise, amount) -> np.ndarray:
  """Vincent et al. 2010, on [-1, 1], from the numbers that are drawn."""
  x, u = _inputs(), _draws.uniform(SHAPE, SEED).numpy()
  if noise == "masking":
    return np.where(u < amount, 0.0, x)
  if noise == "salt_and_pepper":
    return np.where(u < amount / 2, -1.0, np.where(u < amount, 1.0, x))
  return x + 2 * amount * _draws.normal(SHAPE, SEED).numpy()  # [-1, 1] is twice as long as [0, 1].


@pytest.mark.parametrize("noise", ["masking", "gaussian", "salt_and_pepper"])
@pytest.mark.parametrize("amount", [0.05, 0.5])
def test_agrees_with_the_definition(noise, amount):
  np.testing.assert_allclose(
    _corrupted(noise, amount), _by_definition(noise, amount), rtol=1e-6, atol=1e-6
  )


@pytest.mark.parametrize("amount", [0.05, 0.1, 0.2, 0.5])
def test_amounts(amount):
  """Of 49,152 numbers, within 5 standard deviations."""
  x = _inputs()
  bound = 5 * np.sqrt(amount * (1 - amount) / x.size)
  masked = _corrupted("masking", amount)
  assert np.mean(masked == 0) == pytest.approx(amount, abs=bound)
  np.testing.assert_array_equal(masked[masked != 0], x[masked != 0])
  # Each channel by itself, and not pixels.
  zeros = (masked == 0).all(-1).mean()
  assert zeros == pytest.approx(amount**3, abs=0.01)
  spiced = _corrupted("salt_and_pepper", amount)
  for extreme in (-1, 1):
    assert np.mean(spiced == extreme) == pytest.approx(amount / 2, abs=bound)
  rest = np.abs(spiced) < 1
  np.testing.assert_array_equal(spiced[rest], x[rest])
  added = _corrupted("gaussian", amount) - x
  assert np.std(added) == pytest.approx(2 * amount, rel=0.02)
  assert np.mean(added) == pytest.approx(0, abs=0.02 * amount)
  assert np.abs(np.corrcoef(added.reshape(-1, 3).T) - np.eye(3)).max() < 0.03  # Isotropic.


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"noise": "speckle"}, "`noise`.*masking, gaussian, salt_and_pepper. Received: speckle"),
    ({"amount": 0.0}, "`amount` between 0 and 1. Received: 0.0"),
    ({"amount": 1.0}, "`amount` between 0 and 1. Received: 1.0"),
  ],
)
def test_options_out_of_range(options, message):
  with pytest.raises(ValueError, match=message):
    denoising.build(AB, **options)
