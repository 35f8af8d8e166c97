"""Checkpoints that are whole or absent, are checked when read, and of which the best stays.

Each is a folder, `step-00000123`: TensorFlow's files of the state, and a manifest with their
checksums. `best` is a link to the one of the lowest held-out loss.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from sbae_tf import runtime
from sbae_tf.run_folder import folder_aside, link_aside, remove_aside, write_aside
from sbae_tf.writing import writing

STATE = "state"  # The prefix of TensorFlow's files.

_MANIFEST = "manifest.json"
_BEST = "best"
_STEPS = "step-*"
_CORRUPT = "corrupt-"
_BLOCK = 1 << 20  # Bytes that are summed at a time.


class CorruptError(ValueError):
  """A checkpoint is not what was written."""


@dataclasses.dataclass(frozen=True)
class Saved:
  """What a checkpoint tells beside the state.

  Attributes:
    step: how many steps were done.
    heldout: each branch's name and `total` to its held-out loss; empty where that was not looked
      at, or not yet.
    logs: what `RunFolder.log_sizes` gave.
  """

  step: int
  heldout: Mapping[str, float] = dataclasses.field(default_factory=dict)
  logs: Mapping[str, int] = dataclasses.field(default_factory=dict)


class Checkpoints:
  """The checkpoints of a run."""

  def __init__(self, folder: pathlib.Path, state: tf.train.Checkpoint, *, kept: int) -> None:
    """Writes and reads nothing yet.

    Args:
      folder: where they are, and go.
      state: what is saved and restored.
      kept: how many of the newest stay; the best one stays beside them.
    """
    self._folder = folder
    self._state = state
    self._kept = kept

  def save(self, saved: Saved) -> None:
    """Writes the state.

    Args:
      saved: the step that the state is of, and what belongs to it.

    Raises:
      WriteError: the disk is full, or the like. Earlier checkpoints stay, and nothing partial.
    """
    path = self._path(saved.step)
    with writing(path, tf.errors.OpError):
      with folder_aside(path) as aside:
        aside.mkdir()
        with runtime.quiet_logs():
          self._state.write(str(aside / STATE))
        files = {file.name: _describe(file) for file in sorted(aside.iterdir())}
        (aside / _MANIFEST).write_bytes(_manifest(saved, files))
      self._prune()

  def amend(self, saved: Saved) -> None:
    """Notes in a step's checkpoint what has become known of it since.

    Args:
      saved: what to tell beside the state, which stays.

    Raises:
      WriteError: as `save` does.
    """
    path = self._path(saved.step)
    with writing(path):
      write_aside(path / _MANIFEST, _manifest(saved, _read_manifest(path)["files"]))
      self._prune()

  def _path(self, step: int) -> pathlib.Path:
    return self._folder / f"step-{step:08d}"

  def _prune(self) -> None:
    paths = sorted(self._folder.glob(_STEPS))
    best = _best(paths)
    if best is not None:
      link_aside(self._folder / _BEST, best.name)
    for path in paths[: -self._kept]:
      if path != best:
        remove_aside(path)

  def restore(self) -> Saved | None:
    """Reads the newest checkpoint that is whole.

    Newer ones that are not are set aside as `corrupt-step-...`, with a warning that tells why.

    Returns:
      What it tells; None where there are no checkpoints.

    Raises:
      ValueError: no checkpoint is whole, or the newest that is does not fit the state.
    """
    corrupt: dict[pathlib.Path, CorruptError] = {}
    for path in sorted(self._folder.glob(_STEPS), reverse=True):
      try:
        saved = verify(path)
      except CorruptError as error:
        corrupt[path] = error
        continue
      self._read(path)
      self._set_aside(corrupt, instead=path)
      return saved
    if corrupt:
      reasons = "; ".join(f"{path.name}: {error}" for path, error in corrupt.items())
      raise ValueError(
        f"None of the checkpoints in {self._folder} is whole ({reasons}). Bring one back from a "
        "copy, or remove that folder to start anew."
      )
    return None

  def _read(self, path: pathlib.Path) -> None:
    versions = _read_manifest(path)["versions"]
    try:
      self._state.read(str(path / STATE)).assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
      raise ValueError(
        f"The checkpoint {path} does not fit the model: it was written by {_told(versions)}, and "
        f"this is {_told(_versions())}. Use that version, or another --workdir."
      ) from error
    if versions != _versions():
      logging.warning(
        "%s was written by %s; this is %s. The weights may come to differ in the last digits.",
        *(path, _told(versions), _told(_versions())),
      )

  def _set_aside(
    self, corrupt: Mapping[pathlib.Path, CorruptError], *, instead: pathlib.Path
  ) -> None:
    for path, error in corrupt.items():
      aside = path.with_name(_CORRUPT + path.name)
      logging.warning(
        "The checkpoint %s is corrupt (%s): using %s instead. It is kept as %s; remove that.",
        *(path, error, instead.name, aside.name),
      )
      if aside.exists():
        remove_aside(aside)
      path.rename(aside)


def verify(path: pathlib.Path) -> Saved:
  """Checks a checkpoint against its manifest, every byte of it.

  Args:
    path: its folder, such as `runs/mine/checkpoints/best`.

  Returns:
    What it tells beside the state.

  Raises:
    CorruptError: it is not what was written; says in what.
  """
  manifest = _read_manifest(path)
  for name, expected in manifest["files"].items():
    try:
      found = _describe(path / name)
    except OSError as error:
      raise CorruptError(f"cannot read {name}: {error.strerror}") from error
    for what in ("bytes", "sha256"):
      if found[what] != expected[what]:
        raise CorruptError(f"{name} has {what} {found[what]}, not {expected[what]}")
  return Saved(manifest["step"], manifest["heldout"], manifest["logs"])


def _manifest(saved: Saved, files: Mapping[str, Any]) -> bytes:
  content = {**dataclasses.asdict(saved), "versions": _versions(), "files": files}
  return json.dumps({**content, "sha256": _sum(content)}, indent=2).encode()


def _read_manifest(path: pathlib.Path) -> dict[str, Any]:
  """A manifest that is what was written."""
  try:
    content = json.loads((path / _MANIFEST).read_bytes())
    expected = content.pop("sha256")
  except OSError as error:
    raise CorruptError(f"cannot read {_MANIFEST}: {error.strerror}") from error
  except (ValueError, KeyError, AttributeError, TypeError) as error:
    raise CorruptError(f"{_MANIFEST} is not a manifest") from error
  if _sum(content) != expected:
    raise CorruptError(f"{_MANIFEST} does not have its checksum")
  return dict(content)


def _sum(content: Mapping[str, Any]) -> str:
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _describe(file: pathlib.Path) -> dict[str, Any]:
  digest = hashlib.sha256()
  with file.open("rb") as opened:
    while block := opened.read(_BLOCK):
      digest.update(block)
  return {"bytes": file.stat().st_size, "sha256": digest.hexdigest()}


def _best(paths: list[pathlib.Path]) -> pathlib.Path | None:
  """The checkpoint of the lowest held-out loss, the first of several; None where none has one."""
  losses = {}
  for path in paths:
    try:
      loss = _read_manifest(path)["heldout"].get("total", math.nan)
    except CorruptError:
      continue  # Older than the one that the run goes on from, or that would have been set aside.
    if math.isfinite(loss):
      losses[path] = loss
  return min(losses, key=lambda path: losses[path], default=None)


def _versions() -> dict[str, str]:
  package = sys.modules["sbae_tf"]  # Not imported: it imports what imports this.
  return {"sbae_tf": package.__version__, "tensorflow": tf.__version__}


def _told(versions: Mapping[str, str]) -> str:
  return " with ".join(f"{name} {version}" for name, version in versions.items())
