"""The SavedModel: the same numbers, in a process that does not know the package, and back."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.config import Component
from sbae_tf.encoder import Encoder
from sbae_tf.export import export_encoder, load_encoder


@pytest.fixture(params=["lab", "rgb"], name="encoder")
def _encoder(request, small_config) -> Encoder:
  from sbae_tf import config_json

  config = small_config
  if request.param == "rgb":
    config = config_json.from_json({"color": "rgb", "branches": ["R->G,B", "G,B->R"]}, base=config)
  encoder = Encoder(config)
  # Statistics other than those of a fresh network: they must travel, too.
  noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
  encoder(noise, training=True)
  return encoder


def test_serves_the_same_numbers_without_the_package(encoder, images, tmp_path):
  """In a process of its own, in which `sbae_tf` cannot be imported."""
  export_encoder(encoder, tmp_path / "encoder")
  np.save(tmp_path / "images.npy", images)
  code = """
    import sys
    sys.modules["sbae_tf"] = None
    import numpy as np, tensorflow as tf
    folder = sys.argv[1]
    images = tf.constant(np.load(folder + "/images.npy"))
    loaded = tf.saved_model.load(folder + "/encoder")
    serving = loaded.signatures["serving_default"](images=images)
    called = loaded(images, training=False)
    for name, value in serving.items():
      np.testing.assert_array_equal(value, called[name])
    np.savez(folder + "/features.npz", **{k: v.numpy() for k, v in serving.items()})
  """
  subprocess.run(
    [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
    check=True,
    cwd=tmp_path,
    capture_output=True,
  )
  served, live = np.load(tmp_path / "features.npz"), encoder(images)
  assert set(served) == set(live) == {*encoder.feature_names, "embedding"}
  for name in live:
    np.testing.assert_allclose(served[name], live[name], rtol=1e-4, atol=1e-5)


def test_signature_takes_any_batch_and_size(encoder, tmp_path):
  export_encoder(encoder, tmp_path / "encoder")
  serving = tf.saved_model.load(str(tmp_path / "encoder")).signatures["serving_default"]
  spec = serving.structured_input_signature[1]["images"]
  assert spec.dtype == tf.uint8 and spec.shape.as_list() == [None, None, None, 3]
  for shape in ((1, 64, 32, 3), (5, 96, 96, 3)):
    features = serving(images=tf.zeros(shape, tf.uint8))
    assert features["conv5"].shape[:3] == (shape[0], shape[1] // 8, shape[2] // 8)


def test_comes_back_live(encoder, images, tmp_path):
  export_encoder(encoder, tmp_path / "encoder")
  loaded = load_encoder(tmp_path / "encoder")
  assert loaded.config == encoder.config
  for name, value in encoder(images).items():
    np.testing.assert_array_equal(value, loaded(images)[name])
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(loaded(images, training=True)["embedding"] ** 2)
  assert all(g is not None for g in tape.gradient(loss, loaded.trainable_variables))


def test_configuration_travels_as_an_asset(encoder, tmp_path):
  export_encoder(encoder, tmp_path / "encoder")
  written = json.loads((tmp_path / "encoder" / "assets" / "config.json").read_text())
  assert written["color"]["name"] == encoder.config.color.name


def test_replaces_what_was_there_and_leaves_nothing_beside(small_config, images, tmp_path):
  first, second = Encoder(small_config), Encoder(small_config)
  export_encoder(first, tmp_path / "encoder")
  export_encoder(second, tmp_path / "encoder")
  assert [p.name for p in tmp_path.iterdir()] == ["encoder"]
  np.testing.assert_array_equal(
    load_encoder(tmp_path / "encoder")(images)["conv1"], second(images)["conv1"]
  )


def test_a_failed_export_keeps_the_former(small_config, tmp_path, monkeypatch):
  export_encoder(Encoder(small_config), tmp_path / "encoder")
  before = (tmp_path / "encoder" / "saved_model.pb").read_bytes()

  def full_disk(*args, **kwargs):
    raise OSError("No space left on device")

  monkeypatch.setattr(tf.saved_model, "save", full_disk)
  with pytest.raises(OSError, match="No space left"):
    export_encoder(Encoder(small_config), tmp_path / "encoder")
  assert (tmp_path / "encoder" / "saved_model.pb").read_bytes() == before
  assert [p.name for p in tmp_path.iterdir()] == ["encoder"]


def test_from_a_strategy_of_two_devices(small_config, images, tmp_path):
  strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
  with strategy.scope():
    encoder = Encoder(
      dataclasses.replace(small_config, backbone=Component("simplenet", {"width": 0.25}))
    )
  export_encoder(encoder, tmp_path / "encoder")
  np.testing.assert_allclose(
    load_encoder(tmp_path / "encoder")(images)["conv5"], encoder(images)["conv5"], rtol=1e-5
  )


def test_a_missing_or_foreign_saved_model_is_one_line(tmp_path):
  with pytest.raises(ValueError, match="There is no SavedModel in .*nowhere") as error:
    load_encoder(tmp_path / "nowhere")
  assert "\n" not in str(error.value)
  tf.saved_model.save(tf.Module(), str(tmp_path / "foreign"))
  with pytest.raises(ValueError, match="foreign is not an encoder of this package") as error:
    load_encoder(tmp_path / "foreign")
  assert "\n" not in str(error.value)
