"""What every schedule must do; finds them by itself."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import plugins


@pytest.mark.parametrize("name", plugins.names("schedule"))
@pytest.mark.parametrize("steps", [1, 2, 40])
def test_is_a_finite_function_of_the_step(name, steps):
  schedule = plugins.find("schedule", name).build(0.1, 10, steps)
  rates = [float(schedule(step)) for step in range(steps)]
  assert np.isfinite(rates).all() and min(rates) >= 0 and max(rates) <= 0.1 + 1e-6
  assert rates[0] == pytest.approx(0.1)
  graph = tf.function(schedule)
  again = [float(graph(tf.constant(step, tf.int64))) for step in range(steps)]
  np.testing.assert_allclose(again, rates, rtol=1e-5)
