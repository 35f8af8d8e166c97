"""Folders that a command writes to: one process, one kind of thing, the same settings."""

from __future__ import annotations

import errno
import pathlib

import pytest

from sbae_tf import output_folder
from sbae_tf.output_folder import FolderError


def _locked(path: pathlib.Path):
  return output_folder.locked_output(path, marker="list.json", holds="things")


def _enter(path: pathlib.Path) -> None:
  with _locked(path):
    pass


def test_only_one_process_and_only_its_own_kind(tmp_path):
  out = tmp_path / "new" / "out"
  with (
    _locked(out),
    pytest.raises(FolderError, match=f"^Another process is writing to --out={out}"),
  ):
    _enter(out)
  (out / ".x.1.aside").write_bytes(b"half")
  (out / ".y.1.aside").mkdir()
  _enter(out)
  assert not list(out.iterdir())
  (out / "thesis.tex").write_text("mine")
  with pytest.raises(
    FolderError, match=f"^--out={out} holds other files and no things. Give a new"
  ):
    _enter(out)
  (out / "list.json").write_text("{}")
  _enter(out)
  with pytest.raises(FolderError, match="^Cannot write to --out=.*: File exists"):
    _enter(out / "thesis.tex")


def test_a_file_system_without_locks_does(tmp_path, monkeypatch):
  def flock(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(output_folder.fcntl, "flock", flock)
  with _locked(tmp_path / "out"):
    pass


def test_differences(tmp_path):
  there = {"seed": 0, "names_sha256": "a", "features": {"a": (3,)}, "same": 1, "old": 1}
  here = {"seed": 1, "names_sha256": "b", "features": {"a": (3,), "b": ()}, "same": 1, "new": 2}
  lines = output_folder.differences(there, here)
  assert lines == [
    "seed is 0 there and 1 here",
    "names differs",
    "features is a there and a, b here",
    "new is None there and 2 here",
    "old is 1 there and None here",
  ]
  output_folder.check_same(tmp_path, [], holds="things")
  with pytest.raises(FolderError, match="holds things made otherwise: seed is 0 there"):
    output_folder.check_same(tmp_path, lines, holds="things")
