"""The command line that fills the tables; and, slow, a tiny version of everything by real runs."""

from __future__ import annotations

import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from sbae_tf import flags as pretrain_flags
from tools import reproduce
from tools.benchmarks.contestant import ROOT
from tools.reproduction import cells, smoke
from tools.reproduction.methods import OURS, timed_name
from tools.reproduction.records import Records


@pytest.fixture(name="data")
def _data(tmp_path) -> pathlib.Path:
  """Both data sets, small: photographs of noise around a color for each class."""
  rng = np.random.default_rng(0)
  for dataset in cells.DATASETS:
    for part, count in (("train", 16), ("test", 6)):
      for label in range(4):
        folder = tmp_path / "data" / dataset / part / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(count):
          noise = rng.normal(0, 30, (40, 40, 3)) + rng.uniform(40, 200, 3) * (label + 1) / 4
          image = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
          image.save(folder / f"{number:02}.png")
  return tmp_path / "data"


def _main(tmp_path, *arguments: str) -> int:
  return reproduce.main([f"--out={tmp_path}/out", *arguments])


@pytest.mark.parametrize(
  ("arguments", "wrong"),
  [
    (["--tables=7"], "--tables"),
    (["--tables=one"], "--tables"),
    (["--seeds=0,0"], "--seeds"),
    (["--minutes=-1"], "--minutes"),
    (["--jobs=0"], "--jobs"),
    (["--protocol=no_such(k=1)"], "--protocol='no_such(k=1)'"),
    (["--protocol=held_out"], "--protocol='held_out'"),
    (["--protocol=few_shot(drawings=1)"], "drawings"),
    (["--protocol=few_shot(draws=many)"], "draws"),
    (["--denoising=blur:0.1"], "--denoising"),
    (["--change=*"], "--change"),
    (["--change=*: --no_such_flag=1"], "no_such_flag"),
    (["--change=*: --backbone.width=wide"], "width"),
    (["--only=nothing"], "--only=nothing"),
    (["--without=nothing"], "--without=nothing"),
    (["--nothing"], "--nothing"),
    (["--data=nowhere"], "nowhere/caltech101_96/train"),
  ],
)
def test_a_mistake_is_one_line(arguments, wrong, data, tmp_path, capsys):
  common = [f"--data={data}", f"--runs={tmp_path}/runs", "--dry_run"]
  assert _main(tmp_path, *common, *arguments) == 2
  error = capsys.readouterr().err
  assert error.startswith("reproduce: ") and wrong in error and error.count("\n") == 1
  assert not (tmp_path / "runs").exists()


def test_photographs_and_runs_are_wanted_but_for_a_report(tmp_path, capsys):
  assert _main(tmp_path) == 2
  assert "--data=FOLDER and --runs=FOLDER, or --report_only" in capsys.readouterr().err
  assert _main(tmp_path, "--report_only") == 0
  out = tmp_path / "out"
  assert {path.name for path in out.iterdir()} >= {"README.md", "table1.md", "cells.csv"}
  assert "--report_only`" in (out / "README.md").read_text()


def test_the_command_is_told_without_this_machines_folders():
  arguments = ["--data=/my/data", "--runs", "/my/runs", "--out=/my", "--change=a: --epochs=1"]
  assert reproduce._shown(arguments) == (
    "python -m tools.reproduce --data=DATA --runs=RUNS '--change=a: --epochs=1'"
  )


def test_a_damaged_file_is_told(tmp_path, capsys):
  (tmp_path / "out").mkdir()
  (tmp_path / "out" / "cells.jsonl").write_text("{\n")
  assert _main(tmp_path, "--report_only") == 2
  assert "line 1 of " in capsys.readouterr().err


def test_a_dry_run_lists_cells_and_changes_nothing(data, tmp_path, capsys):
  arguments = ("--tables=3", "--seeds=0,4", "--epochs=2", "--dry_run")
  arguments += ("--only=l_to_ab_kmeans,random",)
  arguments += ("--protocol=linear_probe(dimensions=500, layers='conv3,conv4')",)
  assert _main(tmp_path, f"--data={data}", f"--runs={tmp_path}/runs", *arguments) == 0
  lines = capsys.readouterr().out.splitlines()
  commands = [line.split()[1:] for line in lines if "sbae_tf.pretrain" in line]
  assert [pretrain_flags.parse(command[2:])[0].seed for command in commands] == [0, 0, 4, 4]
  assert "--epochs=2" in commands[0] and commands[0][2] == "--preset=l_to_ab"
  measured = [line for line in lines if "sbae_tf.evaluate" in line]
  probe = " --linear_probe.dimensions=500 --linear_probe.layers=conv3,conv4 "
  assert len(measured) == 4 and all(probe in line for line in measured)
  assert lines[-1].startswith("4 of 4 cells are to be done; about 0:")
  assert not (tmp_path / "runs").exists()
  assert not (tmp_path / "out").exists()


def test_the_tiny_version_takes_some_photographs_of_some_classes(data, tmp_path):
  places = smoke.subset(cells.Places.of(str(data), str(tmp_path / "runs")))
  for parts, count in ((places.train, 16), (places.test, 6)):
    lines = pathlib.Path(parts[cells.IMAGENETTE]).read_text().splitlines()
    assert len(lines) == 3 * count
    paths, classes = zip(*(line.split("\t") for line in lines))
    assert sorted(set(classes)) == ["class0", "class1", "class2"]
    assert all(pathlib.Path(path).is_file() for path in paths)


def _timed(name: str) -> tuple[str, str]:
  return timed_name(name, 0), timed_name(name, 0.02)


@pytest.mark.slow
def test_everything_by_real_runs(data, tmp_path):
  runs, out = tmp_path / "runs", tmp_path / "runs" / "results"
  command = [sys.executable, "-m", "tools.reproduce", f"--data={data}", f"--runs={runs}"]
  command += ["--smoke", "--jobs=2"]
  one = [*command, f"--only={cells.IMAGENETTE}/{OURS}"]
  # Stopped amid a run, and gone on with.
  process = subprocess.Popen(one, cwd=ROOT, stderr=subprocess.PIPE, text=True)
  log = runs / cells.IMAGENETTE / OURS / "seed0.log.txt"
  deadline = time.monotonic() + 600
  while not (log.exists() and "Training on" in log.read_text()) and time.monotonic() < deadline:
    time.sleep(0.05)
  process.send_signal(signal.SIGTERM)
  _, told = process.communicate(timeout=600)
  assert process.returncode == 143 and "The same command goes on." in told
  assert "Interrupted by SIGTERM" in log.read_text()
  subprocess.run(one, cwd=ROOT, check=True)
  records = Records(out)
  protocols = ("linear_probe", "finetune", "few_shot")
  assert [r.protocol_name for r in records.read()] == [*protocols]
  # What is there is not run again, and all the rest is.
  shutil.rmtree(runs / cells.IMAGENETTE)
  subprocess.run(command, cwd=ROOT, check=True)
  assert not (runs / cells.IMAGENETTE / OURS / "seed0").exists()
  found = {(r.dataset, r.method, r.protocol_name): r for r in records.read()}
  assert {name for _, name, _ in found} == {
    *("random", "l_to_ab", "simclr"),
    *(name for each in (OURS, "denoising_masking_10") for name in (each, *_timed(each))),
  }
  assert {dataset for dataset, _, _ in found} == set(cells.DATASETS)
  for (_, method, _), record in found.items():
    assert record.pretraining_seconds > record.training_seconds
    assert (record.steps == 0) == (method == "random" or record.minutes == 0)
    assert record.evaluation_seconds > 0
  assert len(list(runs.rglob("calibration.json"))) == 2
  assert not list(runs.rglob("features"))
  for number in (1, 2, 3, 4):
    assert f"](table{number}.png)" in (out / f"table{number}.md").read_text()
    assert (out / f"table{number}.png").is_file()
