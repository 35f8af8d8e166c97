"""The models of all presets, made narrow: who sees what, and what is trained."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import presets
from sbae_tf.config import Component, PretrainConfig
from sbae_tf.model import PretrainModel

# One of each aggregation and number of towers, one with bands; all are built once in a while.
_QUICK = (
  "l_to_ab_ensemble",
  "rgbd_96",
  "shared_l_ab_lab",
  "split_brain_hsv",
  "three_towers_lab_wide",
)
_SEED = tf.constant([0, 7], tf.int64)


def _narrow(config: PretrainConfig) -> PretrainConfig:
  data = dataclasses.replace(config.data, image_size=32)
  backbone = Component(config.backbone.name, {"width": 0.05})  # Eight channels a layer.
  return dataclasses.replace(config, data=data, backbone=backbone, batch_size=4)


def _kinds() -> list[str]:
  """The presets whose narrow models differ: the last ones of each kind."""
  narrow = {name: _narrow(preset.config) for name, preset in presets.PRESETS.items()}
  kinds = {(c.color, c.branches, c.backbone, c.aggregation): name for name, c in narrow.items()}
  return list(kinds.values())


@pytest.fixture(
  name="model",
  params=[
    pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow) for name in _kinds()
  ],
)
def _model(request) -> PretrainModel:
  tf.keras.utils.set_random_seed(0)
  return PretrainModel(_narrow(presets.preset(request.param)))


def test_a_preset_trains_all_and_shows_each_branch_its_inputs_alone(model, images):
  bands = images[..., : model.encoder.color.planes - images.shape[-1]]
  images = tf.concat([images, bands], axis=-1)
  _assert_a_step_trains_every_tower(model, images)
  _assert_a_prediction_depends_on_inputs_alone(model, images)


def _assert_a_step_trains_every_tower(model, images):
  batch = model.prepare(images, _SEED)
  with tf.GradientTape() as tape:
    losses = model.losses(batch, training=True, seed=_SEED)
    total = tf.reduce_sum(model.total(losses))
  assert list(losses) == list(model.config.branch_names)
  assert np.isfinite(total)
  networks = [*model.encoder.towers, *model.heads]
  gradients = tape.gradient(total, [network.trainable_variables for network in networks])
  for network, each in zip(networks, gradients):
    assert each and all(g is not None and np.isfinite(g).all() for g in each), network.name
    assert np.abs(each[0]).max() > 0, network.name


def _assert_a_prediction_depends_on_inputs_alone(model, images):
  """By its derivative in every channel: of a target that is no input it is 0 to the bit."""
  color = model.encoder.color
  values = color.encode(images)
  with tf.GradientTape(persistent=True) as tape:
    tape.watch(values)
    outputs = model.outputs(model.encoder.branch_inputs(values), training=False)
    squares = [tf.reduce_sum(output**2) for output in outputs]
  for branch, square in zip(model.config.branches, squares):
    slopes = np.abs(tape.gradient(square, values)).max((0, 1, 2))
    seen = {channel.name for channel, slope in zip(color.channels, slopes) if slope > 0}
    assert seen == set(branch.inputs), branch.name
