"""The encoder: named feature maps of both towers, from uint8 photographs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.config import Component
from sbae_tf.encoder import Encoder


@pytest.fixture(name="encoder")
def _encoder(small_config) -> Encoder:
  return Encoder(small_config)


def test_features_are_the_towers_concatenated_layer_by_layer(encoder, images):
  features = encoder(images)
  assert list(features) == ["conv1", "conv2", "conv3", "conv4", "conv5", "embedding"]
  inputs = encoder.branch_inputs(encoder.color.encode(images))
  alone = encoder.branch_features(inputs, training=False)
  for name in encoder.feature_names:
    np.testing.assert_array_equal(
      features[name], np.concatenate([alone[0][name], alone[1][name]], axis=-1)
    )


def test_a_shared_tower_sees_whole_photographs_and_of_a_branch_its_inputs(small_config, images):
  """Of the others zero, the middle of their ranges; written out as what photographs would be so."""
  config = dataclasses.replace(small_config, aggregation=Component("shared"))
  encoder = Encoder(config)
  (tower,) = encoder.towers
  lab = encoder.color.encode(images).numpy()
  low, high = (
    np.array([getattr(c, end) for c in encoder.color.channels]) for end in ("low", "high")
  )
  scaled = ((2 * lab - high - low) / (high - low)).astype(np.float32)
  for index, seen in ((None, [1, 1, 1]), (0, [1, 0, 0]), (1, [0, 1, 1])):
    features = encoder(images) if index is None else encoder.branch(images, index)
    expected = tower(scaled * np.array(seen, np.float32), training=False)
    for name in encoder.feature_names:
      np.testing.assert_allclose(features[name], expected[name], rtol=1e-3, atol=1e-4)
  assert len(encoder.trainable_variables) == len(tower.trainable_variables)


@pytest.mark.parametrize("aggregation", ["concat", "shared"])
def test_what_towers_see_makes_what_branches_get(small_config, images, aggregation):
  encoder = Encoder(dataclasses.replace(small_config, aggregation=Component(aggregation)))
  seen = encoder.tower_inputs(images)
  assert [x.shape[-1] for x in seen] == [len(names) for names in encoder.tower_channels]
  maps = [tower(x, training=True)["conv5"] for tower, x in zip(encoder.towers, seen)]
  inputs = encoder.branch_inputs(encoder.color.encode(images))
  branches = [f["conv5"] for f in encoder.branch_features(inputs, training=True)]
  np.testing.assert_allclose(np.concatenate(maps), np.concatenate(branches), rtol=1e-4, atol=1e-5)


def test_embedding_is_the_mean_of_the_last_map(encoder, images):
  features = encoder(images)
  expected = features["conv5"].numpy().mean((1, 2))
  np.testing.assert_allclose(features["embedding"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (64, 32), (96, 96)])
def test_any_size_that_the_stride_divides(encoder, size):
  features = encoder(tf.zeros((2, *size, 3), tf.uint8))
  assert features["conv5"].shape[1:3] == (size[0] // 8, size[1] // 8)


def test_training_uses_the_batch_statistics(encoder, images):
  statistics = [v for v in encoder.variables if not v.trainable]
  before = [v.numpy() for v in statistics]
  encoder(images, training=False)
  assert all(np.array_equal(v.numpy(), b) for v, b in zip(statistics, before))
  encoder(images, training=True)
  assert not any(np.array_equal(v.numpy(), b) for v, b in zip(statistics, before))


def test_refuses_float_photographs(encoder):
  with pytest.raises(
    ValueError, match=r"Expected `images` \(B, H, W, 3\) uint8. Received: .*float32"
  ):
    encoder(tf.zeros((1, 32, 32, 3)))
