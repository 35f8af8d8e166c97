"""After Algorithm 2 layers learn at one rate, and compute what they did."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.initialization import between_layers
from sbae_tf.initialization._convolutions import normalized_convolutions

_EPSILON = 1e-5


def _last_map(x: np.ndarray, *kernels: np.ndarray) -> np.ndarray:
  """The formula anew: each layer's output is normalized over the batch, then ReLU."""
  for kernel in kernels:
    x = x @ kernel
    x = (x - x.mean(0)) / np.sqrt(x.var(0) + _EPSILON)
    x = np.maximum(x, 0)
  return x


def _rates(x: np.ndarray, kernels: list[np.ndarray], *, photographs: int) -> list[float]:
  """C_k by differences: over losses <n, z> the mean of (dl/dw)^2 is the sum of all (dz/dw)^2."""
  rates, step = [], 1e-5
  for k, kernel in enumerate(kernels):
    squares = []
    for index in np.ndindex(kernel.shape):
      moved = [[w.copy() for w in kernels] for _ in range(2)]
      moved[0][k][index] += step * np.abs(kernel).max()
      moved[1][k][index] -= step * np.abs(kernel).max()
      difference = _last_map(x, *moved[0]) - _last_map(x, *moved[1])
      squares.append(np.sum((difference / (2 * step * np.abs(kernel).max())) ** 2))
    rates.append(np.sqrt(np.mean(squares) / photographs / np.mean(kernel**2)))
  return rates


def test_rates_are_those_of_the_formula(build_small):
  tower, rng = build_small(3, sizes=(1.0, 100.0)), np.random.default_rng(0)
  batch = rng.normal(size=(16, 2, 2, 3))
  kernels = [u.convolution.kernel.numpy()[0, 0].astype(np.float64) for u in _units(tower)]
  expected = _rates(batch.reshape(-1, 3), kernels, photographs=16)
  before = tower.get_weights()
  draws = np.tile(batch, (40, 1, 1, 1)).astype(
    np.float32
  )  # Each batch of 16 has a loss of its own.
  found = between_layers.learning_rates(tower, draws, seed=0)
  assert expected[0] / expected[1] > 50
  np.testing.assert_allclose(found, expected, rtol=0.2)
  for weights, value in zip(tower.get_weights(), before):  # Not even the batch statistics.
    np.testing.assert_array_equal(weights, value)
  # And afterwards, by the formula again.
  between_layers.equalize([tower], [draws[:640]], seed=0)
  kernels = [u.convolution.kernel.numpy()[0, 0].astype(np.float64) for u in _units(tower)]
  one, two = _rates(batch.reshape(-1, 3), kernels, photographs=16)
  assert 0.7 < one / two < 1.4


def _units(tower):
  return normalized_convolutions(tower)


def _remember(tower: tf.keras.Model, seed: int) -> None:
  """Batch statistics, scales and shifts as after some training."""
  rng = np.random.default_rng(seed)
  for unit in _units(tower):
    layer, count = unit.normalization, unit.normalization.gamma.shape[0]
    layer.moving_mean.assign(rng.normal(size=count))
    layer.moving_variance.assign(rng.uniform(0.1, 9.0, count))
    layer.gamma.assign(rng.uniform(0.5, 2.0, count))
    layer.beta.assign(rng.normal(size=count))
    unit.convolution.kernel.assign(unit.convolution.kernel * rng.uniform(0.2, 5.0))


def test_equalized_layers_compute_what_they_did(tower, photographs):
  seen, held_out = photographs(2, seed=0), photographs(2, seed=1)
  _remember(tower, seed=0)
  kernels = [unit.convolution.kernel.numpy() for unit in _units(tower)]
  before = {training: _maps(tower, held_out, training) for training in (False, True)}
  told = between_layers.equalize([tower], [seen], seed=0)
  np.testing.assert_allclose(np.exp(np.log(told).mean()), 1, rtol=1e-6)
  for training, close in ((False, 1e-5), (True, 1e-2)):
    for name, maps in _maps(tower, held_out, training).items():
      largest = np.abs(before[training][name]).max()
      np.testing.assert_allclose(maps, before[training][name], atol=close * largest, err_msg=name)
  # One factor a layer; all rates are one, on the photographs that they were taken of and on others.
  for unit, kernel in zip(_units(tower), kernels):
    ratio = unit.convolution.kernel.numpy() / kernel
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-4)
  for inputs, seed, close in ((seen, 0, 0.02), (held_out, 1, 0.5)):
    rates = between_layers.learning_rates(tower, inputs, seed=seed)
    assert rates.max() / rates.min() < 1 + close, (rates, close)


def _maps(tower: tf.keras.Model, inputs: np.ndarray, training: bool) -> dict[str, np.ndarray]:
  weights = tower.get_weights()
  maps = {name: value.numpy() for name, value in tower(inputs, training=training).items()}
  tower.set_weights(weights)  # Training moves the batch statistics.
  return maps


def test_towers_are_one_network_and_dead_layers_are_left(photographs, build_small):
  first, second, third = (build_small(3, sizes=(1.0, 100.0)) for _ in range(3))
  dead = _units(second)[1]
  dead.normalization.beta.assign(tf.fill(dead.normalization.beta.shape, -100.0))  # ReLU gives 0.
  kernel = dead.convolution.kernel.numpy()
  inputs = photographs(3, seed=0)
  told = between_layers.equalize([first, second], [inputs, inputs], seed=0)
  assert np.isfinite(told[:2]).all() and np.isnan(told[2:]).all()
  np.testing.assert_array_equal(dead.convolution.kernel, kernel)
  _units(first)[0].scale(0.1)
  between_layers.equalize([first, third], [inputs, inputs], seed=0)
  rates = [between_layers.learning_rates(tower, inputs, seed=0) for tower in (first, third)]
  np.testing.assert_allclose(np.concatenate(rates), rates[0][0], rtol=0.02)
