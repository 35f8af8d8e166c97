"""The l2 loss against the paper's formula, written out."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.color.color_space import Channel
from sbae_tf.tasks import regression

AB = (Channel("a", -80.0, 100.0), Channel("b", -110.0, 90.0))


def test_agrees_with_the_formula():
  """Zhang et al. 2017, Sec. 3.1: 1/2 sum ||X - Xhat||^2, on [-1, 1], a mean over pixels."""
  rng = np.random.default_rng(0)
  values = rng.uniform(-80, 90, (2, 3, 3, 2)).astype(np.float32)
  output = rng.normal(0, 1, (2, 3, 3, 2)).astype(np.float32)
  scaled = (values - [10.0, -10.0]) / [90.0, 100.0]
  expected = 0.5 * ((scaled - output) ** 2).sum(-1).mean((1, 2))
  task = regression.build(AB)
  np.testing.assert_allclose(
    task.loss(task.target(values), tf.constant(output)), expected, rtol=1e-5
  )


def test_range_is_minus_one_to_one_and_decodes_back():
  task = regression.build(AB)
  corners = tf.constant([[[[-80.0, -110.0], [100.0, 90.0], [10.0, -10.0]]]])
  target = task.target(corners)
  np.testing.assert_allclose(target[0, 0], [[-1, -1], [1, 1], [0, 0]], atol=1e-6)
  np.testing.assert_allclose(task.decode(target, corners), corners, atol=1e-4)


def test_native_units_are_the_papers():
  """0.5 (ΔL)^2 in Lab units: of the other loss the square of half the range."""
  lightness = (Channel("L", 0.0, 100.0),)
  values = tf.constant([[[[20.0]], [[70.0]]]])
  native = regression.build(lightness, native=True)
  np.testing.assert_array_equal(native.target(values), values)
  np.testing.assert_allclose(native.loss(values, values + 3.0), [4.5], rtol=1e-6)
  np.testing.assert_array_equal(native.decode(values, values), values)
  scaled = regression.build(lightness)
  loss = scaled.loss(scaled.target(values), scaled.target(values + 3.0))
  np.testing.assert_allclose(loss, [4.5 / 50**2], rtol=1e-5)
