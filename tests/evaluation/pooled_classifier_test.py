"""The classifier against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.evaluation.pooled_classifier import PooledClassifier, pool


def _features(seed: int) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(seed)
  return {
    "conv1": rng.normal(3.0, 2.0, (5, 4, 6, 2)).astype(np.float32),
    "conv2": rng.normal(-1.0, 0.1, (5, 2, 2, 3)).astype(np.float16),
    "embedding": rng.normal(0.0, 1.0, (5, 4)).astype(np.float32),
  }


def _shapes(*layers: str) -> dict[str, tuple[int, ...]]:
  return {name: _features(0)[name].shape[1:] for name in layers}


def _pooled(seed: int) -> np.ndarray:
  features = _features(seed)
  means = [features["embedding"], features["conv1"].mean((1, 2))]
  return np.concatenate(means, axis=1)


def test_pools_in_the_order_of_the_layers():
  found = pool(_features(0), _shapes("embedding", "conv1"), grid=1)
  np.testing.assert_allclose(found, _pooled(0), rtol=1e-5)
  assert pool(_features(0), _shapes("conv2"), grid=1).dtype == tf.float32


def test_cells_are_equal_parts_of_a_map():
  """As the means of parts of the map in which every pixel is as many as there are cells."""
  maps = _features(0)["conv1"]
  for grid, cells in ((2, (2, 2)), (3, (3, 3)), (5, (4, 5)), (9, (4, 6))):
    fine = maps.repeat(cells[0], axis=1).repeat(cells[1], axis=2)
    expected = fine.reshape(5, cells[0], 4, cells[1], 6, 2).mean((2, 4)).reshape(5, -1)
    found = pool({"conv1": maps}, _shapes("conv1"), grid=grid)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
  small = _features(0)["conv2"]
  found = pool({"conv2": small}, _shapes("conv2"), grid=3)  # No more cells than pixels.
  np.testing.assert_array_equal(found, small.reshape(5, -1).astype(np.float32))


def test_a_score_is_the_mean_of_the_cells():
  """As if each cell were a map of its own mean, and these were averaged."""
  shapes, rng = _shapes("conv1", "embedding"), np.random.default_rng(0)
  classifier = PooledClassifier(shapes, grid=2, classes=3)
  kernel, offset = classifier.trainable_variables
  kernel.assign(rng.normal(size=(4 * 2 + 4, 3)))
  offset.assign([1.0, 2.0, 3.0])
  features = _features(0)
  found = classifier(features, training=False)
  scale = 1 / np.sqrt(1 + 1e-5)  # Nothing is remembered yet: means of 0, variances of 1.
  cells = features["conv1"].reshape(5, 2, 2, 2, 3, 2).mean((2, 4)).reshape(5, 4, 2)
  of_cells = np.einsum("bnc,nck->bnk", cells, kernel[:8].numpy().reshape(4, 2, 3)).mean(1)
  expected = scale * (of_cells + features["embedding"] @ kernel[8:].numpy()) + [1, 2, 3]
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrapped", [False, True])
def test_normalizes_by_the_batch_and_remembers(wrapped):
  classifier = PooledClassifier(_shapes("embedding", "conv1"), grid=1, classes=3)
  rng = np.random.default_rng(0)
  weights, bias = rng.normal(size=(6, 3)), rng.normal(size=3)
  kernel, offset = classifier.trainable_variables
  np.testing.assert_array_equal(classifier(_features(0), training=False), np.zeros((5, 3)))
  for variable, value in ((kernel, weights), (offset, bias)):
    variable.assign(value)

  def train(features):
    return classifier(features, training=True)

  if wrapped:
    train = tf.function(train, autograph=False)
  mean, variance = np.zeros(6), np.zeros(6)
  for number in range(14):
    batch = _pooled(number)
    found = train({name: tf.constant(value) for name, value in _features(number).items()})
    normal = (batch - batch.mean(0)) / np.sqrt(batch.var(0) + 1e-5)
    np.testing.assert_allclose(found, normal @ weights + bias, rtol=1e-3, atol=1e-4)
    # A plain mean of ten, and a moving one from then on.
    new = max(0.1, 1 / (number + 1))
    mean, variance = (
      (1 - new) * o + new * n for o, n in ((mean, batch.mean(0)), (variance, batch.var(0)))
    )
  expected = (_pooled(99) - mean) / np.sqrt(variance + 1e-5) @ weights + bias
  found = classifier(_features(99), training=False)
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
