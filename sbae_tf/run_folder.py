"""A run's folder: its configuration, and what may be written where. Imports no TensorFlow."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from sbae_tf import config_json
from sbae_tf.config import PretrainConfig


class RunFolder:
  """Where a run writes.

  Attributes:
    path: the folder.
    config_file: the resolved configuration, `config.json`.
    checkpoints: folder of the checkpoints.
    tensorboard: folder of TensorBoard's event files and profiles.
    encoder: the exported SavedModel.
    panel: the latest panel of predictions, `panel.png`.
    metrics: what was measured, a JSON object a line, `metrics.jsonl`.
    skipped: the photographs that could not be read, and why, `skipped.tsv`; only if there are any.
  """

  def __init__(self, path: str | os.PathLike[str]) -> None:
    self.path = pathlib.Path(path)
    self.config_file = self.path / "config.json"
    self.checkpoints = self.path / "checkpoints"
    self.tensorboard = self.path / "tensorboard"
    self.encoder = self.path / "encoder"
    self.panel = self.path / "panel.png"
    self.metrics = self.path / "metrics.jsonl"
    self.skipped = self.path / "skipped.tsv"

  def check(self, config: PretrainConfig) -> None:
    """Checks, writing nothing, that a run of this configuration may start or go on here.

    Raises:
      ValueError: the folder holds something else, or a run of another configuration; shows the
        fields that differ.
    """
    if not self.path.exists():
      return
    if not self.path.is_dir():
      raise ValueError(f"--workdir={self.path} is a file. Give a folder.")
    if not self.config_file.exists():
      if any(self.path.iterdir()):
        raise ValueError(
          f"--workdir={self.path} holds other files and no run. Give a new or an empty folder."
        )
      return
    try:
      theirs = config_json.from_json(json.loads(self.config_file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
      raise ValueError(
        f"Cannot read {self.config_file} ({error}). Give another --workdir."
      ) from error
    different = config_json.differences(config, theirs)
    if different:
      raise ValueError(
        f"The run in {self.path} has another configuration: {', '.join(different)}. "
        "Give another --workdir, or the run's own flags to resume it."
      )

  def open(self, config: PretrainConfig) -> None:
    """Makes the folder and writes its configuration.

    Raises:
      ValueError: as `check`; or the folder cannot be made.
    """
    self.check(config)
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      write_aside(self.config_file, config_json.dumps(config).encode())
    except OSError as error:
      raise ValueError(f"Cannot write to --workdir={self.path}: {error.strerror}.") from error

  def keep_metrics_until(self, step: int) -> None:
    """Drops what was measured after a step: a resumed run measures it again."""
    if self.metrics.exists():
      lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
      kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
      write_aside(self.metrics, "".join(kept).encode())

  def add_metrics(self, values: dict[str, Any]) -> None:
    """Appends a line to `metrics`.

    Args:
      values: JSON scalars; `step` among them.
    """
    with self.metrics.open("a", encoding="utf-8") as file:
      file.write(json.dumps(values) + "\n")


def write_aside(path: pathlib.Path, content: bytes) -> None:
  """Writes a file under another name and renames it: under its own name it is whole or absent."""
  aside = path.with_name(f".{path.name}.{os.getpid()}")
  aside.write_bytes(content)
  os.replace(aside, path)
