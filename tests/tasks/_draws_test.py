"""Random numbers: their distributions, and that XLA draws the same."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.tasks import _draws

SEED = tf.constant([0, 7], tf.int64)


@pytest.mark.parametrize("draw", [_draws.uniform, _draws.normal])
def test_the_same_compiled_or_not(draw):
  eager = draw((1000, 3), SEED)
  assert eager.shape == (1000, 3) and eager.dtype == tf.float32
  for compiled in (False, True):
    again = tf.function(lambda s: draw((1000, 3), s), jit_compile=compiled)(SEED)
    np.testing.assert_allclose(again, eager, rtol=1e-5, atol=1e-6)
  assert not np.allclose(draw((1000, 3), SEED + 1), eager)


def test_uniform():
  drawn = _draws.uniform((200_000,), SEED).numpy().astype(np.float64)
  assert drawn.min() > 0 and drawn.max() < 1
  # Kolmogorov and Smirnov's distance: 1.95 / sqrt(N) is passed once in a thousand times.
  distance = np.abs(np.sort(drawn) - np.arange(1, drawn.size + 1) / drawn.size).max()
  assert distance < 1.95 / np.sqrt(drawn.size)


def test_the_ends_are_left_out(monkeypatch):
  """Of all bits 0 and all bits 1, which are too rare to be drawn."""
  for bits, expected in ((0, 2.0**-24), (2**32 - 1, 1 - 2.0**-24)):
    constant = tf.constant([bits], tf.uint32)
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda *_, c=constant, **__: c)
    assert float(_draws.uniform((1,), SEED)[0]) == expected
    assert abs(float(_draws.normal((1,), SEED)[0])) == pytest.approx(5.29, abs=0.05)


def test_normal():
  drawn = _draws.normal((200_000,), SEED).numpy().astype(np.float64)
  assert np.mean(drawn) == pytest.approx(0, abs=0.01)
  assert np.std(drawn) == pytest.approx(1, abs=0.01)
  assert np.mean(drawn**4) == pytest.approx(3, abs=0.1)
  # Quantiles of the standard normal, from tables.
  for z, share in ((-1.6449, 0.05), (0.6745, 0.75), (1.9600, 0.975)):
    assert np.mean(drawn < z) == pytest.approx(share, abs=0.003)
