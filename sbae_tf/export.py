"""Encoder to SavedModel and back, and a colorizer to one."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import io
import json
import math
import os
import pathlib
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Union

if __name__ == "__main__":  # Here, for the imports below take seconds, and --help needs none.
  sys.exit(importlib.import_module("sbae_tf.export_cli").main(sys.argv[1:]))

import numpy as np
import tensorflow as tf
from PIL import Image

from sbae_tf import config_json, model_card, pictures, runtime, validation
from sbae_tf.colorizer import Colorizer
from sbae_tf.config import group_name
from sbae_tf.encoder import Encoder
from sbae_tf.model import PretrainModel
from sbae_tf.model_card import UNKNOWN, Facts, Provenance
from sbae_tf.serving import ServedColorizer, ServedEncoder, branch_signatures
from sbae_tf.tasks.classification import Classification

_CONFIG = "config.json"
_CARD = "README.md"
_LOAD_OTHERS = "Use tf.saved_model.load for it."

Served = Union[ServedEncoder, ServedColorizer]
Assets = Mapping[str, tf.saved_model.Asset]


def export_encoder(
  encoder: Encoder, path: str | os.PathLike[str], *, provenance: Provenance = UNKNOWN
) -> None:
  """Writes an encoder as a SavedModel that needs nothing but TensorFlow.

  It is a reusable one: `loaded(images, training=False)`, `loaded.variables`,
  `loaded.trainable_variables`, `loaded.regularization_losses`; plain TensorFlow and
  `tensorflow_hub.KerasLayer(path, trainable=True)` fine-tune it. Its signatures return every named
  feature map and `embedding`, float32, as `Encoder.__call__` does (computed in float32, within 1e-5
  of a map's largest number):

  - `serving_default` takes `images`, uint8 (B, H, W, 3), any B and any H and W that the stride
    divides;
  - `from_bytes` takes `encoded`, (B,) strings: whole files of the kinds that
    `sbae_tf.encoded_images` names, cut and resized as in evaluation;
  - with bands beside photographs there is no `from_bytes`, and `images` are (B, H, W, S), a plane
    of 8 bits more for each;
  - one a tower, such as `L` and `ab`, takes what `serving_default` takes (of a shared tower one for
    each group of channels that a branch sees of it).

  Inside, as assets: `config.json`, `versions.json`, `training.json` (`provenance`),
  `model_card.md` and `filters.png`. The card lies beside the model, too, as `README.md`.

  The SavedModel is written beside `path` and renamed: under the final name there is all or
  nothing. A SavedModel that is there already is replaced.

  Args:
    encoder: the encoder; its weights are copied, so it may belong to any strategy.
    path: the SavedModel's folder.
    provenance: of its weights, for the model card.
  """
  # A copy outside any strategy: the file does not depend on the devices that trained it. With
  # heads, although they are dropped: the card tells what loss chance has.
  model = PretrainModel(encoder.config)
  for ours, trained in zip(model.encoder.variables, encoder.variables):
    ours.assign(trained)
  copy = model.encoder
  side = encoder.config.data.image_size
  features = copy(tf.zeros((1, side, side, copy.color.planes), tf.uint8))
  facts = _facts(model, copy, {name: value.shape[1:] for name, value in features.items()})
  _write(
    lambda assets: ServedEncoder(copy, assets),
    pathlib.Path(path),
    card=lambda folder: model_card.encoder_card(encoder.config, provenance, facts, folder=folder),
    files=_files(model, provenance, facts),
  )


def export_colorizer(
  model: PretrainModel, path: str | os.PathLike[str], *, provenance: Provenance = UNKNOWN
) -> None:
  """Writes a SavedModel that colorizes photographs, and needs nothing but TensorFlow.

  Its signature `colorize`, also `serving_default`, takes `images`, uint8 (B, H, W, 1) or
  (B, H, W, 3), H and W multiples of the stride, and returns `rgb`, uint8 (B, H, W, 3), as
  `Colorizer.__call__` does. Assets and `README.md` as `export_encoder` writes them; also all or
  nothing.

  Args:
    model: the model; its weights are copied, so it may belong to any strategy.
    path: the SavedModel's folder.
    provenance: of its weights, for the model card.

  Raises:
    ValueError: no branch of the model predicts color from lightness.
  """
  copy = PretrainModel(model.config)
  for ours, trained in zip(copy.variables, model.variables):
    ours.assign(trained)
  colorizer = Colorizer(copy)
  facts = _facts(copy, copy, {})
  _write(
    lambda assets: ServedColorizer(colorizer, assets),
    pathlib.Path(path),
    card=lambda folder: model_card.colorizer_card(model.config, provenance, facts, folder=folder),
    files=_files(copy, provenance, facts),
  )


def load_encoder(path: str | os.PathLike[str]) -> Encoder:
  """Reads back an encoder that `export_encoder` wrote.

  Args:
    path: the SavedModel's folder, such as `runs/split_brain_96_kmeans/encoder`.

  Returns:
    A live `Encoder` with the weights of the SavedModel: fine-tune it under any strategy.

  Raises:
    ValueError: there is no SavedModel, it is not one of `export_encoder`, or it is damaged.
  """
  path = pathlib.Path(path)
  if not (path / "saved_model.pb").is_file():
    inside = path / "encoder"
    hint = f" Did you mean {inside}?" if (inside / "saved_model.pb").is_file() else ""
    raise ValueError(f"There is no SavedModel in {path}: expected its saved_model.pb.{hint}")
  try:
    text = (path / "assets" / _CONFIG).read_text(encoding="utf-8")
    config = config_json.from_json(json.loads(text))
    validation.validate(config)
  except (OSError, ValueError) as error:
    raise ValueError(f"{_foreign(path)} ({_line(error)}). {_LOAD_OTHERS}") from error
  encoder = Encoder(config)
  try:
    checkpoint = tf.train.Checkpoint(encoder=encoder)
    status = checkpoint.read(str(path / "variables" / "variables")).expect_partial()
    status.assert_existing_objects_matched()
  except AssertionError as error:  # Such as a colorizer.
    raise ValueError(
      f"{_foreign(path)} (it has other variables than its {_CONFIG} says). {_LOAD_OTHERS}"
    ) from error
  # TensorFlow raises IndexError where a file of weights ends too early.
  except (tf.errors.OpError, IndexError, ValueError) as error:
    raise ValueError(
      f"The SavedModel in {path} is damaged ({_line(error)}). Export or copy it again."
    ) from error
  return encoder


def _foreign(path: pathlib.Path) -> str:
  return f"The SavedModel in {path} is not an encoder of this package"


def _line(error: Exception) -> str:
  """An error's message in one line."""
  return " ".join(str(error).split()) or type(error).__name__


def _write(
  make: Callable[[Assets], Served],
  path: pathlib.Path,
  *,
  card: Callable[[str], str],
  files: Mapping[str, bytes],
) -> None:
  """Writes a SavedModel under another name, and renames it.

  Args:
    make: what to save, given its assets: a name without an ending to each.
    path: its folder.
    card: the model card, given where the files lie as seen from it.
    files: content of the other assets, by file name.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  files = {**files, "model_card.md": card("").encode()}
  with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
    folder = pathlib.Path(temporary)
    for name, content in files.items():
      (folder / name).write_bytes(content)
    served = make(
      {name.partition(".")[0]: tf.saved_model.Asset(str(folder / name)) for name in files}
    )
    written = folder / "saved_model"
    with runtime.quiet_logs():
      tf.saved_model.save(served, str(written), signatures=served.make_signatures())
    (written / _CARD).write_text(card("assets/"), encoding="utf-8")
    if path.exists():
      path.rename(folder / "replaced")
    written.rename(path)


def _facts(model: PretrainModel, saved: tf.Module, features: Mapping[str, tf.TensorShape]) -> Facts:
  """What the card says of a model."""
  return Facts(
    parameters=sum(int(np.prod(variable.shape)) for variable in saved.variables),
    stride=model.encoder.stride,
    features={name: tuple(shape) for name, shape in features.items()},
    towers={
      name: group_name(model.config.branches[index].inputs)
      for name, index in branch_signatures(model.encoder).items()
    },
    chance={
      name: math.log(task.quantizer.bins)
      for name, task in zip(model.config.branch_names, model.tasks)
      if isinstance(task, Classification)
    },
    versions=_versions(),
    bands=model.encoder.color.band_names,
  )


def _files(model: PretrainModel, provenance: Provenance, facts: Facts) -> dict[str, bytes]:
  """The assets but for the card, by file name."""
  picture = io.BytesIO()
  Image.fromarray(pictures.filters(model.encoder)).save(picture, "PNG")
  return {
    _CONFIG: config_json.dumps(model.config).encode(),
    "versions.json": _json(facts.versions),
    "training.json": _json(dataclasses.asdict(provenance)),
    "filters.png": picture.getvalue(),
  }


def _json(values: Mapping[str, object]) -> bytes:
  return (json.dumps(values, indent=2) + "\n").encode()


def _versions() -> dict[str, str]:
  # By name, for an import statement would be a circle: the package's own module leads here.
  package = importlib.import_module("sbae_tf")
  return {
    "sbae_tf": package.__version__,
    "tensorflow": tf.__version__,
    "tensorflow-io": importlib.metadata.version("tensorflow-io"),
    "python": platform.python_version(),
  }
