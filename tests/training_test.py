"""A whole run on the embedded photographs: what it leaves, and going on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import checkpoints, training, training_run
from sbae_tf.config import Component, DataConfig, ProbeConfig
from sbae_tf.data import pipeline, sources
from sbae_tf.export import load_encoder
from sbae_tf.failures import NonFiniteLossError, WriteError
from sbae_tf.interrupts import Interrupted
from tests import probe_photographs


def _weights(workdir) -> list[np.ndarray]:
  return [v.numpy() for v in load_encoder(workdir / "encoder").variables]


def _metrics(workdir) -> list[dict]:
  return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def _heldout(workdir) -> list[dict]:
  return [
    {name: value for name, value in line.items() if name != "time"}
    for line in _metrics(workdir)
    if "heldout/total" in line
  ]


def _told(workdir) -> list[tuple[int, str]]:
  """Step and tag of all that TensorBoard would show, in order."""
  events = [f for f in (workdir / "tensorboard").iterdir() if ".tfevents." in f.name]
  records = (tf.compat.v1.train.summary_iterator(str(file)) for file in events)
  return sorted(
    (event.step, value.tag) for file in records for event in file for value in event.summary.value
  )


def _tags(workdir) -> set[str]:
  return {tag for _, tag in _told(workdir)}


def _loss_sum(workdir) -> float:
  """The losses of all steps in one, from the means that the metrics tell."""
  total, before = 0.0, 0
  for line in _metrics(workdir):
    if "loss/total" in line:
      total += line["loss/total"] * (line["step"] - before)
      before = line["step"]
  return total


def _assert_same_run(workdir, whole) -> None:
  """That a run which was stopped in some way ended as one that was not, to the bit."""
  for ours, theirs in zip(_weights(workdir), _weights(whole)):
    np.testing.assert_array_equal(ours, theirs)
  ours, theirs = (
    tf.train.load_checkpoint(str(folder / "checkpoints" / "step-00000006" / checkpoints.STATE))
    for folder in (workdir, whole)
  )
  names = set(theirs.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
  assert names < set(ours.get_variable_to_shape_map()) and len(names) > 50
  for name in names:
    np.testing.assert_array_equal(ours.get_tensor(name), theirs.get_tensor(name), err_msg=name)
  assert _heldout(workdir) == _heldout(whole)
  assert _loss_sum(workdir) == pytest.approx(_loss_sum(whole), rel=1e-6)
  told = _told(workdir)
  assert len(set(told)) == len(told)
  assert not list(workdir.rglob(".*"))


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
  assert {p.name for p in (workdir / "checkpoints").iterdir()} == {
    *("best", "step-00000003", "step-00000006")
  }
  saved = checkpoints.verify(workdir / "checkpoints" / "step-00000006")
  assert (saved.step, saved.heldout) == (6, result.heldout)
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


@pytest.mark.slow
def test_the_same_seed_makes_the_same_weights(finished, tmp_path):
  workdir, config, _ = finished
  training.train(config, tmp_path / "again")
  _assert_same_run(tmp_path / "again", workdir)


def _at_step(step, action, monkeypatch) -> None:
  """Has something done right after a step, once."""
  add = training_run.Progress.add

  def add_and_act(self, losses, done, **more):
    add(self, losses, done, **more)
    if done == step:
      action()

  monkeypatch.setattr(training_run.Progress, "add", add_and_act)


def _kill() -> None:
  """Leaves everything as it is, as far as that is possible within one process."""
  raise SystemExit("killed")


def _terminate() -> None:
  os.kill(os.getpid(), signal.SIGTERM)


def _train_until(config, workdir, error, monkeypatch, *patches) -> BaseException:
  with monkeypatch.context() as patch:
    for function, *arguments in patches:
      function(*arguments, patch)
    with pytest.raises(error) as raised:
      training.train(config, workdir)
  return raised.value


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 4, 6])
def test_a_killed_run_goes_on_to_the_same_weights(finished, stop_after, tmp_path, monkeypatch):
  """Before the first checkpoint, between two, and before the last, whose step is done again."""
  workdir, config, _ = finished
  run = tmp_path / "run"
  _train_until(config, run, SystemExit, monkeypatch, (_at_step, stop_after, _kill))
  assert not (run / "encoder").exists()
  training.train(config, run)
  _assert_same_run(run, workdir)


@pytest.mark.slow
def test_checkpoints_within_an_epoch(finished, tmp_path, monkeypatch):
  """After every step; as these settings change no weight, the run may go on with others."""
  workdir, config, _ = finished
  often = dataclasses.replace(config, checkpoint_minutes=1e-9, checkpoints_kept=1)
  _train_until(often, tmp_path / "run", SystemExit, monkeypatch, (_at_step, 6, _kill))
  names = {p.name for p in (tmp_path / "run" / "checkpoints").iterdir()}
  assert names == {"best", "step-00000003", "step-00000005"}
  training.train(config, tmp_path / "run")
  _assert_same_run(tmp_path / "run", workdir)


def test_sigterm_makes_a_checkpoint(finished, tmp_path, monkeypatch):
  workdir, config, _ = finished
  run = tmp_path / "run"
  interrupted = _train_until(config, run, Interrupted, monkeypatch, (_at_step, 4, _terminate))
  assert interrupted.status == 143
  assert checkpoints.verify(run / "checkpoints" / "step-00000004").heldout == {}
  assert _metrics(run)[-1]["step"] == 4
  training.train(config, run)
  _assert_same_run(run, workdir)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "batch"), [(3, 1), (3, 2), (6, 1), (6, 2)])
def test_sigterm_while_the_heldout_loss_is_computed(finished, step, batch, tmp_path, monkeypatch):
  """In the first of two batches the rest is left out, and done first when the run goes on."""
  workdir, config, result = finished
  run, calls = tmp_path / "run", []
  compiled = training.Steps.__dict__["evaluate"]

  def evaluate(self, images):
    calls.append(images)
    if len(calls) == batch + 2 * (step == 6):
      _terminate()
    return compiled.__get__(self, type(self))(images)

  with monkeypatch.context() as patch:
    patch.setattr(training.Steps, "evaluate", evaluate)
    with pytest.raises(Interrupted):
      training.train(config, run)
  assert len(calls) == batch + 2 * (step == 6)
  saved = checkpoints.verify(run / "checkpoints" / f"step-{step:08d}")
  assert bool(saved.heldout) == (batch == 2)
  assert training.train(config, run).heldout == result.heldout
  _assert_same_run(run, workdir)


def _probe_config(folder: pathlib.Path, **changes) -> ProbeConfig:
  return ProbeConfig(
    path=probe_photographs.write(folder / "train", probe_photographs.TRAIN),
    test_path=probe_photographs.write(folder / "test", probe_photographs.TEST),
    **changes,
  )


def _probed_at(workdir) -> dict[int, float]:
  key = "probe/knn_top1"
  return {line["step"]: line[key] for line in _metrics(workdir) if key in line}


@pytest.fixture(scope="module", name="probed")
def _probed(small_config, tmp_path_factory):
  """The run of `finished`, with a probe: its folder and configuration."""
  folder = tmp_path_factory.mktemp("probed")
  config = dataclasses.replace(small_config, probe=_probe_config(folder))
  training.train(config, folder / "run")
  return folder / "run", config


@pytest.mark.slow
def test_the_probe_tells_its_number_and_changes_no_weight(finished, probed):
  workdir, _ = probed
  for ours, theirs in zip(_weights(workdir), _weights(finished[0])):
    np.testing.assert_array_equal(ours, theirs)
  accuracies = _probed_at(workdir)
  assert list(accuracies) == [3, 6]
  assert accuracies[6] == probe_photographs.top1(load_encoder(workdir / "encoder"))
  assert {step for step, tag in _told(workdir) if tag == "probe/knn_top1"} == {3, 6}
  assert _tags(workdir) - _tags(finished[0]) == {"probe/knn_top1"}


@pytest.mark.slow
def test_sigterm_while_it_probes(probed, tmp_path, monkeypatch):
  """After the second of several batches; the whole look is done first when the run goes on."""
  workdir, config = probed
  run, batches, accuracy = tmp_path / "run", [], training_run.OnlineProbe.accuracy

  def interrupted(self, *, watched):
    def terminated(all_batches):
      for batch in watched(all_batches):
        batches.append(batch)
        if len(batches) == 2:
          _terminate()
        yield batch

    return accuracy(self, watched=terminated)

  def at_first_probe(patch) -> None:
    patch.setattr(training_run.OnlineProbe, "accuracy", interrupted)

  _train_until(config, run, Interrupted, monkeypatch, (at_first_probe,))
  assert len(batches) == 2
  assert checkpoints.verify(run / "checkpoints" / "step-00000003").heldout == {}
  assert not _heldout(run) and not _probed_at(run)
  training.train(config, run)
  _assert_same_run(run, workdir)
  assert _probed_at(run) == _probed_at(workdir)


@pytest.mark.slow
def test_probes_every_second_epoch_and_at_the_end_on_two_devices(small_config, tmp_path):
  config = dataclasses.replace(
    small_config, epochs=3, strategy="mirrored", probe=_probe_config(tmp_path, epochs=2)
  )
  training.train(config, tmp_path / "run")
  accuracies = _probed_at(tmp_path / "run")
  assert list(accuracies) == [6, 9]
  expected = probe_photographs.top1(load_encoder(tmp_path / "run" / "encoder"))
  assert accuracies[9] == pytest.approx(expected, abs=0.026)  # One of 40.


def test_photographs_of_a_probe_that_do_not_do_leave_nothing(small_config, tmp_path):
  path = probe_photographs.write(tmp_path / "one", range(0, 9, 3))
  config = dataclasses.replace(small_config, probe=ProbeConfig(path=path))
  with pytest.raises(ValueError, match=r"^--probe.path=.*one: Expected photographs of two classes"):
    training.train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_killed_again_while_the_heldout_loss_is_made_up_for(finished, tmp_path, monkeypatch):
  """After it was told and before it was saved: it is told once in the end."""
  workdir, config, _ = finished
  run = tmp_path / "run"

  def at_first_evaluation(patch) -> None:
    patch.setattr(training.Steps, "heldout_losses", lambda self, data: _signal_then(data))

  def _signal_then(data):
    _terminate()
    return list(data)

  _train_until(config, run, Interrupted, monkeypatch, (at_first_evaluation,))
  assert checkpoints.verify(run / "checkpoints" / "step-00000003").heldout == {}

  def at_amendment(patch) -> None:
    patch.setattr(training_run.Checkpoints, "amend", lambda *_: _kill())

  _train_until(config, run, SystemExit, monkeypatch, (at_amendment,))
  assert [line["step"] for line in _heldout(run)] == [3]
  training.train(config, run)
  _assert_same_run(run, workdir)


@pytest.mark.slow
def test_a_corrupt_checkpoint_costs_only_time(finished, tmp_path, monkeypatch):
  workdir, config, _ = finished
  run = tmp_path / "run"
  _train_until(config, run, Interrupted, monkeypatch, (_at_step, 5, _terminate))
  with (run / "checkpoints" / "step-00000005" / "state.data-00000-of-00001").open("r+b") as file:
    file.seek(10_000)
    file.write(b"damage")
  lines: list[str] = []
  with monkeypatch.context() as patch:
    patch.setattr(training.logging, "warning", lambda text, *v: lines.append(text % v))
    training.train(config, run)
  assert any("step-00000005 is corrupt" in line for line in lines)
  _assert_same_run(run, workdir)


def _fail_to_export(error, patch) -> None:
  def export_encoder(encoder, path, *, provenance):
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"half")
    raise error

  patch.setattr(training_run, "export_encoder", export_encoder)


@pytest.mark.slow
def test_killed_while_it_exports_it_exports_again(finished, tmp_path, monkeypatch):
  workdir, config, result = finished
  run = tmp_path / "run"
  _train_until(config, run, SystemExit, monkeypatch, (_fail_to_export, SystemExit()))
  assert not (run / "encoder").exists()
  (run / ".encoder.123.aside").mkdir()  # What a kill would have left.
  assert training.train(config, run).heldout == result.heldout
  _assert_same_run(run, workdir)
  assert training.train(config, run).heldout == {}


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_not_the_work(finished, tmp_path, monkeypatch):
  workdir, config, _ = finished
  run = tmp_path / "run"
  full = tf.errors.ResourceExhaustedError(None, None, "/a/b; No space left on device [Op:SaveV2]")
  error = _train_until(config, run, WriteError, monkeypatch, (_fail_to_export, full))
  assert str(error).startswith(f"Cannot write {run}/encoder: No space left on device. Make room")

  def fill_up(patch) -> None:
    def write(*_, **__):
      raise full

    patch.setattr(tf.train.Checkpoint, "write", write)

  other = tmp_path / "other"
  _train_until(config, other, SystemExit, monkeypatch, (_at_step, 5, _kill))
  error = _train_until(config, other, WriteError, monkeypatch, (lambda patch: fill_up(patch),))
  assert str(error).startswith(f"Cannot write {other}/checkpoints/step-00000006: No space left on")
  for folder in (run, other):
    training.train(config, folder)
    _assert_same_run(folder, workdir)


def test_a_folder_is_trained_in_by_one_process(finished):
  workdir, config, result = finished
  with result.folder.locked(), pytest.raises(ValueError, match="Another process is training in"):
    training.train(config, workdir)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lamb", "sgd"])
def test_other_optimizers_go_on_too(optimizer, small_config, tmp_path, monkeypatch):
  """Those of addons make their slots at the first step, so these are restored after the weights."""
  if optimizer == "lamb":
    pytest.importorskip("tensorflow_addons")
  config = dataclasses.replace(
    small_config, optimizer=Component(optimizer), learning_rate=0.01, schedule=Component("cosine")
  )
  training.train(config, tmp_path / "whole")
  run = tmp_path / "run"
  _train_until(config, run, Interrupted, monkeypatch, (_at_step, 4, _terminate))
  training.train(config, run)
  _assert_same_run(run, tmp_path / "whole")


@pytest.mark.slow
def test_two_devices_go_on_too(small_config, tmp_path, monkeypatch):
  config = dataclasses.replace(small_config, strategy="mirrored")
  training.train(config, tmp_path / "whole")
  run = tmp_path / "run"
  _train_until(config, run, Interrupted, monkeypatch, (_at_step, 4, _terminate))
  training.train(config, run)
  for ours, theirs in zip(_weights(run), _weights(tmp_path / "whole")):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_mirrored_strategy_and_color_in_the_pipeline(small_config, tmp_path):
  config = dataclasses.replace(
    small_config, strategy="mirrored", color_placement="pipeline", steps=2
  )
  assert training.train(config, tmp_path / "run").steps == 2


@pytest.mark.slow
def test_profile_writes_a_trace_with_step_markers(small_config, tmp_path):
  training.train(dataclasses.replace(small_config, profile=(2, 3), epochs=1), tmp_path / "run")
  traces = list((tmp_path / "run" / "tensorboard").rglob("*.xplane.pb"))
  assert len(traces) == 1
  # The steps' annotations stand in the trace by name, with their numbers.
  assert b"train" in traces[0].read_bytes() and b"step_num" in traces[0].read_bytes()


@pytest.mark.slow
def test_a_run_stopped_while_it_profiles_goes_on(small_config, tmp_path, monkeypatch):
  config = dataclasses.replace(small_config, profile=(2, 5))
  _train_until(config, tmp_path / "run", Interrupted, monkeypatch, (_at_step, 3, _terminate))
  training.train(config, tmp_path / "run")
  assert len(list((tmp_path / "run" / "tensorboard").rglob("*.xplane.pb"))) == 1


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_full_disk_while_skipped_photographs_are_named(small_config, tmp_path, monkeypatch):
  _dirty_folder(tmp_path / "photographs")
  data = DataConfig(path=str(tmp_path / "photographs"), image_size=32, max_skipped=0.05)
  config = dataclasses.replace(small_config, data=data, batch_size=8, epochs=2)
  opened = pathlib.Path.open

  def full(self, *arguments, **more):
    if self.name == "skipped.tsv":
      raise OSError(28, "No space left on device")
    return opened(self, *arguments, **more)

  monkeypatch.setattr(pathlib.Path, "open", full)
  with pytest.raises(WriteError, match=r"^Cannot write .*skipped.tsv: No space left on device"):
    training.train(config, tmp_path / "run")


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


@pytest.mark.slow
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


def test_a_loss_that_is_not_finite_ends_the_run_and_spoils_no_checkpoint(
  small_config, tmp_path, monkeypatch
):
  """A weight without a value, as an overflow leaves it: the loss of one branch is lost at once."""
  run, compiled = tmp_path / "run", training.Steps.train

  def train(self, batch):
    if int(self.optimizer.iterations) == 4:
      self.model.heads[1].trainable_variables[0].assign_add(
        tf.fill(self.model.heads[1].trainable_variables[0].shape, np.nan)
      )
    return compiled.__get__(self, type(self))(batch)

  monkeypatch.setattr(training.Steps, "train", train)
  with pytest.raises(NonFiniteLossError, match="The loss of ab->L is nan at step 5.") as raised:
    training.train(small_config, run)
  assert [p.name for p in sorted((run / "checkpoints").glob("step-*"))] == ["step-00000003"]
  source, _ = sources.open_sources(small_config.data)
  names = pipeline.batch_names(source, 4, batch_size=16, seed=small_config.seed)
  assert (run / "nonfinite.txt").read_text().splitlines() == names
  assert f"Its photographs: {', '.join(names[:10])} and 6 more" in str(raised.value)
  assert "--learning_rate" in str(raised.value)
  assert max(line["step"] for line in _metrics(run)) < 5


@pytest.mark.slow
def test_steps_in_loops_are_the_same_run(finished, tmp_path, monkeypatch):
  """Two at a time in epochs of three; stopped and gone on in between."""
  workdir, config, _ = finished
  config = dataclasses.replace(config, steps_per_execution=2, profile=())
  run, loops = tmp_path / "run", []
  train_loop = training.Steps.train_loop

  def counted(self, batches, count):
    loops.append(int(count))
    return train_loop.__get__(self, type(self))(batches, count)

  monkeypatch.setattr(training.Steps, "train_loop", counted)
  _train_until(config, run, SystemExit, monkeypatch, (_at_step, 5, _kill))
  training.train(config, run)
  assert loops == [2, 2, 2]
  for ours, theirs in zip(_weights(run), _weights(workdir)):
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
  assert [line["step"] for line in _heldout(run)] == [3, 6]
