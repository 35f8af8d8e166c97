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


def _pooled(seed: int) -> np.ndarray:
  features = _features(seed)
  means = [features["embedding"], features["conv1"].mean((1, 2))]
  return np.concatenate(means, axis=1)


def test_pools_in_the_order_of_the_layers():
  found = pool(_features(0), ["embedding", "conv1"])
  np.testing.assert_allclose(found, _pooled(0), rtol=1e-5)
  assert pool(_features(0), ["conv2"]).dtype == tf.float32


@pytest.mark.parametrize("wrapped", [False, True])
def test_normalizes_by_the_batch_and_remembers(wrapped):
  classifier = PooledClassifier(["embedding", "conv1"], 6, classes=3)
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
