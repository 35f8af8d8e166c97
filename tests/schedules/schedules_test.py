"""Each schedule's formula, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sbae_tf.schedules import constant, cosine, exponential, step


def _rates(schedule, steps):
  return np.array([float(schedule(i)) for i in range(steps)])


def test_exponential_loses_a_tenth_each_epoch():
  expected = [1e-4 * 0.9 ** (i // 5) for i in range(20)]
  np.testing.assert_allclose(_rates(exponential.build(1e-4, 5, 20), 20), expected, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 4, 10, 11, 12])
def test_step_drops_no_more_often_than_asked(steps):
  rates = _rates(step.build(1.0, 1, steps, drops=2, factor=0.5), steps)
  length = -(-steps // 3)
  np.testing.assert_allclose(rates, 0.5 ** (np.arange(steps) // length), rtol=1e-6)
  assert rates.min() >= 0.25


def test_step_drops_at_even_distances():
  rates = _rates(step.build(1.0, 1, 30, drops=2, factor=0.1), 30)
  np.testing.assert_allclose(rates, [1.0] * 10 + [0.1] * 10 + [0.01] * 10, rtol=1e-5)


def test_cosine_warms_up_and_ends_at_zero():
  schedule = cosine.build(1.0, 10, 50, warmup_epochs=1)
  rates = _rates(schedule, 50)
  np.testing.assert_allclose(rates[:10], np.arange(10) / 10, rtol=1e-5)
  expected = [0.5 * (1 + math.cos(math.pi * i / 40)) for i in range(40)]
  np.testing.assert_allclose(rates[10:], expected, atol=1e-6)
  assert float(schedule(50)) == pytest.approx(0, abs=1e-7)


def test_constant_stays():
  assert set(_rates(constant.build(0.5, 3, 10), 10).tolist()) == {0.5}


@pytest.mark.parametrize(
  ("build", "options"),
  [
    (exponential.build, {"decay": 1.0}),
    (exponential.build, {"decay": -0.1}),
    (step.build, {"drops": 0}),
    (step.build, {"factor": 1.0}),
    (cosine.build, {"warmup_epochs": -1.0}),
  ],
)
def test_option_out_of_range(build, options):
  with pytest.raises(ValueError, match=f"`{next(iter(options))}`"):
    build(0.1, 10, 100, **options)
