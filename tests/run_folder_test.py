"""Tests of a run's folder: what may start or go on there, and that nothing else is touched."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

import pytest

from sbae_tf import config_json, presets, run_folder
from sbae_tf.config import Component, DataConfig, PretrainConfig
from sbae_tf.run_folder import RunFolder

_CONFIG = PretrainConfig()


def _snapshot(folder: pathlib.Path) -> dict[str, bytes | None]:
  """Every path below a folder, with the content of the files."""
  return {
    str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
    for path in sorted(folder.rglob("*"))
  }


def _refused(folder: RunFolder, config: PretrainConfig, root: pathlib.Path) -> str:
  """The message of `check`, after looking that neither it nor `open` writes anything."""
  before = _snapshot(root)
  messages = []
  for call in (folder.check, folder.open):
    with pytest.raises(ValueError) as error:
      call(config)
    messages.append(str(error.value))
  assert messages[0] == messages[1]
  assert _snapshot(root) == before
  return messages[0]


def test_paths(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(str(tmp_path))
  assert folder.path == tmp_path
  names = ("config_file", "checkpoints", "tensorboard", "encoder", "panel", "metrics")
  assert [getattr(folder, name).name for name in names] == [
    "config.json",
    "checkpoints",
    "tensorboard",
    "encoder",
    "panel.png",
    "metrics.jsonl",
  ]
  assert all(getattr(folder, name).parent == tmp_path for name in names)


def test_check_of_a_new_folder_writes_nothing(tmp_path: pathlib.Path) -> None:
  RunFolder(tmp_path / "a" / "new").check(_CONFIG)
  RunFolder(tmp_path).check(_CONFIG)
  assert _snapshot(tmp_path) == {}


@pytest.mark.parametrize("name", presets.PRESETS)
def test_open_writes_the_configuration(name: str, tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path / "a" / "new")
  config = presets.preset(name)
  folder.open(config)
  assert config_json.from_json(json.loads(folder.config_file.read_text())) == config
  assert _snapshot(folder.path).keys() == {"config.json"}
  before = _snapshot(tmp_path)
  folder.check(config)
  folder.open(config)
  assert _snapshot(tmp_path) == before


def test_open_of_an_empty_folder(tmp_path: pathlib.Path) -> None:
  RunFolder(tmp_path).open(_CONFIG)
  assert _snapshot(tmp_path).keys() == {"config.json"}


def test_a_run_goes_on_beside_its_files(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path)
  folder.open(_CONFIG)
  folder.checkpoints.mkdir()
  folder.add_metrics({"step": 1})
  folder.check(_CONFIG)


@pytest.mark.parametrize("name", ["thesis.tex", ".hidden", "checkpoints"])
def test_a_folder_of_other_files_is_refused(name: str, tmp_path: pathlib.Path) -> None:
  work = tmp_path / "work"
  work.mkdir()
  if name == "checkpoints":
    (work / name).mkdir()
  else:
    (work / name).write_text("mine")
  message = _refused(RunFolder(work), _CONFIG, tmp_path)
  assert message == f"--workdir={work} holds other files and no run. Give a new or an empty folder."


def test_a_file_is_refused(tmp_path: pathlib.Path) -> None:
  (tmp_path / "file").write_text("mine")
  message = _refused(RunFolder(tmp_path / "file"), _CONFIG, tmp_path)
  assert message == f"--workdir={tmp_path / 'file'} is a file. Give a folder."


def test_a_folder_below_a_file_is_refused(tmp_path: pathlib.Path) -> None:
  (tmp_path / "file").write_text("mine")
  folder = RunFolder(tmp_path / "file" / "run")
  with pytest.raises(ValueError, match=f"^Cannot write to --workdir={folder.path}: Not a dir"):
    folder.open(_CONFIG)
  assert _snapshot(tmp_path) == {"file": b"mine"}


def test_another_configuration_shows_what_differs(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path / "work")
  folder.open(_CONFIG)
  other = PretrainConfig(
    learning_rate=0.5, backbone=Component("resnet18"), data=DataConfig(image_size=32)
  )
  message = _refused(folder, other, tmp_path)
  assert message == (
    f"The run in {folder.path} has another configuration: data.image_size: 32 (the run has 96), "
    "backbone: resnet18 (the run has simplenet), learning_rate: 0.5 (the run has 0.0001). "
    "Give another --workdir, or the run's own flags to resume it."
  )


def test_what_changes_no_weight_may_differ(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path)
  folder.open(_CONFIG)
  other = dataclasses.replace(_CONFIG, log_seconds=1.0, strategy="mirrored", profile=(2, 3))
  folder.check(other)
  folder.open(other)
  assert config_json.from_json(json.loads(folder.config_file.read_text())) == other


@pytest.mark.parametrize(
  "content",
  [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"model_type": "bert"}',
    b'{"epochs": "many"}',
    b'{"epochs": 0}',
    b'{"color": {"name": "lab", "options": 5}}',
    b"\xff\xfe",
  ],
)
def test_a_broken_configuration_is_refused(content: bytes, tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path)
  folder.config_file.write_bytes(content)
  message = _refused(folder, _CONFIG, tmp_path)
  assert message.startswith("Cannot read ")
  assert str(tmp_path) in message
  assert message.endswith("Give another --workdir.")


def test_a_folder_in_the_configuration_s_place_is_refused(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path)
  folder.config_file.mkdir()
  assert _refused(folder, _CONFIG, tmp_path).startswith("Cannot read ")


def _steps(folder: RunFolder) -> list[int]:
  return [json.loads(line)["step"] for line in folder.metrics.read_text().splitlines()]


def test_metrics_are_a_json_object_a_line(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path)
  rows: list[dict[str, Any]] = [
    {"step": 1, "loss/L->ab": 0.5},
    {"step": 2, "text": "two\nlines \u2028"},
  ]
  for row in rows:
    folder.add_metrics(row)
  assert [json.loads(line) for line in folder.metrics.read_text().splitlines()] == rows
  folder.keep_metrics_until(2)
  assert [json.loads(line) for line in folder.metrics.read_text().splitlines()] == rows


@pytest.mark.parametrize(
  ("step", "kept"), [(0, []), (1, [1, 1]), (2, [1, 1, 2]), (9, [1, 1, 2, 4])]
)
def test_metrics_are_kept_until_a_step(step: int, kept: list[int], tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path)
  for written in (1, 1, 2, 4):
    folder.add_metrics({"step": written})
  folder.keep_metrics_until(step)
  assert _steps(folder) == kept
  assert _snapshot(tmp_path).keys() == {"metrics.jsonl"}


@pytest.mark.parametrize("torn", ['{"step": 2, "lo', "{", '{"step": 2}', '{"step": 1}'])
def test_a_torn_last_line_is_dropped(torn: str, tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path)
  folder.add_metrics({"step": 1})
  with folder.metrics.open("a") as file:
    file.write(torn)
  folder.keep_metrics_until(5)
  folder.add_metrics({"step": 6})
  assert _steps(folder) == [1, 6]


def test_no_metrics_are_nothing_to_drop(tmp_path: pathlib.Path) -> None:
  RunFolder(tmp_path).keep_metrics_until(3)
  assert _snapshot(tmp_path) == {}


def test_write_aside_replaces_a_file(tmp_path: pathlib.Path) -> None:
  file = tmp_path / "panel.png"
  for content in (b"old and longer", b"new", b""):
    run_folder.write_aside(file, content)
    assert _snapshot(tmp_path) == {"panel.png": content}


def test_write_aside_never_shows_a_part(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  file = tmp_path / "panel.png"
  file.write_bytes(b"old")
  seen = []

  def replace(source: pathlib.Path, target: pathlib.Path) -> None:
    seen.append((pathlib.Path(source).read_bytes(), pathlib.Path(target).read_bytes()))
    raise OSError("power cut")

  monkeypatch.setattr(os, "replace", replace)
  with pytest.raises(OSError, match="power cut"):
    run_folder.write_aside(file, b"new")
  assert seen == [(b"new", b"old")]
  assert file.read_bytes() == b"old"
