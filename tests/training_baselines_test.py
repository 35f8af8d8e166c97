"""Whole runs of the baselines: nothing trained, and tasks that draw random numbers."""

from __future__ import annotations

import dataclasses
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import checkpoints, trained, training, training_run
from sbae_tf.colorizer import Colorizer
from sbae_tf.config import Branch, Component
from sbae_tf.export import load_encoder
from sbae_tf.interrupts import Interrupted
from sbae_tf.model import PretrainModel
from sbae_tf.quantize.bin_prior import BinPrior
from sbae_tf.quantize.gamut import gamut_centers


@pytest.fixture(scope="module", name="untrained")
def _untrained(small_config, tmp_path_factory):
  """A run of no epochs, with a schedule that counts steps: its folder, configuration and result."""
  schedule = Component("cosine", {"warmup_epochs": 1.0})
  config = dataclasses.replace(small_config, epochs=0, schedule=schedule)
  workdir = tmp_path_factory.mktemp("untrained") / "run"
  return workdir, config, training.train(config, workdir)


def test_no_epochs_export_the_initial_weights(untrained, small_config):
  workdir, config, result = untrained
  tf.keras.utils.set_random_seed(config.seed)
  initial = PretrainModel(small_config)
  exported = load_encoder(workdir / "encoder")
  assert len(exported.variables) == len(initial.encoder.variables)
  for ours, expected in zip(exported.variables, initial.encoder.variables):
    np.testing.assert_array_equal(ours, expected)
  assert result.steps == 0
  assert result.heldout["L->ab"] == pytest.approx(np.log(100), abs=0.7)
  assert result.heldout["total"] == pytest.approx(
    result.heldout["L->ab"] + result.heldout["ab->L"], rel=1e-5
  )
  card = (workdir / "encoder" / "README.md").read_text(encoding="utf-8")
  assert "| steps | 0: the weights are the initial ones |" in card
  assert f"| `L->ab` | {result.heldout['L->ab']:.4f} |" in card


def test_no_epochs_leave_what_others_do(untrained):
  workdir, config, result = untrained
  assert {p.name for p in workdir.iterdir()} == {
    *("config.json", "tensorboard", "checkpoints", "metrics.jsonl", "panel.png", "encoder")
  }
  saved = checkpoints.verify(workdir / "checkpoints" / "best")
  assert (saved.step, saved.heldout) == (0, result.heldout)
  assert trained.load_model(workdir)[1].steps == 0
  before = {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()}
  assert training.train(config, workdir).heldout == {}
  assert {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_no_epochs_interrupted_go_on(untrained, tmp_path, monkeypatch):
  workdir, config, result = untrained
  heldout_losses = training.Steps.heldout_losses

  def killed(self, dataset):
    os.kill(os.getpid(), signal.SIGTERM)
    return heldout_losses(self, dataset)

  with monkeypatch.context() as patch, pytest.raises(Interrupted):
    patch.setattr(training.Steps, "heldout_losses", killed)
    training.train(config, tmp_path / "run")
  assert training.train(config, tmp_path / "run").heldout == result.heldout
  assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
def test_what_is_drawn_is_drawn_again_by_a_run_that_goes_on(small_config, tmp_path, monkeypatch):
  """Noise and views: the weights of a run that never stopped, to the bit."""
  branches = (
    Branch(("R", "G", "B"), ("R", "G", "B"), Component("contrastive")),
    Branch(("R",), ("G", "B"), Component("denoising", {"noise": "gaussian"})),
  )
  config = dataclasses.replace(
    small_config, color=Component("rgb"), branches=branches, batch_size=8, epochs=1
  )
  whole = training.train(config, tmp_path / "whole")
  add = training_run.Progress.add

  def interrupted_after_two(self, results, step, **more):
    add(self, results, step, **more)
    if step == 2:
      os.kill(os.getpid(), signal.SIGTERM)

  with monkeypatch.context() as patch, pytest.raises(Interrupted):
    patch.setattr(training_run.Progress, "add", interrupted_after_two)
    training.train(config, tmp_path / "run")
  resumed = training.train(config, tmp_path / "run")
  assert resumed.heldout == whole.heldout
  ours, theirs = (load_encoder(tmp_path / name / "encoder") for name in ("run", "whole"))
  for a, b in zip(ours.variables, theirs.variables):
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_run_keeps_the_prior_that_it_began_with(small_config, tmp_path):
  """Of two steps: another one is refused, and what is made of the run needs none."""
  file, workdir = tmp_path / "prior.json", tmp_path / "run"
  centers = gamut_centers()
  prior = BinPrior("gamut of a,b", centers, np.arange(313), {})
  options = {"quantizer": "gamut", "soft_neighbors": 5, "prior": str(file)}
  branches = (Branch(("L",), ("a", "b"), Component("classification", options)),)
  config = dataclasses.replace(small_config, branches=branches, steps=2)
  with pytest.raises(ValueError, match="Cannot read the prior"):
    training.train(config, workdir)
  assert not workdir.exists()
  file.write_text(prior.dumps())
  assert training.train(config, workdir).steps == 2
  assert (workdir / "branch_0_prior.json").read_text() == prior.dumps()
  training.train(config, workdir)
  before = {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()}
  file.write_text(dataclasses.replace(prior, counts=prior.counts + 1).dumps())
  with pytest.raises(ValueError, match="began with another file than is given now"):
    training.train(config, workdir)
  assert {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()} == before
  file.unlink()
  model, _ = trained.load_model(workdir)
  assert Colorizer(model)(tf.zeros((1, 32, 32, 1), tf.uint8)).shape == (1, 32, 32, 3)
