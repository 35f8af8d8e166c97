"""Blocks of pixels and back."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.color import _blocks


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 3, 5, 3), (4, 8, 8, 3), (1, 2, 7, 1)])
def test_there_and_back(shape):
  values = tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)
  rows = _blocks.rows(values)
  pixels = int(np.prod(shape[:-1]))
  assert rows.shape == (-(-pixels // _blocks.PIXELS), _blocks.PIXELS * shape[-1])
  np.testing.assert_array_equal(_blocks.pixels(rows, values, shape[-1]), values)


def test_matrix_and_vector_act_on_each_pixel():
  rng = np.random.default_rng(1)
  values = rng.normal(size=(2, 5, 3, 3)).astype(np.float32)
  weights, bias = rng.normal(size=(3, 2)), rng.normal(size=2)
  rows = tf.matmul(_blocks.rows(values), _blocks.matrix(weights)) + _blocks.vector(bias)
  got = _blocks.pixels(rows, tf.constant(values), 2)
  np.testing.assert_allclose(got, values @ weights + bias, atol=1e-5)
