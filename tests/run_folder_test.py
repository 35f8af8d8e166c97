"""Tests of a run's folder: what may start or go on there, and that nothing else is touched."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest

from sbae_tf import config_json, presets, run_folder
from sbae_tf.config import Component, DataConfig, PretrainConfig
from sbae_tf.run_folder import RunFolder

_CONFIG = PretrainConfig()
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(pathlib.Path(run_folder.__file__).parents[1])}


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


def test_a_copy_of_what_losses_depend_on_is_kept(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path / "run")
  files = {"branch_0_prior.json": b"{}"}
  folder.check_files(files)
  assert _snapshot(tmp_path) == {}
  folder.open(_CONFIG)
  for _ in range(2):
    folder.keep(files)
    assert (folder.path / "branch_0_prior.json").read_bytes() == b"{}"
  before = _snapshot(tmp_path)
  for refused in (folder.check_files, folder.keep):
    with pytest.raises(ValueError, match=r"began with another file.*branch_0_prior.json is its"):
      refused({"branch_0_prior.json": b"another"})
  assert _snapshot(tmp_path) == before
  folder.check(_CONFIG)


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


def test_a_run_killed_before_its_configuration_was_there_goes_on(tmp_path: pathlib.Path) -> None:
  (tmp_path / ".config.json.123.aside").write_text('{"epo')
  folder = RunFolder(tmp_path)
  folder.check(_CONFIG)
  with folder.locked():
    folder.open(_CONFIG)
  assert _snapshot(tmp_path).keys() == {"config.json"}


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
    b'{"epochs": -1}',
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


def test_metrics_are_a_json_object_a_line(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path)
  rows: list[dict[str, Any]] = [
    {"step": 1, "loss/L->ab": 0.5},
    {"step": 2, "text": "two\nlines \u2028"},
  ]
  for row in rows:
    folder.add_metrics(row)
  assert [json.loads(line) for line in folder.metrics.read_text().splitlines()] == rows


def test_what_only_grows_is_cut_back(tmp_path: pathlib.Path) -> None:
  """The metrics, TensorBoard's files, and nothing else."""
  folder = RunFolder(tmp_path)
  folder.tensorboard.mkdir()
  old, new = (folder.tensorboard / f"events.out.tfevents.{i}.host" for i in (1, 2))
  (folder.tensorboard / "plugins").mkdir()
  folder.panel.write_bytes(b"a picture")
  folder.add_metrics({"step": 1})
  old.write_bytes(b"events")
  then = _snapshot(tmp_path)
  sizes = folder.log_sizes()
  assert sizes == {"metrics.jsonl": 12, "tensorboard/events.out.tfevents.1.host": 6}
  folder.add_metrics({"step": 2})
  with folder.metrics.open("a") as file:
    file.write('{"st')  # Killed within a line.
  old.write_bytes(b"events and others")
  new.write_bytes(b"of a later process")
  folder.rewind(sizes)
  assert _snapshot(tmp_path) == then
  folder.rewind(sizes)
  assert _snapshot(tmp_path) == then
  folder.rewind({})
  assert _snapshot(tmp_path) == {"panel.png": b"a picture", "tensorboard": None} | {
    "tensorboard/plugins": None
  }


def test_what_is_shorter_than_it_was_is_left(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path)
  folder.rewind({"metrics.jsonl": 12})
  assert _snapshot(tmp_path) == {}
  folder.add_metrics({"step": 1})
  folder.rewind({"metrics.jsonl": 1000})
  assert _snapshot(tmp_path) == {"metrics.jsonl": b'{"step": 1}\n'}


def test_one_process_at_a_time(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path / "run")
  for _ in range(2):  # Free again afterwards.
    with folder.locked():
      before = _snapshot(tmp_path)
      with (
        pytest.raises(ValueError, match=f"^Another process is training in --workdir={folder.path}"),
        RunFolder(folder.path).locked(),
      ):
        pass
      assert _snapshot(tmp_path) == before


def test_the_lock_of_a_dead_process_is_gone(tmp_path: pathlib.Path) -> None:
  code = """
import os, sys
from sbae_tf.run_folder import RunFolder
with RunFolder(sys.argv[1]).locked():
  os._exit(7)
"""
  process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=_ENVIRONMENT)
  assert process.returncode == 7
  with RunFolder(tmp_path).locked():
    pass


def test_what_killed_runs_left_unfinished_is_removed(tmp_path: pathlib.Path) -> None:
  folder = RunFolder(tmp_path)
  folder.open(_CONFIG)
  folder.checkpoints.mkdir()
  (folder.checkpoints / "step-00000003").mkdir()
  whole = _snapshot(tmp_path)
  (tmp_path / ".panel.png.123.aside").write_bytes(b"half")
  (tmp_path / ".encoder.123.aside" / "encoder").mkdir(parents=True)
  (folder.checkpoints / ".step-00000004.123.aside").mkdir()
  (folder.checkpoints / ".step-00000004.123.aside" / "state.index").write_bytes(b"half")
  (folder.checkpoints / ".best.123.aside").symlink_to("step-00000003")
  with folder.locked():
    assert _snapshot(tmp_path) == whole
  assert (folder.checkpoints / "step-00000003").is_dir()


def test_write_aside_replaces_a_file(tmp_path: pathlib.Path) -> None:
  file = tmp_path / "panel.png"
  for content in (b"old and longer", b"new", b""):
    run_folder.write_aside(file, content)
    assert _snapshot(tmp_path) == {"panel.png": content}


class _Disk:
  """Records what reaches the disk, and in which order; ends with an error at a rename."""

  def __init__(self, monkeypatch: pytest.MonkeyPatch, root: pathlib.Path) -> None:
    self.events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
      path = pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}"))
      self.events.append(f"sync {path.name if path != root else '.'}")
      fsync(descriptor)

    def record_replace(source: pathlib.Path, target: pathlib.Path) -> None:
      self.events.append(f"rename {target.name}")
      replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)


def test_a_file_is_on_the_disk_before_it_has_its_name(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  disk = _Disk(monkeypatch, tmp_path)
  run_folder.write_aside(tmp_path / "panel.png", b"content")
  assert disk.events == [f"sync .panel.png.{os.getpid()}.aside", "rename panel.png", "sync ."]


def test_a_folder_is_on_the_disk_before_it_has_its_name(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  disk = _Disk(monkeypatch, tmp_path)
  with run_folder.folder_aside(tmp_path / "encoder") as aside:
    (aside / "variables").mkdir(parents=True)
    (aside / "variables" / "index").write_bytes(b"content")
    assert not (tmp_path / "encoder").exists()
  assert set(disk.events[:3]) == {"sync encoder", "sync variables", "sync index"}
  assert disk.events[3:] == ["rename encoder", "sync ."]
  assert _snapshot(tmp_path) == {
    "encoder": None,
    "encoder/variables": None,
    "encoder/variables/index": b"content",
  }


def test_a_folder_is_replaced_as_a_whole_or_not(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "encoder"
  for content in (b"old", b"new"):
    with run_folder.folder_aside(path) as aside:
      aside.mkdir()
      (aside / content.decode()).write_bytes(content)
  assert _snapshot(tmp_path) == {"encoder": None, "encoder/new": b"new"}
  with pytest.raises(KeyboardInterrupt), run_folder.folder_aside(path) as aside:
    aside.mkdir()
    (aside / "half").write_bytes(b"half")
    raise KeyboardInterrupt
  assert _snapshot(tmp_path) == {"encoder": None, "encoder/new": b"new"}


def test_remove_aside_leaves_no_part_under_the_name(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  path = tmp_path / "step"
  path.mkdir()
  seen = []
  remove = shutil.rmtree

  def rmtree(removed: pathlib.Path, **options: Any) -> None:
    seen.append(path.exists())
    remove(removed, **options)

  monkeypatch.setattr(shutil, "rmtree", rmtree)
  run_folder.remove_aside(path)
  assert seen == [False]
  assert _snapshot(tmp_path) == {}


def test_link_aside(tmp_path: pathlib.Path) -> None:
  link = tmp_path / "best"
  for target in ("a", "b", "b"):
    run_folder.link_aside(link, target)
    assert os.readlink(link) == target
  assert os.listdir(tmp_path) == ["best"]


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
