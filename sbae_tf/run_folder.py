"""A run's folder: its configuration, and what may be written where. Imports no TensorFlow."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from sbae_tf import config_json, output_folder
from sbae_tf.config import PretrainConfig
from sbae_tf.writing import writing

# `output_folder.ASIDE_GLOB` finds it.
_ASIDE = ".{name}.{pid}.aside"


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
    nonfinite: the photographs of the step whose loss was not finite, `nonfinite.txt`; only if there
      was one.
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
    self.nonfinite = self.path / "nonfinite.txt"

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
      if any(not path.match(output_folder.ASIDE_GLOB) for path in self.path.iterdir()):
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

  def check_files(self, files: Mapping[str, bytes]) -> None:
    """Checks, writing nothing, that a run in this folder has these files, or none of their names.

    Args:
      files: what its losses depend on beside the configuration, by name.

    Raises:
      ValueError: one has another content.
    """
    for name, content in files.items():
      kept = self.path / name
      try:
        if not kept.exists() or kept.read_bytes() == content:
          continue
      except OSError as error:
        raise ValueError(f"Cannot read {kept}: {error.strerror}.") from error
      raise ValueError(
        f"The run in {self.path} began with another file than is given now: {kept} is its copy. "
        "Give another --workdir, or a file like that to resume it."
      )

  def keep(self, files: Mapping[str, bytes]) -> None:
    """Keeps a copy of the files of `check_files`, in a folder that was opened.

    Raises:
      ValueError: as `check_files`; or they cannot be written.
    """
    self.check_files(files)
    try:
      for name, content in files.items():
        write_aside(self.path / name, content)
    except OSError as error:
      raise ValueError(f"Cannot write to --workdir={self.path}: {error.strerror}.") from error

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

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Keeps the folder, which it makes, to this process for the length of a block.

    What a killed run was writing is removed. The lock goes with the process, however that ends.

    Raises:
      ValueError: another process has the folder, or it cannot be made.
    """
    with output_folder.locked(self.path, flag="--workdir", use="training in"):
      for folder in (self.path, self.checkpoints):
        for path in folder.glob(output_folder.ASIDE_GLOB):
          output_folder.remove(path)
      yield

  def log_sizes(self) -> dict[str, int]:
    """The length of each file that only grows, in bytes: what `rewind` takes.

    So much of them is on the disk afterwards, power cut or not.
    """
    sizes = {}
    for path in self._logs():
      with writing(path):
        _sync(path)
      sizes[path.relative_to(self.path).as_posix()] = path.stat().st_size
    return sizes

  def rewind(self, sizes: Mapping[str, int]) -> None:
    """Cuts the files that only grow back to what they were: a resumed run tells the rest again.

    Args:
      sizes: what `log_sizes` gave; files that are not in it are removed.
    """
    for path in self._logs():
      size = sizes.get(path.relative_to(self.path).as_posix())
      if size is None:
        path.unlink()
      elif size < path.stat().st_size:
        os.truncate(path, size)

  def _logs(self) -> list[pathlib.Path]:
    events = sorted(self.tensorboard.glob("events.out.tfevents.*"))
    return [path for path in (self.metrics, *events) if path.exists()]

  def add_metrics(self, values: dict[str, Any]) -> None:
    """Appends a line to `metrics`.

    Args:
      values: JSON scalars; `step` among them.
    """
    with writing(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
      file.write(json.dumps(values) + "\n")


def write_aside(path: pathlib.Path, content: bytes) -> None:
  """Writes a file under another name and renames it: under its own name it is whole or absent.

  That holds after a power cut, too.
  """
  aside = _aside(path)
  try:
    aside.write_bytes(content)
    _sync(aside)
    os.replace(aside, path)
  finally:
    aside.unlink(missing_ok=True)
  _sync(path.parent)


@contextlib.contextmanager
def folder_aside(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Has a folder written under another name, and renames it at the end of the block.

  Under its own name it is whole or absent, after a power cut, too. A folder that is there already
  is replaced.

  Args:
    path: the folder's own name.

  Yields:
    What the block shall make, and fill.
  """
  around = _aside(path)
  try:
    around.mkdir(parents=True)
    inside = around / path.name
    yield inside
    for written in (*inside.rglob("*"), inside):
      _sync(written)
    if path.exists():
      os.replace(path, around / "replaced")
    os.replace(inside, path)
  finally:
    output_folder.remove(around)
  _sync(path.parent)


def link_aside(path: pathlib.Path, target: str) -> None:
  """Makes a symbolic link, or makes one that is there point elsewhere, in one go."""
  if path.is_symlink() and os.readlink(path) == target:
    return
  aside = _aside(path)
  aside.symlink_to(target)
  os.replace(aside, path)


def remove_aside(path: pathlib.Path) -> None:
  """Removes a folder so that under its own name it is whole or absent."""
  aside = _aside(path)
  os.replace(path, aside)
  output_folder.remove(aside)


def _aside(path: pathlib.Path) -> pathlib.Path:
  return path.with_name(_ASIDE.format(name=path.name, pid=os.getpid()))


def _sync(path: pathlib.Path) -> None:
  """Waits until a file, or a folder's list of names, is on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
