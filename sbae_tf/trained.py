"""A trained model out of a run's folder, heads included."""

from __future__ import annotations

import json
import os
import pathlib

import tensorflow as tf

from sbae_tf import checkpoints, config_json, validation
from sbae_tf.checkpoints import CorruptError
from sbae_tf.model import PretrainModel
from sbae_tf.model_card import Provenance
from sbae_tf.run_folder import RunFolder

CHOICES = ("best", "newest")


def load_model(
  workdir: str | os.PathLike[str], *, checkpoint: str = "best"
) -> tuple[PretrainModel, Provenance]:
  """Builds the model of a run, with the weights of one of its checkpoints.

  Args:
    workdir: the run's folder. Nothing in it is changed; it may be training.
    checkpoint: `best`, the one of the lowest held-out loss, or the newest where no loss is known;
      `newest`.

  Returns:
    The model, and where its weights come from.

  Raises:
    ValueError: `checkpoint` is unknown; there is no run or no checkpoint; a file is damaged.
  """
  if checkpoint not in CHOICES:
    raise ValueError(f"Expected `checkpoint` one of {', '.join(CHOICES)}. Received: {checkpoint!r}")
  folder = RunFolder(workdir)
  try:
    values = json.loads(folder.config_file.read_text(encoding="utf-8"))
    config = config_json.from_json(values)
    validation.validate(config)
  except FileNotFoundError as error:
    raise ValueError(f"There is no run in {folder.path}: expected its config.json.") from error
  except (OSError, ValueError) as error:
    raise ValueError(f"Cannot read {folder.config_file} ({error}).") from error
  path = _path(folder, checkpoint)
  try:
    saved = checkpoints.verify(path)
  except CorruptError as error:
    raise ValueError(f"The checkpoint {path} is corrupt ({error}). Take another.") from error
  model = PretrainModel(config)
  # A checkpoint of training holds the optimizer, too.
  status = tf.train.Checkpoint(model=model).read(str(path / checkpoints.STATE)).expect_partial()
  try:
    status.assert_existing_objects_matched()
  except AssertionError as error:
    raise ValueError(
      f"The checkpoint {path} does not fit {folder.config_file}: it has other variables."
    ) from error
  # What the photographs were stands in the SavedModel of a run that came to its end.
  source = config.data.path or "the embedded photographs"
  heldout = config.data.heldout_path or f"those held out of {source}"
  return model, Provenance(source, heldout, saved.step, dict(saved.heldout))


def _path(folder: RunFolder, checkpoint: str) -> pathlib.Path:
  """The folder of a checkpoint."""
  best = folder.checkpoints / "best"
  if checkpoint == "best" and best.is_dir():
    return best.resolve()  # Its link may be turned while the run goes on.
  steps = sorted(folder.checkpoints.glob("step-*"))
  if not steps:
    raise ValueError(f"There is no checkpoint in {folder.checkpoints}. Train first.")
  return steps[-1]
