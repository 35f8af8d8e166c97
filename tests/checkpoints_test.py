"""Checkpoints: whole or absent, verified, the newest and the best kept, corrupt ones set aside."""

from __future__ import annotations

import json
import math
import os
import pathlib
import resource
import shutil

import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from sbae_tf import checkpoints, run_folder
from sbae_tf.checkpoints import Checkpoints, CorruptError, Saved
from sbae_tf.failures import WriteError


class _State(tf.train.Checkpoint):
  """A vector that is a function of the step, and of which every bit is to come back."""

  def __init__(self, size: int = 1000) -> None:
    self.vector = tf.Variable(tf.zeros(size))
    super().__init__(vector=self.vector)

  def set(self, step: int) -> None:
    self.vector.assign(_vector(step, self.vector.shape[0]))


def _vector(step: int, size: int = 1000) -> np.ndarray:
  return np.random.default_rng(step).normal(size=size).astype(np.float32)


@pytest.fixture(name="warnings")
def _warnings(monkeypatch) -> list[str]:
  lines: list[str] = []
  monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append(text % values))
  return lines


def _save(folder: pathlib.Path, *steps: int, kept: int = 9, losses=()) -> Checkpoints:
  """Saves steps; `losses` has their held-out losses, where they have one."""
  state = _State()
  saver = Checkpoints(folder, state, kept=kept)
  for i, step in enumerate(steps):
    state.set(step)
    heldout = {"L->ab": 0.5, "total": losses[i]} if i < len(losses) and losses[i] else {}
    saver.save(Saved(step, heldout, {"metrics.jsonl": 10 * step}))
  return saver


def _restore(folder: pathlib.Path) -> Saved | None:
  """Restores, and checks that the state is that of the step."""
  state = _State()
  saved = Checkpoints(folder, state, kept=9).restore()
  if saved is not None:
    np.testing.assert_array_equal(state.vector.numpy(), _vector(saved.step))
  return saved


def _names(folder: pathlib.Path) -> list[str]:
  return sorted(os.listdir(folder))


def test_what_was_saved_comes_back(tmp_path):
  _save(tmp_path / "checkpoints", 3, 7, losses=(2.25, 1.75))
  assert _restore(tmp_path / "checkpoints") == Saved(
    7, {"L->ab": 0.5, "total": 1.75}, {"metrics.jsonl": 70}
  )
  names = _names(tmp_path / "checkpoints" / "step-00000007")
  assert names == ["manifest.json", "state.data-00000-of-00001", "state.index"]


def test_nothing_comes_from_nothing(tmp_path):
  assert _restore(tmp_path / "checkpoints") is None
  (tmp_path / "checkpoints").mkdir()
  assert _restore(tmp_path / "checkpoints") is None


def test_the_newest_and_the_best_stay(tmp_path):
  _save(tmp_path, 1, 2, 3, 4, 5, kept=2, losses=(3.0, 1.0, 2.0, 1.0, 4.0))
  assert _names(tmp_path) == ["best", "step-00000002", "step-00000004", "step-00000005"]
  assert checkpoints.verify(tmp_path / "best").step == 2  # The first of two that are as good.
  _save(tmp_path, 6, 7, kept=2, losses=(0.5,))
  assert _names(tmp_path) == ["best", "step-00000006", "step-00000007"]
  assert checkpoints.verify(tmp_path / "best").step == 6


@pytest.mark.parametrize("loss", [math.nan, math.inf, None])
def test_what_has_no_loss_is_not_the_best(loss, tmp_path):
  _save(tmp_path, 1, 2, kept=1, losses=(loss, loss))
  assert _names(tmp_path) == ["step-00000002"]
  _save(tmp_path, 3, 4, kept=1, losses=(8.0, loss))
  assert _names(tmp_path) == ["best", "step-00000003", "step-00000004"]


def test_steps_are_told_apart_as_numbers(tmp_path):
  _save(tmp_path, 9, 10, 99_999_999)
  assert _restore(tmp_path).step == 99_999_999


def test_a_step_that_is_there_only_learns_its_loss(tmp_path, monkeypatch):
  """What a run that was interrupted before the held-out loss does."""
  saver = _save(tmp_path, 3)
  monkeypatch.setattr(tf.train.Checkpoint, "write", None)  # Is not called.
  saver.amend(Saved(3, {"total": 2.0}, {"metrics.jsonl": 40}))
  assert _restore(tmp_path) == Saved(3, {"total": 2.0}, {"metrics.jsonl": 40})
  assert _names(tmp_path) == ["best", "step-00000003"]


def _flip_a_bit(file: pathlib.Path) -> None:
  content = bytearray(file.read_bytes())
  content[len(content) // 2] ^= 1
  file.write_bytes(content)


_DAMAGES = {
  "a bit of the data": lambda p: _flip_a_bit(p / "state.data-00000-of-00001"),
  "a bit of the index": lambda p: _flip_a_bit(p / "state.index"),
  "the data cut": lambda p: os.truncate(p / "state.data-00000-of-00001", 100),
  "the data empty": lambda p: os.truncate(p / "state.data-00000-of-00001", 0),
  "no data": lambda p: (p / "state.data-00000-of-00001").unlink(),
  "no index": lambda p: (p / "state.index").unlink(),
  "no manifest": lambda p: (p / "manifest.json").unlink(),
  "the manifest empty": lambda p: os.truncate(p / "manifest.json", 0),
  "a manifest of zeros": lambda p: (p / "manifest.json").write_bytes(bytes(500)),
  "a manifest of something else": lambda p: (p / "manifest.json").write_bytes(b"[1]"),
  "another step in the manifest": lambda p: (p / "manifest.json").write_text(
    (p / "manifest.json").read_text().replace('"step": 7', '"step": 8')
  ),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_corrupt_one_is_set_aside_and_named(damage, tmp_path, warnings):
  _save(tmp_path, 3, 5, 7)
  _DAMAGES[damage](tmp_path / "step-00000007")
  with pytest.raises(CorruptError):
    checkpoints.verify(tmp_path / "step-00000007")
  assert _restore(tmp_path).step == 5
  (line,) = warnings
  assert f"The checkpoint {tmp_path / 'step-00000007'} is corrupt (" in line
  assert "using step-00000005 instead. It is kept as corrupt-step-00000007" in line
  assert _names(tmp_path) == ["corrupt-step-00000007", "step-00000003", "step-00000005"]
  # The step can be saved again, and be corrupt again.
  _save(tmp_path, 7)
  _DAMAGES[damage](tmp_path / "step-00000007")
  assert _restore(tmp_path).step == 5
  assert _names(tmp_path) == ["corrupt-step-00000007", "step-00000003", "step-00000005"]


def test_the_reason_is_told(tmp_path):
  _save(tmp_path, 7)
  os.truncate(tmp_path / "step-00000007" / "state.index", 100)
  with pytest.raises(CorruptError, match=r"^state.index has bytes 100, not \d+$"):
    checkpoints.verify(tmp_path / "step-00000007")


def test_several_corrupt_ones(tmp_path, warnings):
  _save(tmp_path, 3, 5, 7, kept=1, losses=(1.0, 2.0, 2.0))
  _save(tmp_path, 8, 9)
  for step in (7, 8, 9):
    _DAMAGES["a bit of the data"](tmp_path / f"step-{step:08d}")
  assert _restore(tmp_path).step == 3  # Which stayed as the best one.
  assert len(warnings) == 3


def test_none_is_whole(tmp_path, warnings):
  _save(tmp_path, 3, 5)
  before = _names(tmp_path)
  for step in (3, 5):
    _DAMAGES["no index"](tmp_path / f"step-{step:08d}")
  with pytest.raises(ValueError, match="None of the checkpoints in .* is whole .*step-00000005.*3"):
    _restore(tmp_path)
  assert _names(tmp_path) == before and not warnings


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
  _save(tmp_path, 3)
  for other in (_State(size=8), tf.train.Checkpoint(another=tf.Variable(1.0))):
    with pytest.raises(ValueError, match="step-00000003 does not fit the model: .* sbae_tf 0"):
      Checkpoints(tmp_path, other, kept=1).restore()
  assert _names(tmp_path) == ["step-00000003"]


def test_another_version_is_told(tmp_path, warnings, monkeypatch):
  _save(tmp_path, 3)
  monkeypatch.setattr(tf, "__version__", "3.1.4")
  assert _restore(tmp_path).step == 3
  (line,) = warnings
  assert "this is sbae_tf 0.1.0 with tensorflow 3.1.4" in line and "last digits" in line


@pytest.mark.parametrize("error", [tf.errors.ResourceExhaustedError, OSError])
def test_a_full_disk_leaves_the_earlier_ones(error, tmp_path, monkeypatch):
  _save(tmp_path, 3)
  why = "No space left on device"
  write = tf.train.Checkpoint.write

  def write_partly(self, prefix, *arguments):
    write(self, prefix, *arguments)
    raise OSError(28, why) if error is OSError else error(None, None, f"{prefix}; {why} [Op:S]")

  monkeypatch.setattr(tf.train.Checkpoint, "write", write_partly)
  with pytest.raises(WriteError, match=f"Cannot write {tmp_path}/step-00000007: {why}. Make room"):
    _save(tmp_path, 7)
  assert _names(tmp_path) == ["step-00000003"]
  assert _restore(tmp_path).step == 3


def test_a_file_that_may_not_grow(tmp_path):
  """A real refusal of the system, in the middle of TensorFlow's own writing."""
  _save(tmp_path, 3)
  state = _State(size=1_000_000)
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
  try:
    with pytest.raises(WriteError, match="step-00000007: File too large. Make room"):
      Checkpoints(tmp_path, state, kept=9).save(Saved(7))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert _names(tmp_path) == ["step-00000003"]


@pytest.mark.parametrize("kill_at", range(6))
def test_killed_at_any_rename_the_newest_whole_one_is_there(kill_at, tmp_path, monkeypatch):
  """Everything stays as it is at one of the renames and removals; the next start goes on."""
  folder = run_folder.RunFolder(tmp_path)
  _save(folder.checkpoints, 1, 2, 3, kept=2, losses=(3.0, 2.0, 4.0))
  calls = []

  class Killed(BaseException):
    pass

  def counted(function):
    def call(*arguments, **options):
      if len(calls) >= kill_at:
        raise Killed
      calls.append(function)
      return function(*arguments, **options)

    return call

  with monkeypatch.context() as patch:
    for module, name in ((os, "replace"), (shutil, "rmtree"), (os, "fsync")):
      patch.setattr(module, name, counted(getattr(module, name)))
    with pytest.raises(Killed):
      _save(folder.checkpoints, 4, kept=2, losses=(1.0,))
  with folder.locked():
    assert _restore(folder.checkpoints).step in (3, 4)
    assert all(checkpoints.verify(p) for p in folder.checkpoints.glob("step-*"))
    _save(folder.checkpoints, 5, kept=2, losses=(5.0,))
  assert _restore(folder.checkpoints).step == 5
  assert not list(folder.checkpoints.glob(".*"))
  assert checkpoints.verify(folder.checkpoints / "best").step in (2, 4)


def test_the_manifest_is_readable(tmp_path):
  _save(tmp_path, 3, losses=(1.5,))
  manifest = json.loads((tmp_path / "best" / "manifest.json").read_text())
  assert manifest["step"] == 3 and manifest["heldout"]["total"] == 1.5
  assert manifest["versions"]["tensorflow"] == tf.__version__
  assert {*manifest["files"]} == {"state.data-00000-of-00001", "state.index"}
