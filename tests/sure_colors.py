"""Models that predict one color everywhere, runs of them, and photographs to colorize."""

from __future__ import annotations

import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image

from sbae_tf import config_json
from sbae_tf.checkpoints import Checkpoints, Saved
from sbae_tf.config import PretrainConfig
from sbae_tf.model import PretrainModel
from sbae_tf.run_folder import RunFolder

DULL = 45  # The bin of a = -3.2, b = 3.4: sRGB has it at most lightnesses.
VIVID = 90  # That of a = 89, b = -98: at few.


def model(config: PretrainConfig, bin_id: int | None = DULL, **fields: object) -> PretrainModel:
  """A model whose branches by classification are sure of one bin; None: of none."""
  tf.keras.utils.set_random_seed(3)  # Other weights are unsure of other, and maybe dull colors.
  made = PretrainModel(config_json.from_json(fields, base=config))
  be_sure(made, bin_id)
  return made


def be_sure(made: PretrainModel, bin_id: int | None) -> None:
  """Changes of which bin a model is sure; None: of another one wherever it looks."""
  rng = np.random.default_rng(0)
  for branch, head in zip(made.config.branches, made.heads):
    if branch.task.name == "classification":
      kernel, bias = head.trainable_variables
      sure = bin_id is not None
      kernel.assign(np.zeros(kernel.shape) if sure else rng.normal(0, 1, kernel.shape))
      bias.assign(100.0 * tf.one_hot(bin_id, bias.shape[0]) if sure else tf.zeros_like(bias))


def save_run(made: PretrainModel, workdir: pathlib.Path) -> pathlib.Path:
  """A run's folder as training leaves it, with one checkpoint."""
  folder = RunFolder(workdir)
  folder.open(made.config)
  state = tf.train.Checkpoint(model=made)
  Checkpoints(folder.checkpoints, state, kept=1).save(Saved(10, {"total": 1.0}))
  return workdir


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
  """(H, W, 3) uint8: smooth colors and a fine grain; neither dark nor bright."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
  phases = rng.uniform(0, 6.3, 3)
  smooth = np.stack([np.sin(5 * y + 4 * x + phase) for phase in phases], axis=-1)
  grain = rng.normal(0, 8, (height, width, 1))
  return np.clip(128 + 50 * smooth + grain, 60, 200).astype(np.uint8)


def write_photographs(folder: pathlib.Path) -> pathlib.Path:
  """Five files that can be read, one of them gray, and two that cannot."""
  (folder / "red").mkdir(parents=True)
  Image.fromarray(photograph(101, 77)).save(folder / "red" / "odd.png")
  Image.fromarray(photograph(40, 64, 1)).save(folder / "red" / "wide.jpg", quality=95)
  Image.fromarray(photograph(31, 33, 2)).save(folder / "same.png")
  Image.fromarray(photograph(33, 31, 3)).save(folder / "same.bmp")
  Image.fromarray(photograph(50, 50, 4)[..., 0]).save(folder / "gray.png")
  (folder / "broken.jpg").write_bytes(b"broken")
  (folder / "red" / "empty.jpg").write_bytes(b"")
  return folder
