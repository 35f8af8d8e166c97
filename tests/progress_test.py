"""Progress: means over the steps since the last report, rate, time left, TensorBoard."""

from __future__ import annotations

import json
import re

import pytest
import tensorflow as tf
from absl import logging

from sbae_tf.failures import WriteError
from sbae_tf.progress import NonFiniteError, Progress
from sbae_tf.run_folder import RunFolder


@pytest.fixture(name="lines")
def _lines(monkeypatch):
  lines: list[str] = []
  monkeypatch.setattr(logging, "info", lambda text, *values: lines.append(text % values))
  return lines


@pytest.fixture(name="clock")
def _clock(monkeypatch):
  """A clock that stands still unless it is moved: `clock[0] += 1`."""
  now = [100.0]
  monkeypatch.setattr("sbae_tf.progress.time.monotonic", lambda: now[0])
  return now


def _progress(folder, *, first_step=0, steps=8, seconds=5.0) -> Progress:
  return Progress(
    folder,
    first_step=first_step,
    steps=steps,
    steps_per_epoch=4,
    batch_size=10,
    devices=2,
    schedule=lambda step: tf.constant(0.5**step),
    seconds=seconds,
  )


def _losses(value: float) -> dict[str, tf.Tensor]:
  return {
    "L->ab": tf.constant(value),
    "ab->L": tf.constant(1.0),
    "total": tf.constant(value + 1),
    "gradient_norm": tf.constant(2 * value),
  }


def _metrics(folder) -> list[dict]:
  return [json.loads(line) for line in folder.metrics.read_text().splitlines()]


def test_reports_means_rate_and_time_left(tmp_path, lines, clock):
  progress = _progress(RunFolder(tmp_path))
  for step in range(1, 5):
    clock[0] += 7.0 if step == 1 else 2.0
    progress.add(_losses(float(step)), step)
  assert lines[0] == "step 1/8  epoch 1/2  loss 2.000 (L->ab 1.000, ab->L 1.000)"
  # Steps 2 to 4 in 6 s: 2 s a step of 10 photographs, and 4 steps to go.
  assert lines[1] == (
    "step 4/8  epoch 1/2  loss 4.000 (L->ab 3.000, ab->L 1.000)  5 images/s  0:00:08 left"
  )
  assert len(lines) == 2


def test_a_pause_is_no_step_and_counts_in_the_time_left(tmp_path, lines, clock):
  progress = _progress(RunFolder(tmp_path), first_step=4)
  progress.add(_losses(1.0), 5)
  clock[0] += 30.0
  progress.resume(30.0)
  clock[0] += 6.0
  progress.add(_losses(1.0), 6)
  assert re.search(r"2 images/s  0:00:42 left$", lines[-1])  # Two steps of 6 s, a pause of 30 s.


def test_a_report_before_a_checkpoint_tells_each_step_once(tmp_path, lines, clock):
  folder = RunFolder(tmp_path)
  progress = _progress(folder)
  for step in (1, 2, 3):
    clock[0] += 1.0
    progress.add(_losses(float(step)), step)
  progress.report(3)
  progress.report(3)  # Nothing new.
  clock[0] += 1.0
  progress.add(_losses(8.0), 4)
  assert [(m["step"], m["loss/L->ab"]) for m in _metrics(folder)] == [(1, 1.0), (3, 2.5), (4, 8.0)]


def test_a_full_disk_is_said_in_a_line(tmp_path, lines, clock):
  folder = RunFolder(tmp_path)
  progress = _progress(folder)

  def flush() -> None:
    raise tf.errors.ResourceExhaustedError(None, None, "events.out; No space left on device")

  progress._writer.flush = flush
  with pytest.raises(WriteError, match=f"^Cannot write {folder.tensorboard}: No space left on dev"):
    progress.add(_losses(1.0), 1)


def test_records_scalars_for_plots_and_tensorboard(tmp_path, lines, clock):
  folder = RunFolder(tmp_path)
  progress = _progress(folder, steps=2)
  for step in (1, 2):
    clock[0] += 1.0
    progress.add(_losses(2.0), step, waited=0.25)
  progress.picture(2, "panel", tf.zeros((4, 6, 3), tf.uint8))
  progress.close()
  first, second = _metrics(folder)
  assert (first["step"], first["loss/total"], first["learning_rate"]) == (1, 3.0, 1.0)
  assert second["input_wait"] == 0.25 and "input_wait" not in first
  assert "images_per_second" not in first  # Its time was that of tracing.
  assert (second["learning_rate"], second["images_per_second"]) == (0.5, 10.0)
  assert second["images_per_second_per_device"] == 5.0
  assert second["gradient_norm"] == 4.0
  # TensorFlow alone takes that much; in bytes.
  assert 1e8 < second["peak_memory/host"] < 1e12
  (events,) = folder.tensorboard.iterdir()
  tags = {
    value.tag
    for event in tf.compat.v1.train.summary_iterator(str(events))
    for value in event.summary.value
  }
  assert tags == {*second, "panel"} - {"step", "time"}


def test_several_steps_at_once_count_as_many(tmp_path, lines, clock):
  folder = RunFolder(tmp_path)
  progress = _progress(folder)
  clock[0] += 3.0
  progress.add(_losses(1.0), 1)
  clock[0] += 6.0
  values = {name: tf.stack([value, value + 2, value + 4]) for name, value in _losses(1.0).items()}
  progress.add(values, 4, count=3, waited=tf.constant(1.5, tf.float64))
  assert lines[1] == (
    "step 4/8  epoch 1/2  loss 4.000 (L->ab 3.000, ab->L 3.000)  5 images/s  0:00:08 left"
  )
  assert _metrics(folder)[1]["input_wait"] == 0.25


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_found_with_its_step_and_branch(tmp_path, lines, clock, value):
  folder = RunFolder(tmp_path)
  progress = _progress(folder)
  progress.add(_losses(1.0), 1)
  progress.add(_losses(1.0), 2)
  bad = {**_losses(1.0), "ab->L": tf.constant(value), "total": tf.constant(value)}
  progress.add(bad, 3)
  with pytest.raises(NonFiniteError, match=f"loss of ab->L is {value} at step 3") as raised:
    progress.add({name: tf.constant(value) for name in bad}, 4)
  assert (raised.value.step, raised.value.branch) == (3, "ab->L")
  assert [line["step"] for line in _metrics(folder)] == [1]


def test_steps_that_a_loss_scale_leaves_out_are_counted(tmp_path, lines, clock):
  folder = RunFolder(tmp_path)
  progress = _progress(folder, steps=3)
  progress.add(_losses(1.0), 1)
  progress.add({**_losses(1.0), "gradient_norm": tf.constant(float("inf"))}, 2)
  progress.add(_losses(3.0), 3)
  first, second = _metrics(folder)
  assert (second["gradient_norm"], second["steps_left_out"]) == (6.0, 1)
  assert "steps_left_out" not in first
