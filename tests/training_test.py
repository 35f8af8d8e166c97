"""A whole run on the embedded photographs: what it leaves, and going on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import training
from sbae_tf.config import Component, DataConfig
from sbae_tf.export import load_encoder


def _weights(workdir) -> list[np.ndarray]:
  return [v.numpy() for v in load_encoder(workdir / "encoder").variables]


def _metrics(workdir) -> list[dict]:
  return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def _tags(workdir) -> set[str]:
  """What TensorBoard would show."""
  events = [f for f in (workdir / "tensorboard").iterdir() if ".tfevents." in f.name]
  records = (tf.compat.v1.train.summary_iterator(str(file)) for file in events)
  return {value.tag for file in records for event in file for value in event.summary.value}


@pytest.fixture(scope="module", name="finished")
def _finished(small_config, tmp_path_factory):
  """A run of 2 epochs of 3 steps: its folder, configuration and result."""
  workdir = tmp_path_factory.mktemp("finished") / "run"
  return workdir, small_config, training.train(small_config, workdir)


def test_leaves_everything(finished):
  workdir, _, result = finished
  assert result.steps == 6
  assert {p.name for p in workdir.iterdir()} == {
    *("config.json", "tensorboard", "checkpoints", "metrics.jsonl", "panel.png", "encoder")
  }
  assert tf.train.latest_checkpoint(str(workdir / "checkpoints")).endswith("-6")
  panel = tf.io.decode_png((workdir / "panel.png").read_bytes())
  assert panel.shape[2] == 3 and panel.shape[0] > 2 * 32


def test_tensorboard_has_losses_rate_filters_and_panel(finished):
  tags = _tags(finished[0])
  assert tags >= {"loss/L->ab", "loss/ab->L", "loss/total", "heldout/L->ab", "heldout/total"}
  assert tags >= {"learning_rate", "images_per_second", "panel", "filters"}


def test_metrics_tell_the_heldout_loss_of_each_epoch(finished):
  workdir, _, result = finished
  heldout = [m for m in _metrics(workdir) if "heldout/total" in m]
  assert [m["step"] for m in heldout] == [3, 6]
  assert heldout[-1]["heldout/total"] == result.heldout["total"]
  parts = heldout[-1]["heldout/L->ab"] + heldout[-1]["heldout/ab->L"]
  assert parts == pytest.approx(result.heldout["total"], rel=1e-5)


def test_the_same_command_again_changes_nothing(finished):
  workdir, config, _ = finished
  before = {p: p.read_bytes() for p in (workdir / "encoder").rglob("*") if p.is_file()}
  again = training.train(config, workdir)
  assert again.steps == 6 and again.heldout == {}
  assert {p: p.read_bytes() for p in (workdir / "encoder").rglob("*") if p.is_file()} == before


def test_another_configuration_is_refused(finished):
  workdir, config, _ = finished
  before = sorted(p for p in workdir.rglob("*"))
  with pytest.raises(ValueError, match=r"learning_rate: 0.5 \(the run has 0.0001\)"):
    training.train(dataclasses.replace(config, learning_rate=0.5), workdir)
  assert sorted(p for p in workdir.rglob("*")) == before


def test_the_same_seed_makes_the_same_weights(finished, tmp_path):
  workdir, config, _ = finished
  training.train(config, tmp_path / "again")
  for ours, theirs in zip(_weights(tmp_path / "again"), _weights(workdir)):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def _train_with_a_stop(config, workdir, stop_at, monkeypatch) -> None:
  """Stops a run within the step after `stop_at`, and starts it again."""
  add = training.Progress.add

  def add_then_stop(self, losses, step, **more):
    add(self, losses, step, **more)
    if step == stop_at + 1:
      raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(training.Progress, "add", add_then_stop)
    with pytest.raises(KeyboardInterrupt):
      training.train(config, workdir)
  assert not (workdir / "encoder").exists()
  training.train(config, workdir)


@pytest.mark.parametrize("stop_at", [3, 5])
def test_an_interrupted_run_goes_on_to_the_same_weights(finished, stop_at, tmp_path, monkeypatch):
  """Stopped after an epoch's checkpoint, and within an epoch, which is then done again."""
  workdir, config, _ = finished
  _train_with_a_stop(config, tmp_path / "run", stop_at, monkeypatch)
  for ours, theirs in zip(_weights(tmp_path / "run"), _weights(workdir)):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
  metrics = _metrics(tmp_path / "run")
  assert [m["step"] for m in metrics if "heldout/total" in m] == [3, 6]
  trained = [m["step"] for m in metrics if "loss/total" in m]
  assert trained == sorted(set(trained))  # What was done again is not told twice.


def test_an_optimizer_of_addons_goes_on_too(small_config, tmp_path, monkeypatch):
  """Its slots are made at the first step, and so restored later than the weights."""
  pytest.importorskip("tensorflow_addons")
  config = dataclasses.replace(small_config, optimizer=Component("lamb"), learning_rate=0.01)
  training.train(config, tmp_path / "whole")
  _train_with_a_stop(config, tmp_path / "run", 3, monkeypatch)
  for ours, theirs in zip(_weights(tmp_path / "run"), _weights(tmp_path / "whole")):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_mirrored_strategy_and_color_in_the_pipeline(small_config, tmp_path):
  config = dataclasses.replace(
    small_config, strategy="mirrored", color_placement="pipeline", steps=2
  )
  assert training.train(config, tmp_path / "run").steps == 2


def test_profile_writes_a_trace_with_step_markers(small_config, tmp_path):
  training.train(dataclasses.replace(small_config, profile=(2, 3), epochs=1), tmp_path / "run")
  traces = list((tmp_path / "run" / "tensorboard").rglob("*.xplane.pb"))
  assert len(traces) == 1
  # The steps' annotations stand in the trace by name, with their numbers.
  assert b"train" in traces[0].read_bytes() and b"step_num" in traces[0].read_bytes()


def _dirty_folder(folder: pathlib.Path) -> None:
  """40 photographs, of which one is truncated and one is none."""
  folder.mkdir()
  for i in range(40):
    noise = tf.random.stateless_uniform((40, 40, 3), (i, 0), 0, 256, tf.int32)
    (folder / f"{i:02}.jpg").write_bytes(tf.io.encode_jpeg(tf.cast(noise, tf.uint8)).numpy())
  whole = (folder / "11.jpg").read_bytes()
  (folder / "11.jpg").write_bytes(whole[: len(whole) // 3])
  (folder / "23.jpg").write_bytes(b"not a photograph")


def test_photographs_that_cannot_be_read_are_skipped_and_named(small_config, tmp_path):
  _dirty_folder(tmp_path / "photographs")
  data = DataConfig(path=str(tmp_path / "photographs"), image_size=32, max_skipped=0.05)
  config = dataclasses.replace(small_config, data=data, batch_size=8, epochs=2)
  result = training.train(config, tmp_path / "run")
  assert result.folder.encoder.exists()
  lines = [line.split("\t") for line in result.folder.skipped.read_text().splitlines()]
  assert lines[0] == ["reason", "name", "detail"]
  assert {(reason, pathlib.Path(name).name) for reason, name, _ in lines[1:]} == {
    ("truncated", "11.jpg"),
    ("not_an_image", "23.jpg"),
  }


def test_too_many_photographs_that_cannot_be_read_end_the_run(small_config, tmp_path):
  _dirty_folder(tmp_path / "photographs")
  data = DataConfig(path=str(tmp_path / "photographs"), image_size=32)
  config = dataclasses.replace(small_config, data=data, batch_size=8, epochs=3)
  message = r"[12] of 40 images cannot be read, more than --data.max_skipped=0.01 accepts. "
  with pytest.raises(
    ValueError, match=message + r"The first: .*(11|23)\.jpg \(.+\).*Mend"
  ) as error:
    training.train(config, tmp_path / "run")
  assert "\n" not in str(error.value)
  assert not (tmp_path / "run" / "encoder").exists()


def test_a_folder_of_no_images_with_images_names_leaves_nothing(small_config, tmp_path):
  folder = tmp_path / "photographs"
  folder.mkdir()
  for i in range(40):
    (folder / f"{i:02}.jpg").write_bytes(b"not a photograph")
  config = dataclasses.replace(
    small_config, data=DataConfig(path=str(folder), image_size=32), batch_size=8
  )
  with pytest.raises(ValueError, match=r"images cannot be read.*\.jpg \(not_an_image: .*Mend or"):
    training.train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_regression_rgb_sgd(small_config, tmp_path):
  """Other plug-ins in every place."""
  branches = tuple(
    dataclasses.replace(b, task=Component("regression"), inputs=i, targets=t)
    for b, i, t in zip(small_config.branches, (("R",), ("G", "B")), (("G", "B"), ("R",)))
  )
  config = dataclasses.replace(
    small_config,
    color=Component("rgb"),
    branches=branches,
    optimizer=Component("sgd"),
    schedule=Component("step"),
  )
  result = training.train(config, tmp_path / "run")
  assert set(result.heldout) == {"R->GB", "GB->R", "total"}
