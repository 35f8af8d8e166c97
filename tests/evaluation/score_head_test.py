"""The head against NumPy: scores of 1 x 1, upsampled and summed."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.evaluation.score_head import ScoreHead


def _upsampled(values: np.ndarray, height: int, width: int) -> np.ndarray:
  """Bilinear, between the centers of pixels: (B, h, w, K) to (B, height, width, K)."""

  def along(values: np.ndarray, axis: int, count: int) -> np.ndarray:
    there = values.shape[axis]
    place = np.clip((np.arange(count) + 0.5) * there / count - 0.5, 0, there - 1)
    low = np.minimum(place.astype(int), max(0, there - 2))
    part = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
    high = np.minimum(low + 1, there - 1)
    return (1 - part) * values.take(low, axis) + part * values.take(high, axis)

  return along(along(values, 1, height), 2, width)


def test_scores_are_summed_from_the_smallest_map_up():
  rng = np.random.default_rng(0)
  shapes = {"conv1": (2, 8, 12, 3), "conv2": (2, 4, 6, 5), "conv3": (2, 4, 6, 2)}
  features = {name: rng.normal(1, 2, shape).astype(np.float32) for name, shape in shapes.items()}
  head = ScoreHead({name: shape[-1] for name, shape in shapes.items()}, classes=4)
  assert not np.any(head(features, size=(16, 24), training=False))
  scores = {}
  for name, layer in zip(shapes, head._scores):
    kernel, bias = rng.normal(size=(shapes[name][-1], 4)), rng.normal(size=4)
    layer.kernel.assign(kernel[np.newaxis, np.newaxis])
    layer.bias.assign(bias)
    values = features[name]
    normal = (values - values.mean((0, 1, 2))) / np.sqrt(values.var((0, 1, 2)) + 1e-5)
    scores[name] = normal @ kernel + bias
  expected = scores["conv1"] + _upsampled(scores["conv2"] + scores["conv3"], 8, 12)
  expected = _upsampled(expected, 16, 24)

  @tf.function(autograph=False)
  def train(features):
    return head(features, size=tf.constant([16, 24]), training=True)

  found = train({name: tf.constant(value) for name, value in features.items()})
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
  # After one batch its statistics are all that is remembered.
  np.testing.assert_allclose(
    head(features, size=(16, 24), training=False), expected, rtol=1e-4, atol=1e-4
  )
