"""After Algorithm 1 every channel has mean 0 and variance 1 before its nonlinearity."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.initialization import within_layers
from sbae_tf.initialization._convolutions import normalized_convolutions


def _channels(tower: tf.keras.Model, inputs: np.ndarray, *, training: bool) -> list[np.ndarray]:
  """What each batch normalization gives, (N, h, w, K)."""
  units = normalized_convolutions(tower)
  model = tf.keras.Model(tower.input, [unit.normalization.output for unit in units])
  return [maps.numpy() for maps in tf.nest.flatten(model(inputs, training=training))]


def test_channels_have_mean_0_and_variance_1(tower, photographs):
  seen, held_out = photographs(2, seed=0), photographs(2, seed=1)
  drawn = [unit.convolution.kernel.numpy() for unit in normalized_convolutions(tower)]
  assert within_layers.set_filters(tower, seen, seed=0) == []
  for unit, kernel in zip(normalized_convolutions(tower), drawn):
    assert not np.allclose(unit.convolution.kernel, kernel)
    # Without what the normalization takes from it.
    np.testing.assert_allclose(unit.normalization.moving_variance, 1, rtol=1e-5)
  for maps in _channels(tower, seen, training=False):
    np.testing.assert_allclose(maps.mean((0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(maps.var((0, 1, 2)), 1, rtol=1e-3)
  for maps in _channels(tower, held_out, training=False):
    mean, variance = maps.mean((0, 1, 2)), maps.var((0, 1, 2))
    assert np.median(np.abs(mean)) < 0.1 and np.abs(mean).max() < 0.5
    assert 0.5 < np.median(variance) < 2
    assert variance.min() > 0.25 and variance.max() < 4
  # In training the batch is normalized, which changes nothing. Last: it moves what is remembered.
  for maps, trained in zip(*(_channels(tower, seen, training=t) for t in (False, True))):
    np.testing.assert_allclose(trained, maps, atol=0.01)


def test_kernels_are_laid_out_as_patches_are(photographs):
  """Filters lie in the span of the patches' principal components, as many as there are filters."""
  inputs = photographs(2, seed=0)[:8]
  images = tf.keras.Input((None, None, 2))
  x = tf.keras.layers.Conv2D(5, (3, 4), use_bias=False)(images)
  tower = tf.keras.Model(images, {"conv1": tf.keras.layers.BatchNormalization()(x)})
  within_layers.set_filters(tower, inputs, seed=0)
  places = [(n, y, x) for n in range(8) for y in range(30) for x in range(29)]
  patches = np.stack([inputs[n, y : y + 3, x : x + 4].ravel() for n, y, x in places])
  _, vectors = np.linalg.eigh(np.cov(patches.T))
  filters = tower.trainable_variables[0].numpy().reshape(24, 5)
  outside = filters - vectors[:, -5:] @ (vectors[:, -5:].T @ filters)
  assert np.linalg.norm(outside) < 0.01 * np.linalg.norm(filters)


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_photographs_without_color_leave_the_weights_as_drawn(build_small, level):
  tower = build_small(2)
  inputs = np.full((4, 32, 32, 2), level, np.float32)
  kept = within_layers.set_filters(tower, inputs, seed=0)
  assert normalized_convolutions(tower)[0].convolution.name in kept
  assert all(np.isfinite(weights).all() for weights in tower.get_weights())
