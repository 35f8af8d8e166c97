"""A worker alone agrees with itself. Several: see multi_worker_test.py."""

from __future__ import annotations

import pytest
import tensorflow as tf

from sbae_tf import cluster
from sbae_tf.agreement import Agreement


@pytest.mark.parametrize("due", [False, True])
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_worker_alone_agrees_at_any_step(due, interrupted):
  agreement = Agreement(tf.distribute.get_strategy(), cluster.ALONE, seconds=5.0)
  agreement.start(0)
  assert agreement.steps_left(0) is None
  for step in (1, 2):
    answer = agreement.checkpoint(step, due=due, interrupted=interrupted)
    assert answer == (due or interrupted, interrupted)
  assert agreement.of_chief(3.5) == 3.5
  assert agreement.total([1, 2.5, True]) == [1.0, 2.5, 1.0]
  agreement.part()
