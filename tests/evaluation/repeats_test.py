"""Mean and standard deviation of repetitions, and their seeds."""

from __future__ import annotations

import pytest

from sbae_tf.evaluation import repeats


def test_of_what_was_drawn_from():
  # They are 3, 1, 1, 1, 0, 0, 2 and 4 away from 5: squares of 32 in all.
  values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]
  assert repeats.std(values) == pytest.approx((32 / 7) ** 0.5)
  assert repeats.std([3.0]) == 0.0
  assert repeats.in_percent([0.5, 0.52]) == "51.0 ± 1.4"


def test_seeds_differ():
  seeds = {repeats.seed_of(seed, index) for seed in range(9) for index in range(9)}
  assert len(seeds) == 81 and repeats.seed_of(1, 2) == repeats.seed_of(1, 2)
