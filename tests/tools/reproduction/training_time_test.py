"""The time of a run's steps, out of its metrics."""

from __future__ import annotations

import json

import pytest

from tools.reproduction import training_time


def _write(folder, lines) -> None:
  (folder / "config.json").write_text(json.dumps({"batch_size": 10}))
  text = "".join(json.dumps({"time": 0.0, **line}) + "\n" for line in lines)
  (folder / "metrics.jsonl").write_text(text)


def test_pauses_and_compilation_do_not_count(tmp_path):
  _write(
    tmp_path,
    [
      {"step": 1, "loss/total": 1.0, "time": 60.0},  # A minute of compilation.
      {"step": 5, "loss/total": 1.0, "images_per_second": 100.0},  # 4 steps of 0.1 s.
      {"step": 5, "heldout/total": 1.0},
      {"step": 11, "loss/total": 1.0, "images_per_second": 50.0},  # 6 steps of 0.2 s.
    ],
  )
  found = training_time.read(tmp_path)
  assert found.steps == 11
  assert found.step_seconds == pytest.approx(0.16)
  assert found.seconds == pytest.approx(4 * 0.1 + 6 * 0.2 + 0.16)


def test_a_resumed_run_compiles_twice(tmp_path):
  rated = {"loss/total": 1.0, "images_per_second": 100.0}
  lines = [
    *({"step": 1, "loss/total": 1.0}, {"step": 4, **rated}),
    *({"step": 5, "loss/total": 1.0}, {"step": 8, **rated}),
  ]
  _write(tmp_path, lines)
  found = training_time.read(tmp_path)
  assert (found.steps, found.seconds) == (8, pytest.approx(0.8))


def test_a_run_without_steps_took_none(tmp_path):
  assert training_time.read(tmp_path) == training_time.TrainingTime(0, 0.0, 0.0)
  _write(tmp_path, [{"step": 1, "loss/total": 1.0}])
  assert training_time.read(tmp_path) == training_time.TrainingTime(1, 0.0, 0.0)


def test_damaged_metrics_are_named(tmp_path):
  _write(tmp_path, [])
  (tmp_path / "metrics.jsonl").write_text("{")
  with pytest.raises(ValueError, match=str(tmp_path)):
    training_time.read(tmp_path)
