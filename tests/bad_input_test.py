"""Tests of the command line as a user meets it: a mistake is one line, and nothing is written."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

import sbae_tf
from sbae_tf import config_json
from sbae_tf.config import PretrainConfig

_ROOT = pathlib.Path(sbae_tf.__file__).parent.parent

Tree = dict[str, tuple[int, bytes]]


def _snapshot(folder: pathlib.Path) -> Tree:
  """Every path below a folder, with the time of its last change and the content of files."""
  return {
    str(path.relative_to(folder)): (
      path.stat().st_mtime_ns,
      path.read_bytes() if path.is_file() else b"",
    )
    for path in sorted(folder.rglob("*"))
  }


@pytest.fixture
def refused(tmp_path: pathlib.Path) -> Callable[..., str]:
  """Runs the command line in `tmp_path` and gives the one line that it says."""

  def run(*arguments: str) -> str:
    before = _snapshot(tmp_path)
    done = subprocess.run(
      [sys.executable, "-m", "sbae_tf.pretrain", *arguments],
      cwd=tmp_path,
      env={**os.environ, "PYTHONPATH": str(_ROOT)},
      capture_output=True,
      text=True,
      timeout=120,
      check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert done.stderr.endswith("\n")
    assert _snapshot(tmp_path) == before
    assert lines[0].startswith("pretrain: ")
    return lines[0]

  return run


@pytest.fixture
def photographs(tmp_path: pathlib.Path) -> pathlib.Path:
  """A folder of five files that look like photographs by their names."""
  folder = tmp_path / "photographs"
  folder.mkdir()
  for index in range(5):
    (folder / f"{index}.jpg").write_bytes(b"not decoded")
  return folder


# Said before TensorFlow starts.


@pytest.mark.parametrize(
  ("arguments", "named"),
  [
    (
      "--preset=nonesuch",
      "Unknown preset 'nonesuch'. Known: split_brain_96_kmeans",
    ),
    ("--epoch=3", "'epoch'"),
    ("--backbone.name=nonesuch", "Unknown backbone 'nonesuch'. Known: alexnet"),
    ("--optimizer.momentum=0.5", "Unknown option 'momentum' of optimizer 'adam'"),
    ("--image_size=100", "`image_size` to be a multiple of 8"),
    ("--batch_size=0", "`batch_size`"),
    ("--learning_rate=-1", "`learning_rate`"),
    ("--config=nonesuch.json", "--config=nonesuch.json"),
    ("photographs", "photographs"),
    ("--branches=L->depth", "'depth'"),
  ],
)
def test_bad_flags(arguments: str, named: str, refused: Callable[..., str]) -> None:
  assert named in refused(*arguments.split())  # Nor does it make its own folder, `runs`.


def test_workdir_of_another_configuration(
  tmp_path: pathlib.Path, refused: Callable[..., str]
) -> None:
  run = tmp_path / "run"
  (run / "checkpoints").mkdir(parents=True)
  (run / "checkpoints" / "checkpoint").write_text("theirs")
  (run / "config.json").write_text(config_json.dumps(PretrainConfig(epochs=3, seed=7)))
  line = refused("--workdir=run", "--seed=7", "--preset=simplenet_lab")
  assert "The run in run has another configuration: epochs: 12 (the run has 3). " in line
  assert "seed" not in line


def test_workdir_that_is_a_file(tmp_path: pathlib.Path, refused: Callable[..., str]) -> None:
  (tmp_path / "run").write_text("mine")
  assert "--workdir=run is a file" in refused("--workdir=run")


def test_workdir_of_other_files(tmp_path: pathlib.Path, refused: Callable[..., str]) -> None:
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "thesis.tex").write_text("mine")
  assert "--workdir=run holds other files" in refused("--workdir=run")


def test_workdir_of_a_broken_run(tmp_path: pathlib.Path, refused: Callable[..., str]) -> None:
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "config.json").write_text('{"epochs": ')
  line = refused("--workdir=run")
  assert line.startswith("pretrain: Cannot read ") and "run" in line


# Said by TensorFlow's side, which takes seconds to start.


def test_data_that_does_not_exist(refused: Callable[..., str]) -> None:
  assert "nonesuch" in refused("--data=nonesuch", "--workdir=run")


def test_data_of_an_empty_folder(tmp_path: pathlib.Path, refused: Callable[..., str]) -> None:
  (tmp_path / "empty").mkdir()
  assert "empty" in refused("--data=empty", "--workdir=run")


def test_data_without_photographs(tmp_path: pathlib.Path, refused: Callable[..., str]) -> None:
  (tmp_path / "texts").mkdir()
  (tmp_path / "texts" / "thesis.tex").write_text("mine")
  line = refused("--data=texts")
  assert "No images in texts" in line and ".jpg" in line


def test_data_that_nothing_matches(photographs: pathlib.Path, refused: Callable[..., str]) -> None:
  assert "photographs/*.png" in refused("--data=photographs/*.png", "--workdir=run")


def test_fewer_photographs_than_a_batch(
  photographs: pathlib.Path, refused: Callable[..., str]
) -> None:
  line = refused("--data=photographs", "--batch_size=6", "--workdir=run")
  assert "batch of 6" in line and "--batch_size" in line


def test_an_option_out_of_range(photographs: pathlib.Path, refused: Callable[..., str]) -> None:
  line = refused("--data=photographs", "--batch_size=2", "--backbone.width=-1", "--workdir=run")
  assert "backbone 'simplenet'" in line and "`width`" in line


def test_a_seed_that_numpy_does_not_take(
  photographs: pathlib.Path, refused: Callable[..., str]
) -> None:
  line = refused("--data=photographs", "--batch_size=2", f"--seed={2**32}", "--workdir=run")
  assert "`seed`" in line and str(2**32) in line
