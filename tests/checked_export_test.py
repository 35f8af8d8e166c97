from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf import checked_export
from sbae_tf.checked_export import DifferenceError, export
from sbae_tf.checkpoints import Checkpoints, Saved
from sbae_tf.export import export_encoder, load_encoder
from sbae_tf.export_request import Request
from sbae_tf.failures import WriteError
from sbae_tf.formats import tflite
from sbae_tf.model import PretrainModel
from sbae_tf.model_card import Provenance
from sbae_tf.run_folder import RunFolder


@pytest.fixture(scope="module")
def run(small_config, tmp_path_factory) -> pathlib.Path:
  """A run's folder: two checkpoints, the first of them the best, and the SavedModel `encoder`."""
  folder = RunFolder(tmp_path_factory.mktemp("run") / "mine")
  folder.open(small_config)
  noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
  for step, loss in ((10, 1.0), (20, 2.0)):
    model = PretrainModel(small_config)
    model.encoder(noise, training=True)
    state = tf.train.Checkpoint(model=model)
    Checkpoints(folder.checkpoints, state, kept=9).save(Saved(step, {"total": loss}))
  export_encoder(model.encoder, folder.encoder, provenance=Provenance("photos", "others", 20))
  return folder.path


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
  folder = tmp_path / "photos"
  folder.mkdir()
  rng = np.random.default_rng(1)
  for i in range(12):
    pixels = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(pixels).save(folder / f"{i}.png")
  return folder


def _names(folder: pathlib.Path) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_saved_model_of_the_best_and_the_newest_checkpoint(run, images, tmp_path):
  written = export(Request(str(tmp_path / "best"), workdir=str(run)))
  assert max(written.differences.values()) <= written.tolerance == 1e-4
  assert written.runtime == "TensorFlow"
  assert written.size > 100_000
  export(Request(str(tmp_path / "sub/newest"), workdir=str(run), checkpoint="newest"))
  best, newest, own = (
    load_encoder(path)(images)["embedding"].numpy()
    for path in (tmp_path / "best", tmp_path / "sub/newest", run / "encoder")
  )
  np.testing.assert_array_equal(newest, own)
  assert not np.allclose(best, own)
  assert "| 10 |" in (tmp_path / "best/README.md").read_text()
  assert _names(tmp_path) == ["best", "sub"]
  assert _names(tmp_path / "sub") == ["newest"]


@pytest.mark.slow
def test_saved_model_again_keeps_where_it_comes_from(run, tmp_path):
  export(Request(str(tmp_path / "again"), encoder=str(run / "encoder")))
  card, again = (folder / "README.md" for folder in (run / "encoder", tmp_path / "again"))
  assert "| photos |" in card.read_text()
  assert again.read_text() == card.read_text()


@pytest.mark.slow
def test_rescaled_it_gives_the_same_and_says_so(run, images, tmp_path):
  written = export(Request(str(tmp_path / "rescaled"), encoder=str(run / "encoder"), rescale=True))
  assert max(written.differences.values()) <= written.tolerance == 1e-4
  assert max(written.rates.values()) > 1.05 and len(written.rates) == 10
  ours, own = load_encoder(tmp_path / "rescaled"), load_encoder(run / "encoder")
  for name, maps in own(images).items():
    np.testing.assert_allclose(ours(images)[name], maps, atol=1e-5 * np.abs(maps).max())
  assert not np.allclose(ours.trainable_variables[0], own.trainable_variables[0])
  assert "| afterwards | layers scaled" in (tmp_path / "rescaled/README.md").read_text()


def test_tflite(run, images, tmp_path):
  out = tmp_path / "encoder.tflite"
  written = export(Request(str(out), encoder=str(run / "encoder"), format="tflite"))
  assert (written.size, written.runtime) == (out.stat().st_size, "TensorFlow Lite")
  assert 0 < max(written.differences.values()) < 1e-4
  expected = load_encoder(run / "encoder")(images)["embedding"]
  found = tflite.run(out.read_bytes(), images)["embedding"]
  np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
  assert _names(tmp_path) == ["encoder.tflite"]


@pytest.mark.slow
def test_tflite_of_another_size(run, tmp_path):
  out = tmp_path / "encoder.tflite"
  export(Request(str(out), encoder=str(run / "encoder"), format="tflite", image_size=48))
  features = tflite.run(out.read_bytes(), np.zeros((2, 48, 48, 3), np.uint8))
  assert features["conv5"].shape[:3] == (2, 6, 6)
  with pytest.raises(ValueError, match="--image_size a multiple of 8. Received: 36"):
    export(Request(str(tmp_path / "o"), workdir=str(run), format="tflite", image_size=36))


def test_int8_is_calibrated_and_checked_on_others(run, photos, tmp_path, monkeypatch):
  seen = {}
  convert, run_tflite = tflite.convert, tflite.run
  monkeypatch.setattr(
    tflite, "convert", lambda *a, **k: convert(*a, **seen.setdefault("calibrating", k))
  )
  monkeypatch.setattr(
    tflite, "run", lambda c, images: run_tflite(c, seen.setdefault("checked", images))
  )
  request = Request(
    *(str(tmp_path / "o"), "tflite"),
    encoder=str(run / "encoder"),
    quantize="int8",
    data=str(photos),
  )
  written = export(request)
  assert written.tolerance is None
  assert 1e-3 < max(written.differences.values()) < 0.5
  calibrating, checked = seen["calibrating"]["photographs"], seen["checked"]
  assert (len(calibrating), len(checked)) == (10, 2)
  everything = {image.tobytes() for image in np.concatenate([calibrating, checked])}
  assert len(everything) == 12


@pytest.mark.slow
def test_colorizer(run, images, tmp_path):
  written = export(Request(str(tmp_path / "color"), workdir=str(run), format="colorizer"))
  assert set(written.differences) == {"rgb"}
  assert written.differences["rgb"] <= written.tolerance == 1.0
  colorize = tf.saved_model.load(str(tmp_path / "color")).signatures["colorize"]
  assert colorize(images=tf.constant(images))["rgb"].shape == images.shape


@pytest.mark.slow
@pytest.mark.parametrize("format_name", ["saved_model", "tflite", "colorizer"])
def test_what_gives_other_numbers_is_not_written(run, tmp_path, monkeypatch, format_name):
  source = {"encoder": str(run / "encoder")}
  if format_name == "tflite":
    true = tflite.run
    monkeypatch.setattr(
      tflite, "run", lambda *a: {k: v + np.float32(0.1) for k, v in true(*a).items()}
    )
  else:
    # The written model's weights are moved, and not the live one's.
    name = "export_encoder" if format_name == "saved_model" else "export_colorizer"
    true = getattr(checked_export, name)

    def export_moved(model, *arguments, **options):
      before = [v.numpy() for v in model.variables]
      for variable in model.variables:
        variable.assign(variable * 1.3 + 0.1)
      true(model, *arguments, **options)
      for variable, value in zip(model.variables, before):
        variable.assign(value)

    monkeypatch.setattr(checked_export, name, export_moved)
    source = source if format_name == "saved_model" else {"workdir": str(run)}
  with pytest.raises(DifferenceError, match="differs by .* Nothing was written"):
    export(Request(str(tmp_path / "out"), format_name, **source))
  assert _names(tmp_path) == []


def test_a_full_disk_is_told_in_a_line(run, tmp_path, monkeypatch):
  def export_encoder(*_, **__):
    raise tf.errors.ResourceExhaustedError(None, None, "/there; No space left on device")

  monkeypatch.setattr(checked_export, "export_encoder", export_encoder)
  with pytest.raises(WriteError, match="Cannot write .*out: .*No space left on device"):
    export(Request(str(tmp_path / "out"), encoder=str(run / "encoder")))
  assert _names(tmp_path) == []


@pytest.mark.slow
def test_what_is_no_number_is_not_written(run, photos, tmp_path, monkeypatch):
  true = tflite.run
  monkeypatch.setattr(
    tflite, "run", lambda *a: {k: v * np.float32(np.nan) for k, v in true(*a).items()}
  )
  flags = {"encoder": str(run / "encoder"), "quantize": "int8", "data": str(photos)}
  with pytest.raises(DifferenceError, match="differs by nan"):
    export(Request(str(tmp_path / "out"), "tflite", **flags))
  assert _names(tmp_path) == ["photos"]


@pytest.mark.slow
def test_skips_photographs_that_cannot_be_read(run, photos, tmp_path):
  request = Request(str(tmp_path / "o"), "tflite", encoder=str(run / "encoder"), data=str(photos))
  for path in sorted(photos.iterdir())[:-2]:
    path.write_bytes(b"not an image")
  assert export(request).differences
  for path in photos.iterdir():
    path.write_bytes(b"not an image")
  (tmp_path / "o").unlink()
  with pytest.raises(ValueError, match="1 or more photographs in --data.*Received: 0 of .*photos"):
    export(request)


def test_says_what_is_missing_for_onnx(run, tmp_path):
  request = Request(
    str(tmp_path / "o"), "onnx", encoder=str(run / "encoder"), onnx_python="/no/python"
  )
  with pytest.raises(ValueError, match="/no/python has no tf2onnx"):
    export(request)
