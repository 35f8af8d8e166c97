"""The uniform grid against the formula of the report, written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.color import lab
from sbae_tf.color.color_space import Channel
from sbae_tf.quantize import uniform

L = (Channel("L", 0.0, 100.0),)
AB = (Channel("a", -50.0, 50.0), Channel("b", 0.0, 20.0))


def test_the_reports_bins():
  assert uniform.build(L).bins == 100
  assert uniform.build(AB).bins == 10 * 10
  assert uniform.build(AB, bins=20).bins == 400


def test_fifty_bins_of_lightness_are_two_wide():
  """As Zhang et al. 2017 have them."""
  quantizer = uniform.build([Channel("L", *lab.CHANNELS["L"])], bins=50)
  centers = quantizer.centers(tf.zeros((1, 1, 1, 1))).numpy().ravel()
  np.testing.assert_allclose(centers, np.arange(1, 100, 2), rtol=1e-6)


def test_known_bins():
  values = tf.constant([0.0, 0.999, 1.0, 50.5, 99.0, 100.0, -3.0, 130.0], tf.float32)
  ids = uniform.build(L).encode(tf.reshape(values, (1, 1, -1, 1))).numpy().ravel()
  assert ids.tolist() == [0, 0, 1, 50, 99, 99, 0, 99]


def test_first_channel_is_the_slower():
  values = tf.constant([[[[-50.0, 0.0], [-50.0, 19.9], [-40.0, 0.0], [49.9, 19.9]]]])
  assert uniform.build(AB).encode(values).numpy().ravel().tolist() == [0, 9, 10, 99]
  centers = uniform.build(AB).centers(values).numpy()
  assert centers.shape == (1, 100, 2)
  np.testing.assert_allclose(centers[0, [0, 9, 10]], [[-45, 1], [-45, 19], [-35, 1]])


def test_agrees_with_numpy():
  values = np.random.default_rng(0).uniform((-50, 0), (50, 20), (2, 9, 9, 2)).astype(np.float32)
  a = np.digitize(values[..., 0], np.linspace(-50, 50, 11)[1:-1])
  b = np.digitize(values[..., 1], np.linspace(0, 20, 11)[1:-1])
  np.testing.assert_array_equal(uniform.build(AB).encode(values).numpy(), a * 10 + b)


@pytest.mark.parametrize("bins", [1, 0, -5])
def test_refuses_too_few_bins(bins):
  with pytest.raises(ValueError, match="`bins`"):
    uniform.build(L, bins=bins)
