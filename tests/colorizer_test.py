"""Colorization: lightness stays, color is the annealed mean of what the branch predicts."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import config_json
from sbae_tf.colorizer import Colorizer
from sbae_tf.model import PretrainModel


def _model(config, **fields) -> PretrainModel:
  return PretrainModel(config_json.from_json(fields, base=config))


def _predict_always(model: PretrainModel, branch: int, bin_id: int) -> None:
  """Makes a head so sure of one bin that the annealed mean is its center."""
  kernel, bias = model.heads[branch].trainable_variables
  kernel.assign(tf.zeros_like(kernel))
  bias.assign(100.0 * tf.one_hot(bin_id, bias.shape[0]))


@pytest.mark.parametrize(("first", "quantizer"), [(0, "uniform"), (1, "uniform"), (0, "gamut")])
def test_color_is_the_predicted_and_lightness_the_given(first, quantizer, small_config, images):
  branches = [f"L->a,b:classification(quantizer={quantizer})", "a,b->L"]
  model = _model(small_config, branches=branches[::-1] if first else branches)
  _predict_always(model, first, 57)
  center = model.tasks[first].quantizer.centers(tf.zeros((1, 1, 1, 2)))[0, 57].numpy()
  color = model.encoder.color
  given = color.encode(tf.constant(images)).numpy()
  expected = np.concatenate([given[..., :1], np.broadcast_to(center, (*given.shape[:3], 2))], -1)
  expected = np.round(color.decode(tf.constant(expected)).numpy() * 255)
  colored = Colorizer(model)(images)
  assert colored.dtype == tf.uint8 and colored.shape == images.shape
  assert np.abs(colored.numpy() - expected).max() <= 1


def test_order_of_the_targets_does_not_matter(small_config, images):
  model = _model(small_config, branches=["L->b,a"])
  _predict_always(model, 0, 70)  # Of (b, a): 7 along b, 0 along a.
  b, a = model.tasks[0].quantizer.centers(tf.zeros((1, 1, 1, 2)))[0, 70].numpy()
  assert b > 0 > a  # Yellow-green.
  red, green, blue = np.moveaxis(Colorizer(model)(images).numpy().astype(float), -1, 0)
  assert green.mean() > red.mean() and green.mean() > blue.mean()


def test_gray_and_its_rgb_give_the_same(small_config, images):
  colorizer = Colorizer(_model(small_config))
  gray = images[..., :1]
  np.testing.assert_array_equal(colorizer(gray), colorizer(gray.repeat(3, axis=-1)))


def test_graph_and_eager_agree(small_config, images):
  colorizer = Colorizer(_model(small_config))
  traced = tf.function(colorizer.__call__, autograph=False)(tf.constant(images)).numpy()
  assert np.abs(traced.astype(int) - colorizer(images).numpy()).max() <= 1


def test_of_yuv_and_by_regression(small_config, images):
  model = _model(small_config, color="yuv", branches=["Y->U,V:regression"])
  assert Colorizer(model)(images).shape == images.shape


def test_the_first_branch_that_can(small_config, images):
  rescaled = "L->a,b:classification(quantizer=rescaled)"
  model = _model(small_config, branches=["L->a", rescaled, "L->a,b:regression", "L->a,b"])
  before = Colorizer(model)(images)
  _predict_always(model, 3, 57)
  np.testing.assert_array_equal(Colorizer(model)(images), before)
  model.heads[2].trainable_variables[1].assign([0.9, 0.0])
  assert (Colorizer(model)(images) != before).numpy().any()


@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"branches": ["a,b->L"]}, "Expected a branch L->a,b to colorize with. Received: ab->L"),
    ({"branches": ["L->a"]}, "Expected a branch L->a,b"),
    ({"color": "rgb", "branches": ["R->G,B"]}, "'rgb' cannot colorize"),
    ({"branches": ["L->a,b:classification(quantizer=rescaled)"]}, "quantizer=uniform"),
  ],
)
def test_a_model_that_cannot(fields, named, small_config):
  with pytest.raises(ValueError, match=named):
    Colorizer(_model(small_config, **fields))


@pytest.mark.parametrize("shape", [(1, 32, 32, 4), (32, 32, 3)])
def test_refuses_other_channels(shape, small_config):
  with pytest.raises(ValueError, match=r"Expected `images` \(B, H, W, 1\) or"):
    Colorizer(_model(small_config))(tf.zeros(shape, tf.uint8))


def test_refuses_float_photographs(small_config):
  with pytest.raises(ValueError, match="Received: .*float32"):
    Colorizer(_model(small_config))(tf.zeros((1, 32, 32, 3)))


def test_temperature_goes_from_the_mean_to_the_mode(small_config, images):
  model = _model(small_config)
  centers = model.tasks[0].quantizer.centers(tf.zeros((1, 1, 1, 2)))[0].numpy()
  inputs = model.encoder.branch_inputs(model.encoder.color.encode(tf.constant(images)))
  scores = model.outputs(inputs, training=False)[0].numpy().astype(np.float64)
  odds = np.exp(scores - scores.max(-1, keepdims=True))
  mean = (odds / odds.sum(-1, keepdims=True)) @ centers
  np.testing.assert_allclose(Colorizer(model, temperature=1.0).predict(images), mean, atol=1e-2)
  mode = centers[scores.argmax(-1)]
  np.testing.assert_allclose(Colorizer(model, temperature=0.0).predict(images), mode, atol=1e-4)
  assert Colorizer(model).temperature == 0.38
  with pytest.raises(ValueError, match="`temperature` in"):
    Colorizer(model, temperature=2.0)
