"""Encoder to SavedModel and back."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile

import tensorflow as tf

from sbae_tf import config_json, runtime, validation
from sbae_tf.encoder import Encoder

_CONFIG = "config.json"


class _Exported(tf.Module):
  """What the SavedModel holds: the encoder, its functions, and its configuration as an asset."""

  def __init__(self, encoder: Encoder, config_file: pathlib.Path) -> None:
    super().__init__(name="exported")
    self.encoder = encoder
    self.config = tf.saved_model.Asset(str(config_file))

  @tf.function(autograph=False)
  def __call__(self, images: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
    return self.encoder(images, training=training)


def export_encoder(encoder: Encoder, path: str | os.PathLike[str]) -> None:
  """Writes an encoder as a SavedModel that needs nothing but TensorFlow.

  `serving_default` takes `images`, uint8 (B, H, W, 3), any B and any H and W that the stride
  divides, and returns every named feature map and `embedding`, as `Encoder.__call__` does. The
  loaded object itself is callable, too: `loaded(images, training=False)`.

  The SavedModel is written beside `path` and renamed: under the final name there is all or
  nothing. A SavedModel that is there already is replaced.

  Args:
    encoder: the encoder; its weights are copied, so it may belong to any strategy.
    path: the SavedModel's folder.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  # A copy outside any strategy: the file does not depend on the devices that trained it.
  copy = Encoder(encoder.config)
  for ours, trained in zip(copy.variables, encoder.variables):
    ours.assign(trained)
  with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
    config_file = pathlib.Path(temporary) / _CONFIG
    config_file.write_text(config_json.dumps(encoder.config), encoding="utf-8")
    exported = _Exported(copy, config_file)
    images = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
    serving = exported.__call__.get_concrete_function(images, training=False)
    exported.__call__.get_concrete_function(images, training=True)
    written = pathlib.Path(temporary) / "saved_model"
    with runtime.quiet_logs():
      tf.saved_model.save(exported, str(written), signatures={"serving_default": serving})
    if path.exists():
      path.rename(pathlib.Path(temporary) / "replaced")
    written.rename(path)


def load_encoder(path: str | os.PathLike[str]) -> Encoder:
  """Reads back an encoder that `export_encoder` wrote.

  Args:
    path: the SavedModel's folder, such as `runs/simplenet_lab/encoder`.

  Returns:
    A live `Encoder` with the weights of the SavedModel: fine-tune it under any strategy.

  Raises:
    ValueError: there is no SavedModel, or it is not one of `export_encoder`.
  """
  path = pathlib.Path(path)
  config_file = path / "assets" / _CONFIG
  if not (path / "saved_model.pb").is_file():
    raise ValueError(f"There is no SavedModel in {path}: expected its saved_model.pb.")
  try:
    config = config_json.from_json(json.loads(config_file.read_text(encoding="utf-8")))
    validation.validate(config)
  except (OSError, ValueError) as error:
    raise ValueError(
      f"The SavedModel in {path} is not an encoder of this package ({error}). "
      "Use tf.saved_model.load for it."
    ) from error
  encoder = Encoder(config)
  checkpoint = tf.train.Checkpoint(encoder=encoder)
  status = checkpoint.read(str(path / "variables" / "variables"))
  status.assert_existing_objects_matched().expect_partial()
  return encoder
