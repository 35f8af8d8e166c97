"""Subjects: a live encoder and its SavedModel are the same; one of others' is taken, too."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.encoder import Encoder
from sbae_tf.evaluation import subject as subject_lib
from tests import mean_color


@pytest.fixture(scope="module", name="encoder")
def _encoder(live_encoder) -> Encoder:
  return live_encoder


@pytest.fixture(scope="module", name="path")
def _path(encoder_folder) -> str:
  return str(encoder_folder)


@pytest.fixture(scope="module", name="foreign")
def _foreign(tmp_path_factory) -> str:
  return mean_color.save(tmp_path_factory.mktemp("foreign") / "model")


def test_live_and_saved_are_the_same(encoder, path, images):
  live, saved = subject_lib.of_encoder(encoder), subject_lib.of_saved_model(path)
  assert live.shapes == saved.shapes and live.image_size == saved.image_size == 32
  assert live.maps == saved.maps == ("conv1", "conv2", "conv3", "conv4", "conv5")
  expected = encoder(tf.constant(images), training=False)
  for subject in (live, saved):
    features = subject.features(tf.constant(images))
    assert set(features) == set(expected) == set(subject.shapes)
    for name, value in features.items():
      assert value.shape[1:] == subject.shapes[name] and value.dtype == tf.float32
      np.testing.assert_allclose(value, expected[name], atol=1e-5)
  assert (live.encoder, live.path) == (encoder, None) and (saved.encoder, saved.path) == (
    None,
    path,
  )
  assert saved.name == path and subject_lib.of_saved_model(path, name="mine").name == "mine"


def test_the_checksum_is_of_what_it_computes(encoder, path):
  checksum = subject_lib.of_encoder(encoder, name="other").checksum
  assert checksum == subject_lib.of_encoder(encoder).checksum
  variable = encoder.trainable_variables[0]
  value = variable.numpy()
  variable.assign_add(tf.ones_like(variable) * 1e-3)
  assert subject_lib.of_encoder(encoder).checksum != checksum
  variable.assign(value)
  towers = {
    subject_lib.of_saved_model(path, signature=name).checksum
    for name in ("serving_default", "L", "ab")
  }
  assert len(towers) == 3


def test_training_leaves_no_trace(encoder, path, images):
  for subject in (subject_lib.of_encoder(encoder), subject_lib.of_saved_model(path)):
    before = subject.features(tf.constant(images))["embedding"].numpy()
    with pytest.raises(KeyError), subject.training() as trainable:
      trainable(tf.constant(images), training=True)  # Batch normalization's statistics move.
      trainable.trainable_variables[0].assign_add(tf.ones_like(trainable.trainable_variables[0]))
      assert np.abs(subject.features(tf.constant(images))["embedding"] - before).max() > 1e-3
      raise KeyError
    np.testing.assert_array_equal(subject.features(tf.constant(images))["embedding"], before)


def test_a_savedmodel_of_others(foreign):
  subject = subject_lib.of_saved_model(foreign, image_size=8)
  assert subject.shapes == {"color": (3,), "blocks/4": (2, 2, 3), "large": (3,)}
  assert subject.maps == ("blocks/4",)
  with pytest.raises(ValueError, match="cannot be fine-tuned: its SavedModel is not call"):
    subject.training().__enter__()


def test_one_tower_cannot_be_trained(path):
  subject = subject_lib.of_saved_model(path, signature="L")
  assert subject.shapes["conv1"][-1] < subject_lib.of_saved_model(path).shapes["conv1"][-1]
  with pytest.raises(ValueError, match="cannot be fine-tuned"):
    subject.training().__enter__()


def test_maps_come_in_the_order_of_their_numbers():
  shapes = {"conv10": (1, 1, 2), "conv2": (2, 2, 2), "embedding": (2,), "block1/conv3": (4, 4, 1)}
  subject = subject_lib.Subject(
    name="", image_size=8, shapes=shapes, checksum="", features=lambda images: {}, trainable=None
  )
  assert subject.maps == ("block1/conv3", "conv2", "conv10")


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"signature": "nonesuch"}, "has no signature 'nonesuch'"),
    ({"signature": "floats"}, "to take photographs, uint8"),
    ({"image_size": None}, "does not tell its image size. Give --image_size"),
  ],
)
def test_mistakes(foreign, tmp_path, arguments, message):
  with pytest.raises(ValueError, match=message):
    subject_lib.of_saved_model(foreign, **{"image_size": 8, **arguments})
  with pytest.raises(ValueError, match="There is no SavedModel in"):
    subject_lib.of_saved_model(tmp_path)
