"""Filling cells by processes that only pretend: what is run, what is not, and what is left."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil

import pytest

from tools.reproduction import filling, processes
from tools.reproduction.cells import HELD_OUT, IMAGENETTE, RGBD, Cell, Places
from tools.reproduction.records import Records


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
  monkeypatch.setattr(processes, "_POLL_SECONDS", 0.001)


@pytest.fixture(name="bench")
def _bench(tmp_path, pretender, monkeypatch):
  """Fills cells of `tmp_path`; gives how many failed."""
  places = Places.of(str(tmp_path / "data"), str(tmp_path / "runs"))
  records = Records(tmp_path / "out")

  def fill(wanted, *, again=False, jobs=1):
    todo = filling.missing(wanted, [] if again else records.read())
    return filling.fill(
      *(todo, len(wanted), records, places),
      jobs=jobs,
      calibration_steps=200,
      again=again,
      received=lambda: None,
      launch=pretender,
    )

  fill.records, fill.runs = records, tmp_path / "runs"
  return fill


def _programs(pretender) -> list[str]:
  found = []
  for arguments in pretender.launched:
    flags = dict(a.split("=", 1) for a in arguments if a.startswith("--") and "=" in a)
    found.append(flags.get("--protocol") or f"pretrain {flags.get('--steps', '')}".strip())
  pretender.launched.clear()
  return found


def test_a_cell_is_pretrained_measured_and_written_down(bench, methods, pretender):
  cell = Cell(methods.ours, IMAGENETTE, 3, ("linear_probe", "few_shot"))
  assert bench([cell]) == 0
  assert _programs(pretender) == ["pretrain", "linear_probe", "few_shot"]
  first, second = bench.records.read()
  assert (first.method, first.seed) == (methods.ours.name, 3)
  assert first.protocol == "linear_probe(layers='', dimensions=9000)"
  assert first.values["top1"] == 0.53 and second.values["frozen"]["16"]["mean"] == 0.36
  assert first.steps == 240 and first.training_seconds == pytest.approx(120.0)
  assert 0 <= first.pretraining_seconds < 60 and first.commands[0].endswith(
    f"--data=DATA/imagenette96/train --seed=3 --workdir=RUNS/imagenette96/{methods.ours.name}/seed3"
  )
  folder = bench.runs / cell.name
  assert (folder / "encoder").is_dir() and not (folder / "features").exists()
  assert folder.with_name("seed3.log.txt").parent.is_dir()


def test_held_out_losses_are_the_pretrainings_own(bench, methods, pretender):
  cells = [Cell(m, RGBD, 0, (HELD_OUT,)) for m in (methods.depth, methods.depth_random)]
  assert bench(cells) == 0
  assert _programs(pretender) == ["pretrain 120", "pretrain"]
  trained, random = bench.records.read()
  assert trained.values == random.values == {"total": 2.5}
  assert (trained.steps, random.steps) == (120, 0)
  assert trained.commands[0].endswith(
    "--data=DATA/rgbd/rgb --seed=0 --workdir=RUNS/rgbd/rgbd_96/seed0"
  )
  assert trained.commands[1] == "" and trained.evaluation_seconds == 0
  assert bench(cells) == 0 and _programs(pretender) == []


def test_what_is_there_is_not_run_again(bench, methods, pretender):
  cell = Cell(methods.ours, IMAGENETTE, 0, ("linear_probe",))
  assert bench([cell]) == 0
  _programs(pretender)
  shutil.rmtree(bench.runs)
  assert bench([cell]) == 0 and _programs(pretender) == []
  more = Cell(methods.ours, IMAGENETTE, 0, ("linear_probe", "finetune"))
  assert bench([more]) == 0 and _programs(pretender) == ["pretrain", "finetune"]
  assert bench([more], again=True) == 0
  assert _programs(pretender) == ["linear_probe", "finetune"]
  assert len(bench.records.read()) == 2


def test_a_protocol_by_other_defaults_is_measured_anew(bench, methods, pretender):
  cell = Cell(methods.ours, IMAGENETTE, 0, ("linear_probe",))
  assert bench([cell]) == 0
  _programs(pretender)
  told = dataclasses.replace(cell, protocols=("linear_probe(dimensions=9000)",))
  assert bench([told]) == 0 and _programs(pretender) == []
  file = bench.records.file
  file.write_text(file.read_text().replace("dimensions=9000", "dimensions=4000"))
  assert bench([cell]) == 0 and _programs(pretender) == ["linear_probe"]


def test_a_changed_recipe_is_measured_anew_and_not_in_an_old_run(bench, methods, pretender):
  cell = Cell(methods.ours, IMAGENETTE, 0, ("linear_probe",))
  assert bench([cell]) == 0
  changed = Cell(methods.ours.with_flags(["--epochs=3"]), IMAGENETTE, 0, ("linear_probe",))
  _programs(pretender)
  assert bench([changed]) == 1  # The run's folder is of another configuration.
  assert _programs(pretender) == []
  shutil.rmtree(bench.runs)
  assert bench([changed]) == 0 and len(bench.records.read()) == 2


def test_a_preset_that_changes_meanwhile_is_told(bench, methods, pretender, monkeypatch, capsys):
  pretend = pretender._pretrain
  monkeypatch.setattr(
    pretender,
    "_pretrain",
    lambda config, workdir: pretend(dataclasses.replace(config, learning_rate=0.5), workdir),
  )
  assert bench([Cell(methods.ours, IMAGENETTE, 0, ("linear_probe",))]) == 1
  assert "learning_rate" in capsys.readouterr().err and bench.records.read() == []


def test_a_failure_is_told_and_the_others_go_on(bench, methods, pretender, capsys):
  wanted = [
    Cell(methods.ours, IMAGENETTE, 0, ("linear_probe", "finetune")),
    Cell(methods.random, IMAGENETTE, 0, ("linear_probe",)),
  ]
  pretender.failing = "linear_probe"
  assert bench(wanted) == 2
  told = capsys.readouterr().err
  assert "linear_probe ended with exit status 1" in told and "    it went wrong" in told
  assert [each.protocol_name for each in bench.records.read()] == ["finetune"]
  pretender.failing = None
  _programs(pretender)
  assert bench(wanted) == 0
  assert _programs(pretender) == ["linear_probe", "linear_probe"]
  pretender.failing = "sbae_tf.pretrain"
  assert bench([Cell(methods.ours, IMAGENETTE, 1, ("linear_probe",))]) == 1
  assert "pretraining ended with exit status 1" in capsys.readouterr().err


def test_steps_are_fitted_to_the_minutes_once_a_method(bench, methods, pretender):
  wanted = [
    Cell(methods.ours.timed(minutes), IMAGENETTE, seed, ("linear_probe",))
    for seed in (0, 1)
    for minutes in (1.0, 3.0)
  ]
  assert bench(wanted, jobs=4) == 0
  runs = [name for name in _programs(pretender) if name.startswith("pretrain")]
  assert runs == ["pretrain 200", *["pretrain 120", "pretrain 360"] * 2]  # Of 0.5 s each.
  first, *_ = bench.records.read()
  assert first.steps == 120 and "--steps=120" in first.commands[0]
  assert "--epochs" not in first.commands[0]
  folder = bench.runs / IMAGENETTE / methods.ours.name
  known = json.loads((folder / "calibration.json").read_text())
  assert known["step_seconds"] == pytest.approx(0.5)
  assert not (folder / "calibration").exists()


def test_another_machine_is_measured_anew(bench, methods, pretender, monkeypatch):
  cell = Cell(methods.ours.timed(1.0), IMAGENETTE, 0, ("linear_probe",))
  assert bench([cell]) == 0
  _programs(pretender)
  monkeypatch.setattr(filling.work.hardware, "hardware", lambda: "a GPU")
  pretender.step_seconds = 0.1
  shutil.rmtree(bench.runs / cell.name)
  assert bench([cell]) == 0
  assert _programs(pretender) == ["pretrain 200", "pretrain 600", "linear_probe"]
  assert [each.steps for each in bench.records.read()] == [120, 600]


def test_the_time_of_all_lives_counts(bench, methods, pretender):
  cell = Cell(methods.ours, IMAGENETTE, 0, ("linear_probe",))
  folder = bench.runs / cell.name
  folder.parent.mkdir(parents=True)
  log = folder.with_name("seed0.log.txt")
  log.write_text("")
  # A life of 100 s; and one that was killed with its parent, of which the log is the last sign.
  times = {"pretraining": [[1000.0, 1100.0], [log.stat().st_mtime - 50.0]]}
  folder.with_name("seed0.times.json").write_text(json.dumps(times))
  assert bench([cell]) == 0
  (found,) = bench.records.read()
  assert found.pretraining_seconds == pytest.approx(150.0, abs=5.0)


def test_the_plan_lists_commands_and_times(bench, methods, tmp_path):
  for part in ("train", "test"):
    folder = tmp_path / "data" / IMAGENETTE / part / "a"
    folder.mkdir(parents=True)
    for number in range(10):
      (folder / f"{number}.jpg").write_bytes(b"")
  places = Places.of(str(tmp_path / "data"), str(bench.runs))
  wanted = [
    Cell(methods.ours, IMAGENETTE, 0, ("linear_probe",)),
    Cell(methods.simclr.timed(3.0), IMAGENETTE, 0, ("few_shot(finetune=False)",)),
  ]
  text = filling.plan(filling.missing(wanted, []), 5, bench.records, places)
  assert f"{IMAGENETTE}/{methods.ours.name}/seed0: linear_probe; about 0:00:4" in text
  assert "python -m sbae_tf.pretrain --preset=" in text and str(tmp_path) not in text
  assert "# and --steps: as many as 3 min are" in text
  assert "2 of 5 cells are to be done; about 0:0" in text
  # What was measured here tells better.
  assert bench(wanted[:1]) == 0
  record = bench.records.read()[0]
  seconds = filling.estimates.seconds(wanted[0], ("linear_probe",), [record], places)
  assert seconds == pytest.approx(record.evaluation_seconds)  # It is pretrained already.
  shutil.rmtree(pathlib.Path(wanted[0].folder(places)))
  seconds = filling.estimates.seconds(wanted[0], ("linear_probe",), [record], places)
  assert seconds == pytest.approx(record.pretraining_seconds + record.evaluation_seconds)


def _guess(method, protocol, folder):
  places = Places.of(str(folder / "data"), str(folder / "runs"))
  return filling.estimates.seconds(
    Cell(method, IMAGENETTE, 0, (protocol,)), (protocol,), [], places
  )


def test_few_labels_take_as_long_as_they_are_fine_tuned(methods, tmp_path):
  def seconds(options):
    return _guess(methods.ours, f"few_shot({options})", tmp_path)

  frozen = seconds("finetune=False")
  assert seconds("labels='4', draws=1, finetune=False") == frozen
  one = seconds("labels='4', draws=1") - frozen
  assert one > 10
  assert seconds("draws=2") - frozen == pytest.approx(14 * one)  # Of seven numbers.
  assert seconds("labels='4,8', draws=3, steps=400") - frozen == pytest.approx(12 * one)


def test_fine_tuning_takes_as_long_as_its_epochs_of_the_labelled_photographs(methods, tmp_path):
  for name in ("a", "b"):
    folder = tmp_path / "data" / IMAGENETTE / "train" / name
    folder.mkdir(parents=True)
    for number in range(50):
      (folder / f"{number}.jpg").write_bytes(b"")

  def seconds(options):
    return _guess(methods.ours, f"finetune({options})", tmp_path)

  one = seconds("epochs=2") - seconds("epochs=1")
  assert one > 0
  assert seconds("") - seconds("epochs=1") == pytest.approx(29 * one)  # The default is 30.
  assert seconds("epochs=2, labels=5") - seconds("epochs=1, labels=5") == pytest.approx(one / 10)
  assert seconds("epochs=2, labels=80") == seconds("epochs=2")  # There are no more.
