"""What every initialization must do; finds them by itself."""

from __future__ import annotations

import numpy as np
import pytest

from sbae_tf import plugins


@pytest.fixture(params=plugins.names("initialization"), name="initialization")
def _initialization(request):
  return plugins.find("initialization", request.param).build()


def _weights(initialization, build_small, inputs, *, seed: int) -> list[np.ndarray]:
  towers = [build_small(values.shape[-1]) for values in inputs]
  initialization.check(towers)
  initialization.initialize(towers, inputs, seed=seed)
  return [weights for tower in towers for weights in tower.get_weights()]


def test_the_same_seed_gives_the_same_weights(initialization, photographs, build_small):
  inputs = [photographs(channels, seed=channels) for channels in (1, 2)]
  drawn = _weights(plugins.find("initialization", "random").build(), build_small, inputs, seed=7)
  first, again, other = (
    _weights(initialization, build_small, inputs, seed=seed) for seed in (7, 7, 8)
  )
  assert all(np.isfinite(weights).all() for weights in first)
  for one, two in zip(first, again):
    np.testing.assert_array_equal(one, two)
  kernels = [i for i, weights in enumerate(first) if weights.ndim == 4]
  looks = initialization.photographs > 0
  for weights in (drawn, other):
    assert all(np.array_equal(first[i], weights[i]) != looks for i in kernels)
