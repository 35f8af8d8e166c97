"""Features from SavedModels: of this package and of others; what does not fit is one line."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import feature_extractor
from sbae_tf.encoder import Encoder
from sbae_tf.feature_extractor import FeatureExtractor
from tests import mean_color


@pytest.fixture(scope="module", name="foreign")
def _foreign(tmp_path_factory) -> str:
  return mean_color.save(tmp_path_factory.mktemp("foreign") / "model")


@pytest.fixture(scope="module", name="ours")
def _ours(live_encoder, encoder_folder) -> tuple[Encoder, str]:
  return live_encoder, str(encoder_folder)


def test_an_encoder_of_this_package(ours, images):
  encoder, path = ours
  extractor = FeatureExtractor(path, features=["embedding", "conv1"])
  assert extractor.image_size == 32  # Of its configuration.
  features, expected = extractor(tf.constant(images)), encoder(images)
  channels = expected["conv1"].shape[-1]
  assert extractor.shapes == {"embedding": (expected["embedding"].shape[-1],), "conv1": (channels,)}
  np.testing.assert_allclose(features["embedding"], expected["embedding"], atol=1e-5)
  np.testing.assert_allclose(features["conv1"], expected["conv1"].numpy().mean((1, 2)), atol=1e-5)


def test_whole_maps_and_one_tower(ours, images):
  encoder, path = ours
  extractor = FeatureExtractor(path, features=["conv2"], maps=True, signature="ab")
  expected = encoder.branch(images, 1)["conv2"]
  assert extractor.shapes == {"conv2": tuple(expected.shape[1:])}
  np.testing.assert_allclose(extractor(tf.constant(images))["conv2"], expected, atol=1e-5)


def test_a_savedmodel_of_others(foreign, images):
  extractor = FeatureExtractor(foreign, features=["color", "blocks/4"], image_size=32)
  assert extractor.shapes == {"color": (3,), "blocks/4": (3,)}
  mean = images.mean((1, 2)) / 255
  for value in extractor(tf.constant(images)).values():
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, mean, atol=1e-5)


def test_float16_of_a_mean_in_float32(foreign, images):
  extractor = FeatureExtractor(foreign, features=["blocks/4"], image_size=32, dtype="float16")
  value = extractor(tf.constant(images))["blocks/4"]
  assert value.dtype == tf.float16
  np.testing.assert_array_equal(value, (images.mean((1, 2)) / 255).astype(np.float16))


def test_all_features(foreign):
  extractor = FeatureExtractor(foreign, features=None, maps=True, image_size=8)
  assert extractor.shapes == {"color": (3,), "blocks/4": (2, 2, 3), "large": (3,)}  # No scalar.


def test_the_only_size_that_fits(foreign):
  assert FeatureExtractor(foreign, features=["color"], signature="small").image_size == 8


def test_the_checksum_is_that_of_the_weights(tmp_path):
  first = pathlib.Path(mean_color.save(tmp_path / "a"))
  checksum = FeatureExtractor(str(first), features=["color"], image_size=8).checksum
  moved = first.rename(tmp_path / "moved")
  again = FeatureExtractor(f"{moved}/", features=["color"], image_size=8)
  assert again.checksum == checksum
  weights = next(moved.glob("variables/*.data*"))
  data = bytearray(weights.read_bytes())
  data[-1] ^= 1  # A byte of the graph of objects or of a number; of the file anyway.
  weights.write_bytes(data)
  assert feature_extractor._checksum(str(moved)) != checksum


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"features": ["conv3"]}, "Expected features of blocks/4, color, large, scalar. Received: co"),
    ({"features": []}, "Expected features of blocks/4, color"),
    ({"features": ["scalar"]}, r"Expected feature 'scalar' \(B, C\) or \(B, h, w, C\)"),
    ({"signature": "L"}, "no signature 'L'. It has: floats, serving_default, single, small"),
    ({"signature": "floats"}, r"uint8 \(B, H, W, 3\). It takes: images \(.*\) float32"),
    ({"signature": "single"}, "batches of any size. It takes 1 photographs"),
    ({"signature": "small", "image_size": 9}, r"of 9 x 9 pixels, but \(None, 8, 8, 3\)"),
    ({"image_size": None}, "does not tell its image size. Give --image_size"),
    ({"dtype": "int8"}, "Expected `dtype` one of float32, float16"),
  ],
)
def test_mistakes(foreign, arguments, message):
  with pytest.raises(ValueError, match=message) as error:
    FeatureExtractor(foreign, **{"features": ["color"], "image_size": 8, **arguments})
  assert "\n" not in str(error.value)


def test_a_size_that_the_stride_does_not_divide(ours):
  with pytest.raises(ValueError, match=r"33 x 33 pixels \(assertion failed.*multiples of"):
    FeatureExtractor(ours[1], image_size=33)


def test_no_savedmodel(ours, tmp_path):
  with pytest.raises(
    ValueError, match="There is no SavedModel in .*: expected its saved_model.pb.$"
  ):
    FeatureExtractor(str(tmp_path))
  run = pathlib.Path(ours[1]).parent
  with pytest.raises(ValueError, match=f"Did you mean {run}/encoder?"):
    FeatureExtractor(str(run))
  (tmp_path / "saved_model.pb").write_bytes(b"\xff")
  with pytest.raises(ValueError, match="Cannot load the SavedModel in"):
    FeatureExtractor(str(tmp_path))
