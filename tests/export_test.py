"""The SavedModel: the same numbers, in a process that does not know the package, and back.

`SBAE_OTHER_PYTHON=.venv312/bin/python` names the interpreter of another environment with the test
extras, on another TensorFlow: with it each loads what the other wrote.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import sbae_tf
from sbae_tf import config_json
from sbae_tf.colorizer import Colorizer
from sbae_tf.config import Component, PretrainConfig
from sbae_tf.encoder import Encoder
from sbae_tf.export import export_colorizer, export_encoder, load_encoder
from sbae_tf.model import PretrainModel
from sbae_tf.model_card import Provenance

_ROOT = pathlib.Path(sbae_tf.__file__).parent.parent
_CONSUMER = pathlib.Path(__file__).with_name("export_consumer.py")

# How far graphs may be off eager TensorFlow, and one TensorFlow off another, which fuse operations
# in other ways: as parts of a map's largest number. The first is what the model card says.
_GRAPH, _OTHER_TENSORFLOW = 1e-5, 1e-4


def _run(arguments: list[str], **variables: str) -> None:
  done = subprocess.run(
    arguments,
    env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **variables},
    capture_output=True,
    text=True,
    timeout=400,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]


def _consume(folder: pathlib.Path, mode: str, *names: str, python: str = sys.executable):
  """What the consumer made of files in a folder, the last of which it writes."""
  paths = [str(folder / name) for name in names]
  _run([python, str(_CONSUMER), mode, *paths])
  return dict(np.load(paths[-1]))


def _encoder(config: PretrainConfig) -> Encoder:
  """With statistics other than those of a fresh network: they must travel, too."""
  encoder = Encoder(config)
  noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
  encoder(noise, training=True)
  return encoder


def _rgb(config: PretrainConfig) -> PretrainConfig:
  return config_json.from_json({"color": "rgb", "branches": ["R->G,B", "G,B->R"]}, base=config)


@pytest.fixture(scope="module", params=["lab", pytest.param("rgb", marks=pytest.mark.slow)])
def encoder(request, small_config, live_encoder) -> Encoder:
  return live_encoder if request.param == "lab" else _encoder(_rgb(small_config))


@pytest.fixture(scope="module")
def exported(encoder, live_encoder, lab_folder, tmp_path_factory) -> pathlib.Path:
  """A folder with the SavedModel `encoder`, for tests that only read."""
  if encoder is live_encoder:
    return lab_folder
  folder = tmp_path_factory.mktemp("rgb")
  export_encoder(encoder, folder / "encoder")
  return folder


@pytest.fixture(scope="module")
def lab_folder(encoder_folder) -> pathlib.Path:
  return encoder_folder.parent


@pytest.fixture(scope="module")
def loaded(lab_folder):
  """Its SavedModel, for tests that only call it."""
  return tf.saved_model.load(str(lab_folder / "encoder"))


def _files(images: np.ndarray) -> list[bytes]:
  """The photographs as PNG, of another size than the configuration's."""
  files = []
  for image in images:
    buffer = io.BytesIO()
    Image.fromarray(image).resize((50, 40)).save(buffer, "PNG")
    files.append(buffer.getvalue())
  return files


def _central(files: list[bytes], size: int) -> np.ndarray:
  """As `from_bytes` reads them; `encoded_images_test` holds that to the pipeline."""
  from sbae_tf.encoded_images import decode_central

  return decode_central(tf.constant(files), image_size=size, max_pixels=10**8).numpy()


def _expected(encoder: Encoder, images: np.ndarray) -> dict[str, np.ndarray]:
  """What a consumer's `features` must be, from the live encoder."""
  expected: dict[str, Mapping[str, tf.Tensor]] = {
    "serving_default": encoder(images),
    "called False": encoder(images),
    "from_bytes": encoder(_central(_files(images), encoder.config.data.image_size)),
  }
  for index, branch in enumerate(encoder.config.branches):
    inputs = encoder.branch_inputs(encoder.color.encode(images))
    maps = dict(encoder.branch_features(inputs, training=False)[index])
    maps["embedding"] = tf.reduce_mean(maps[encoder.feature_names[-1]], (1, 2))
    expected["".join(branch.inputs)] = maps
  # Last, for it moves the statistics.
  expected["called True"] = encoder(images, training=True)
  return {f"{name}/{key}": v.numpy() for name, maps in expected.items() for key, v in maps.items()}


def _hold(
  found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], *, within: float = _GRAPH
) -> None:
  assert set(found) == set(expected)
  for name, value in expected.items():
    assert found[name].dtype == np.float32
    assert np.abs(found[name] - value).max() <= within * np.abs(value).max(), name


def test_serves_the_same_numbers_without_the_package(encoder, exported, images, tmp_path):
  """Signatures, call and training, in a process in which `sbae_tf` cannot be imported."""
  (tmp_path / "encoder").symlink_to(exported / "encoder")
  np.save(tmp_path / "images.npy", images)
  np.savez(tmp_path / "files.npz", *[np.void(f) for f in _files(images)])
  before = [v.numpy() for v in encoder.variables]
  expected = _expected(encoder, images)
  for variable, value in zip(encoder.variables, before):
    variable.assign(value)
  _hold(_consume(tmp_path, "features", "encoder", "images.npy", "files.npz", "out.npz"), expected)


@pytest.mark.parametrize("mode", [pytest.param("finetune", marks=pytest.mark.slow), "hub"])
def test_fine_tunes_without_the_package(mode, lab_folder, tmp_path):
  if mode == "hub" and importlib.util.find_spec("tensorflow_hub") is None:
    pytest.skip("tensorflow_hub is not installed")
  images = np.random.default_rng(1).integers(0, 256, (16, 1, 1, 3))
  noise = np.random.default_rng(2).integers(-20, 20, (16, 32, 32, 3))
  np.save(tmp_path / "images.npy", np.clip(images + noise, 0, 255).astype(np.uint8))
  (tmp_path / "encoder").symlink_to(lab_folder / "encoder")
  out = _consume(tmp_path, mode, "encoder", "images.npy", "out.npz")
  assert out["losses"][0] == pytest.approx(np.log(2), rel=0.2) or mode == "hub"
  assert np.mean(out["losses"][-5:]) < 0.5 * np.mean(out["losses"][:2])
  assert out["moved"].all()  # Batch statistics, too.


def test_offers_what_reusable_saved_models_do(lab_folder, loaded):
  live = load_encoder(lab_folder / "encoder")
  for name in ("variables", "trainable_variables"):
    theirs = [v.numpy() for v in getattr(loaded, name)]
    assert len(theirs) == len(getattr(live, name)) > 0
    for a, b in zip(theirs, getattr(live, name)):
      np.testing.assert_array_equal(a, b)
  assert len(loaded.regularization_losses) == 0
  assert len(loaded.trainable_variables) < len(loaded.variables)


_REGULARIZED = """
import tensorflow as tf

STRIDE = 2
FEATURES = ("conv1",)


def build(channels: int, *, rate: float = 0.5) -> tf.keras.Model:
  images = tf.keras.Input((None, None, channels))
  l2 = tf.keras.regularizers.L2(rate)
  layer = tf.keras.layers.Conv2D(4, 3, 2, padding="same", kernel_regularizer=l2)
  return tf.keras.Model(images, {"conv1": layer(images)})
"""


@pytest.mark.slow
def test_regularization_losses_of_a_backbone_travel(small_config, tmp_path, monkeypatch):
  (tmp_path / "plug_in").mkdir()
  (tmp_path / "plug_in" / "regularized.py").write_text(_REGULARIZED)
  monkeypatch.syspath_prepend(tmp_path)
  encoder = Encoder(
    dataclasses.replace(small_config, backbone=Component("plug_in.regularized", {"rate": 0.25}))
  )
  export_encoder(encoder, tmp_path / "encoder")
  loaded = tf.saved_model.load(str(tmp_path / "encoder"))
  kernels = [v.numpy() for v in loaded.trainable_variables if v.shape.rank == 4]
  assert len(loaded.regularization_losses) == len(kernels) == 2
  found = sorted(float(loss()) for loss in loaded.regularization_losses)
  np.testing.assert_allclose(found, sorted(0.25 * (k**2).sum() for k in kernels), rtol=1e-5)


def test_signatures_take_any_batch_and_size(loaded):
  assert set(loaded.signatures) == {"serving_default", "from_bytes", "L", "ab"}
  for name in ("serving_default", "L", "ab"):
    serving = loaded.signatures[name]
    spec = serving.structured_input_signature[1]["images"]
    assert spec.dtype == tf.uint8 and spec.shape.as_list() == [None, None, None, 3]
    for shape in ((1, 64, 32, 3), (5, 96, 96, 3)):
      features = serving(images=tf.zeros(shape, tf.uint8))
      assert features["conv5"].shape[:3] == (shape[0], shape[1] // 8, shape[2] // 8)
  spec = loaded.signatures["from_bytes"].structured_input_signature[1]["encoded"]
  assert spec.dtype == tf.string and spec.shape.as_list() == [None]


def test_towers_see_their_channels_alone(loaded, images):
  gray = tf.image.grayscale_to_rgb(tf.constant(images[..., :1]))
  both = loaded.signatures["serving_default"](images=images)["conv5"]
  towers = [loaded.signatures[name](images=images)["conv5"] for name in ("L", "ab")]
  np.testing.assert_allclose(both, tf.concat(towers, axis=-1), rtol=1e-4, atol=1e-5)
  # To `ab` all gray photographs are one.
  ab = loaded.signatures["ab"](images=gray)["embedding"].numpy()
  np.testing.assert_allclose(ab, ab[:1].repeat(len(ab), axis=0), rtol=1e-3, atol=1e-4)
  light = loaded.signatures["L"](images=gray)["embedding"].numpy()
  assert np.abs(light - light[:1])[1:].max() > 1e-2


@pytest.mark.slow
def test_a_shared_tower_has_a_signature_for_each_part_that_it_was_shown(
  small_config, images, tmp_path
):
  branches = ["L->a,b", "a,b->L", "L->a,b:regression"]
  fields = {"aggregation": "shared", "branches": branches}
  encoder = _encoder(config_json.from_json(fields, base=small_config))
  export_encoder(encoder, tmp_path / "encoder")
  loaded = tf.saved_model.load(str(tmp_path / "encoder"))
  assert set(loaded.signatures) == {"serving_default", "from_bytes", "L", "ab"}
  images = tf.constant(images)
  for name, expected in (
    ("serving_default", encoder(images)),
    ("L", encoder.branch(images, 0)),
    ("ab", encoder.branch(images, 1)),
  ):
    found = loaded.signatures[name](images=images)
    _hold({k: v.numpy() for k, v in found.items()}, {k: v.numpy() for k, v in expected.items()})
  card = (tmp_path / "encoder" / "README.md").read_text(encoding="utf-8")
  assert "| `ab` | as `serving_default` | features of one tower, which sees ab alone |" in card
  live = load_encoder(tmp_path / "encoder")
  for ours, theirs in zip(live.variables, encoder.variables):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("signature", ["serving_default", "L", "ab", "called"])
@pytest.mark.parametrize(
  ("images", "named"),
  [
    (np.zeros((2, 32, 32, 3), np.float32), "uint8"),
    (np.zeros((2, 32, 32, 4), np.uint8), r"(None, None, None, 3)|\(B, H, W, 3\)"),
    (np.zeros((2, 30, 32, 3), np.uint8), "multiples of 8. Crop or resize"),
    (np.zeros((2, 32, 20, 3), np.uint8), "multiples of 8. Crop or resize"),
    (np.zeros((2, 0, 32, 3), np.uint8), "multiples of 8. Crop or resize"),
  ],
  ids=["float", "channels", "height", "width", "none"],
)
def test_bad_photographs_are_told_what_to_do(signature, images, named, loaded):
  with pytest.raises((TypeError, ValueError, tf.errors.OpError), match=named):
    if signature == "called":
      loaded(tf.constant(images))
    else:
      loaded.signatures[signature](images=tf.constant(images))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_are_counted_where_no_shape_is_checked(channels, lab_folder):
  """As in C++ and in servers: four channels would pass as other pixels of three."""
  loaded = tf.saved_model.load(str(lab_folder / "encoder"))
  function = loaded.signatures["serving_default"]
  images = tf.zeros((3, 32, 32, channels), tf.uint8)
  captured = function.captured_inputs
  with pytest.raises(
    tf.errors.InvalidArgumentError, match=rf"\(B, H, W, 3\) uint8.*32 {channels}\]"
  ):
    tf.raw_ops.PartitionedCall(
      args=[images, *captured], Tout=[t.dtype for t in function.outputs], f=function
    )


@pytest.mark.parametrize("content", [b"", b"no image at all", b"RIFF____WEBPVP8 "])
def test_bad_bytes_are_told_what_to_do(content, loaded, images):
  from_bytes = loaded.signatures["from_bytes"]
  files = _files(images)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)Convert others.*\[2\]"):
    from_bytes(encoded=tf.constant([*files[:2], content, *files[2:]]))
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)Convert others.*\[0\]"):
    from_bytes(encoded=tf.constant([files[0][:-30]]))


def test_comes_back_live(encoder, exported, images):
  loaded = load_encoder(exported / "encoder")
  assert loaded.config == encoder.config
  for name, value in encoder(images).items():
    np.testing.assert_array_equal(value, loaded(images)[name])
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(loaded(images, training=True)["embedding"] ** 2)
  assert all(g is not None for g in tape.gradient(loss, loaded.trainable_variables))


@pytest.mark.slow
def test_brings_its_papers_along(small_config, tmp_path):
  provenance = Provenance("1,000 photographs in holidays", "some others", 77, {"L->ab": 3.21})
  export_encoder(Encoder(small_config), tmp_path / "encoder", provenance=provenance)
  folder = tmp_path / "encoder"
  loaded = tf.saved_model.load(str(folder))
  papers = {k: pathlib.Path(v.asset_path.numpy().decode()) for k, v in loaded.assets.items()}
  assert {path.name for path in papers.values()} == {
    "config.json",
    "versions.json",
    "training.json",
    "model_card.md",
    "filters.png",
  }
  assert json.loads(papers["config"].read_text()) == config_json.to_plain(small_config)
  assert json.loads(papers["versions"].read_text())["tensorflow"] == tf.__version__
  assert json.loads(papers["training"].read_text()) == dataclasses.asdict(provenance)
  readme, card = (folder / "README.md").read_text(), papers["model_card"].read_text()
  assert readme.replace("(assets/", "(") == card
  for told in (
    "1,000 photographs in holidays",
    "some others",
    "77",
    "3.2100",
    "4.6052",
    tf.__version__,
  ):
    assert told in card
  for at, text in ((folder, readme), (folder / "assets", card)):
    links = re.findall(r"\[[\w .]+\]\(([\w./]+)\)", text)
    assert len(links) == 2 and all((at / link).is_file() for link in links)
  with Image.open(papers["filters"]) as picture:
    assert picture.width > 100 and len(np.unique(np.asarray(picture))) > 20


@pytest.mark.slow
def test_replaces_what_was_there_and_leaves_nothing_beside(small_config, images, tmp_path):
  first, second = Encoder(small_config), Encoder(small_config)
  export_encoder(first, tmp_path / "encoder")
  export_encoder(second, tmp_path / "encoder")
  assert [p.name for p in tmp_path.iterdir()] == ["encoder"]
  np.testing.assert_array_equal(
    load_encoder(tmp_path / "encoder")(images)["conv1"], second(images)["conv1"]
  )


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_run_instead_of_its_encoder_is_told(lab_folder):
  with pytest.raises(ValueError, match="Did you mean .*encoder\\?$"):
    load_encoder(lab_folder)


@pytest.mark.slow
def test_a_damaged_saved_model_is_one_line(small_config, tmp_path):
  export_encoder(Encoder(small_config), tmp_path / "encoder")
  (weights,) = (tmp_path / "encoder" / "variables").glob("*.data-*")
  weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
  with pytest.raises(ValueError, match="is damaged .*Export or copy it again") as error:
    load_encoder(tmp_path / "encoder")
  assert "\n" not in str(error.value)
  (tmp_path / "encoder" / "assets" / "config.json").write_text("{")
  with pytest.raises(ValueError, match="not an encoder of this package"):
    load_encoder(tmp_path / "encoder")


@pytest.mark.slow
def test_colorizer_without_the_package(small_config, images, tmp_path):
  model = PretrainModel(small_config)
  model.outputs(model.prepare(images).inputs, training=True)
  export_colorizer(model, tmp_path / "colorizer")
  np.save(tmp_path / "images.npy", images)
  found = _consume(tmp_path, "colorize", "colorizer", "images.npy", "out.npz")
  expected = Colorizer(model)(images).numpy().astype(int)
  for name in ("color", "default", "called"):
    assert found[name].dtype == np.uint8
    assert np.abs(found[name] - expected).max() <= 1, name
  # Gray by luma is not quite of the lightness.
  gray = Colorizer(model)(tf.image.rgb_to_grayscale(images)).numpy().astype(int)
  assert np.abs(found["gray"] - gray).max() <= 1
  card = (tmp_path / "colorizer" / "README.md").read_text()
  assert card.startswith("# Colorizer") and (tmp_path / "colorizer/assets/filters.png").is_file()


@pytest.mark.slow
def test_bad_photographs_for_a_colorizer(small_config, tmp_path):
  export_colorizer(PretrainModel(small_config), tmp_path / "colorizer")
  colorize = tf.saved_model.load(str(tmp_path / "colorizer")).signatures["colorize"]
  with pytest.raises(tf.errors.InvalidArgumentError, match="drop alpha"):
    colorize(images=tf.zeros((1, 32, 32, 4), tf.uint8))
  with pytest.raises(tf.errors.InvalidArgumentError, match="multiples of 8"):
    colorize(images=tf.zeros((1, 33, 32, 1), tf.uint8))
  with pytest.raises(ValueError, match="not an encoder .*other variables") as error:
    load_encoder(tmp_path / "colorizer")
  assert "\n" not in str(error.value)


_OTHER = os.environ.get("SBAE_OTHER_PYTHON", "")

_PRODUCER = """
import sys
import numpy as np
import sbae_tf
from sbae_tf.config_json import from_json
import json, pathlib

folder = pathlib.Path(sys.argv[1])
encoder = sbae_tf.Encoder(from_json(json.loads((folder / "config.json").read_text())))
encoder(np.load(folder / "noise.npy"), training=True)
sbae_tf.export_encoder(encoder, folder / "encoder")
features = encoder(np.load(folder / "images.npy"))
np.savez(folder / "live.npz", **{k: v.numpy() for k, v in features.items()})
"""


@pytest.mark.slow
@pytest.mark.skipif(not _OTHER, reason="SBAE_OTHER_PYTHON is not set")
@pytest.mark.parametrize("there", [False, True], ids=["ours", "theirs"])
def test_another_tensorflow_loads_it(there, small_config, images, tmp_path):
  """What one environment writes, the other serves and fine-tunes."""
  writer, reader = (_OTHER, sys.executable) if there else (sys.executable, _OTHER)
  np.save(tmp_path / "images.npy", images)
  np.save(
    tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
  )
  np.savez(tmp_path / "files.npz", *[np.void(f) for f in _files(images)])
  (tmp_path / "config.json").write_text(config_json.dumps(small_config))
  _run([writer, "-c", _PRODUCER, str(tmp_path)], PYTHONPATH=str(_ROOT))
  names = ("encoder", "images.npy", "files.npz", "out.npz")
  ours = _consume(tmp_path, "features", *names, python=writer)
  theirs = _consume(tmp_path, "features", *names, python=reader)
  _hold(theirs, ours, within=_OTHER_TENSORFLOW)
  live = dict(np.load(tmp_path / "live.npz"))
  _hold({k: theirs[f"serving_default/{k}"] for k in live}, live, within=_OTHER_TENSORFLOW)
  for mode in ("finetune", "hub"):
    out = _consume(tmp_path, mode, "encoder", "images.npy", "out.npz", python=reader)
    assert np.mean(out["losses"][-5:]) < 0.7 * np.mean(out["losses"][:2]), mode
