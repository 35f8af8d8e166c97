"""Runs on photographs with depth and bands beside them, from the files to the SavedModel."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf import checked_export, embed, pairing, pictures
from sbae_tf.colorizer import Colorizer
from sbae_tf.config import Branch, Component, DataConfig, PretrainConfig
from sbae_tf.data import pipeline, sources
from sbae_tf.export import export_encoder, load_encoder
from sbae_tf.export_request import Request
from sbae_tf.feature_extractor import FeatureExtractor
from sbae_tf.model import PretrainModel
from sbae_tf.presets import preset
from sbae_tf.training import train

COUNT = 20


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory) -> pathlib.Path:
  """Photographs of two classes, and depth of a slope beside them, missing at the right."""
  folder = tmp_path_factory.mktemp("pairs")
  y, x = np.mgrid[:48, :64]
  for i in range(COUNT):
    label = "even" if i % 2 == 0 else "odd"
    for kind in ("rgb", "depth"):
      (folder / kind / label).mkdir(parents=True, exist_ok=True)
    photograph = np.stack([3 * x + i, 5 * y, 255 - 3 * x], -1).clip(0, 255).astype(np.uint8)
    Image.fromarray(photograph).save(folder / "rgb" / label / f"{i}.png")
    depth = (1500 + 10 * i + 8 * x - 9 * y).astype(np.uint16)
    depth[:, 44:] = 0
    Image.fromarray(depth).save(folder / "depth" / label / f"{i}.png")
  return folder


@pytest.fixture(scope="module", name="config")
def _config(folder, small_config) -> PretrainConfig:
  paper = preset("rgbd_96")
  return dataclasses.replace(
    small_config,
    data=DataConfig(
      path=str(folder / "rgb"),
      beside="../../depth/{folder}/{stem}.png",
      image_size=32,
      heldout_fraction=0.2,
      max_skipped=0.0,
    ),
    color=Component("lab_hha", {"frame_width": 640, "gravity": "upright"}),
    branches=paper.branches,
    aggregation=paper.aggregation,
    batch_size=8,
    epochs=1,
    log_seconds=0.001,
  )


@pytest.fixture(scope="module", name="model")
def _model(config) -> PretrainModel:
  tf.keras.utils.set_random_seed(0)
  return PretrainModel(config)


@pytest.fixture(scope="module", name="path")
def _path(model, tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp("run") / "encoder"
  export_encoder(model.encoder, path)
  return path


@pytest.mark.slow
def test_the_encoder_takes_the_planes_and_no_files(path):
  images = np.random.default_rng(0).integers(0, 256, (2, 40, 32, 6)).astype(np.uint8)
  live = load_encoder(path)
  expected = live(images)
  loaded = tf.saved_model.load(str(path))
  found = loaded.signatures["serving_default"](images=tf.constant(images))
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, atol=1e-5 * np.abs(value).max())
  assert set(loaded.signatures) == {"serving_default", "Lab", "DHA"}
  one = loaded.signatures["DHA"](images=tf.constant(images))["embedding"]
  np.testing.assert_allclose(one, expected["embedding"][:, one.shape[1] :], atol=1e-4)
  card = (path / "README.md").read_text(encoding="utf-8")
  assert "(B, H, W, 6) uint8: R, G, B, D, H, A" in card and "color.levels(bands)" in card
  assert "There is no signature `from_bytes`" in card
  with pytest.raises(ValueError, match=r"uint8 \(B, H, W, 3\). It takes: images .*6\) uint8"):
    FeatureExtractor(str(path))
  # What is computed of whole frames before they are cropped.
  assert live.color.levels(np.full((48, 64, 1), 2000, np.uint16)).shape == (48, 64, 3)


@pytest.mark.slow
def test_embeddings_of_pairs(path, model, config, folder, tmp_path):
  arguments = [f"--encoder={path}", f"--data={folder}/rgb"]
  assert embed.main([*arguments, f"--out={tmp_path}/out"]) == 0
  found = np.load(tmp_path / "out" / "embeddings-00000-of-00001.npy")
  source = sources.open_source(f"{folder}/rgb", beside=pairing.beside(config))
  (batch,) = pipeline.evaluation_dataset(source, batch_size=COUNT, image_size=32)
  expected = model.encoder(batch["image"])["embedding"]
  np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
def test_tensorflow_lite_takes_the_planes(path, folder, tmp_path):
  request = Request(
    str(tmp_path / "encoder.tflite"), "tflite", encoder=str(path), data=f"{folder}/rgb"
  )
  written = checked_export.export(request)
  assert written.differences["embedding"] < 1e-4 and "each with ../../depth/" in written.checked_on
  with pytest.raises(ValueError, match="Expected --data: the encoder takes bands"):
    checked_export.export(dataclasses.replace(request, data=""))


@pytest.mark.slow
@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--beside=/nowhere/{stem}.png"], "of 20 images cannot be read"),
    (["--beside=../depth.png"], "Expected `data.beside` to be paths with {stem}"),
    (["--signature=from_bytes"], "has no signature 'from_bytes'. It has: DHA, Lab"),
  ],
)
def test_mistakes_are_a_line(path, folder, tmp_path, capsys, flags, message):
  arguments = [f"--encoder={path}", f"--data={folder}/rgb", f"--out={tmp_path}/out"]
  assert embed.main([*arguments, *flags]) == 2
  error = capsys.readouterr().err.splitlines()[-1]
  assert error.startswith("embed: ") and message in error


def test_others_say_that_it_takes_more_than_photographs(model):
  with pytest.raises(ValueError, match="'lab_hha' cannot colorize: it takes bands, too"):
    Colorizer(model)
  with pytest.raises(
    ValueError, match="nothing beside photographs for color space 'lab'.*lab_bands, lab_hha"
  ):
    pairing.beside(PretrainConfig(), pattern="{stem}.png")
  assert pairing.beside(PretrainConfig()) is None
  assert pairing.beside_of_saved_model("/nowhere") is None
  with pytest.raises(ValueError, match="Expected an encoder of this package in /nowhere"):
    pairing.beside_of_saved_model("/nowhere", pattern="{stem}.png")


def test_the_embedded_photographs_have_nothing_beside_them(config):
  data = dataclasses.replace(config.data, path="")
  with pytest.raises(ValueError, match="Expected --data with --data.beside"):
    sources.open_sources(data, beside=pairing.beside(config))


def test_panel_and_filters_show_bands_in_color(model, config):
  source = sources.open_source(config.data.path, beside=pairing.beside(config))
  (batch,) = pipeline.evaluation_dataset(source, batch_size=COUNT, image_size=32)
  images = batch["image"][:2]
  panel = pictures.panel(model, images)
  # The photograph; Lab, DHA, L, ab; three predictions, none of them together with its input.
  assert panel.shape[0] == 14 + 2 * 32 + 2 and panel.shape[1] >= 8 * 36
  # A column is the planes but for rounding: black where depth is missing.
  levels = images[0, ..., 3:].numpy().astype(int)
  places = range(panel.shape[1] - 32)
  assert min(np.abs(panel[14:46, x : x + 32] - levels).max() for x in places) <= 1
  assert (levels == 0).any()
  assert pictures.filters(model.encoder).ndim == 3


@pytest.mark.slow
def test_a_run_on_depth(config, tmp_path):
  result = train(config, tmp_path)
  assert set(result.heldout) == {"Lab->DHA", "DHA->L", "DHA->ab", "total"}
  assert all(np.isfinite(list(result.heldout.values())))
  images = np.zeros((1, 32, 32, 6), np.uint8)
  assert np.isfinite(load_encoder(tmp_path / "encoder")(images)["embedding"]).all()
  assert "each with ../../depth/" in (tmp_path / "encoder" / "README.md").read_text()


@pytest.mark.slow
def test_other_bands_train_too(folder, config, tmp_path):
  """Depth as a plain band in 16 bits, color in the pipeline, over two devices."""
  branches = (
    Branch(("L", "a", "b"), ("T",), Component("regression")),
    Branch(("T",), ("a", "b")),
  )
  config = dataclasses.replace(
    config,
    color=Component("lab_bands", {"bands": "T:1000:3000"}),
    branches=branches,
    aggregation=Component("concat"),
    color_placement="pipeline",
    strategy="mirrored",
    num_devices=2,
    steps=1,
  )
  result = train(config, tmp_path / "run")
  assert set(result.heldout) == {"Lab->T", "T->ab", "total"}
  lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
  assert all(np.isfinite(list(json.loads(line).values())).all() for line in lines)


@pytest.mark.slow
def test_a_pair_that_is_none_ends_the_run_with_its_name(folder, config, tmp_path):
  data = dataclasses.replace(config.data, beside="../../depth/{folder}/{name}")
  with pytest.raises(ValueError, match=r"cannot be read.*\.png \(unmatched: .*/depth/"):
    train(
      dataclasses.replace(config, data=data, color=Component("lab_hha", {"frame_height": 300.0})),
      tmp_path / "run",
    )
