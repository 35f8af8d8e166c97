from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import checkpoints
from sbae_tf.checkpoints import Checkpoints, Saved
from sbae_tf.model import PretrainModel
from sbae_tf.run_folder import RunFolder
from sbae_tf.trained import load_model


def _write(config, workdir: pathlib.Path, losses: dict[int, float]) -> dict[int, PretrainModel]:
  """A run's folder as training leaves it: step to the model that was saved at it."""
  folder = RunFolder(workdir)
  folder.open(config)
  models = {}
  for step, loss in losses.items():
    model = PretrainModel(config)
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    state = tf.train.Checkpoint(model=model, optimizer=optimizer)
    heldout = {"total": loss} if loss else {}
    Checkpoints(folder.checkpoints, state, kept=9).save(Saved(step, heldout))
    models[step] = model
  return models


def _is(model: PretrainModel, other: PretrainModel) -> bool:
  pairs = list(zip(model.variables, other.variables))
  assert pairs
  return all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)


def test_loads_the_best_and_the_newest(small_config, tmp_path):
  models = _write(small_config, tmp_path / "run", {10: 3.0, 20: 1.0, 30: 2.0})
  best, provenance = load_model(tmp_path / "run")
  assert _is(best, models[20])
  assert not _is(best, models[30])
  assert provenance.steps == 20
  assert provenance.heldout == {"total": 1.0}
  assert provenance.data == "the embedded photographs"
  newest, provenance = load_model(tmp_path / "run", checkpoint="newest")
  assert _is(newest, models[30])
  assert provenance.steps == 30


def test_without_losses_the_newest_is_the_best(small_config, tmp_path):
  models = _write(small_config, tmp_path / "run", {10: 0.0, 20: 0.0})
  assert _is(load_model(tmp_path / "run")[0], models[20])


def test_changes_nothing(small_config, tmp_path):
  _write(small_config, tmp_path / "run", {10: 1.0})
  before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
  load_model(tmp_path / "run")
  assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_names_the_photographs_of_the_configuration(small_config, tmp_path):
  data = dataclasses.replace(small_config.data, path="/photos")
  _write(dataclasses.replace(small_config, data=data), tmp_path / "run", {10: 1.0})
  provenance = load_model(tmp_path / "run")[1]
  assert (provenance.data, provenance.heldout_data) == ("/photos", "those held out of /photos")


def test_says_what_is_wrong(small_config, tmp_path):
  with pytest.raises(ValueError, match="There is no run in .*nothing: expected its config.json"):
    load_model(tmp_path / "nothing")
  folder = RunFolder(tmp_path / "run")
  folder.open(small_config)
  with pytest.raises(ValueError, match="There is no checkpoint in .*run/checkpoints. Train first"):
    load_model(folder.path)
  with pytest.raises(ValueError, match="one of best, newest. Received: 'oldest'"):
    load_model(folder.path, checkpoint="oldest")
  _write(small_config, folder.path, {10: 1.0})
  data = next((folder.checkpoints / "best").glob(f"{checkpoints.STATE}.data*"))
  data.write_bytes(data.read_bytes()[:-1])
  with pytest.raises(ValueError, match="step-00000010 is corrupt .*bytes.*Take another"):
    load_model(folder.path)
  folder.config_file.write_text("{")
  with pytest.raises(ValueError, match="Cannot read .*config.json"):
    load_model(folder.path)


def test_refuses_weights_of_another_model(small_config, tmp_path):
  from sbae_tf import config_json

  _write(small_config, tmp_path / "run", {10: 1.0})
  other = config_json.from_json({"branches": ["L->a,b", "a,b->L", "L->a"]}, base=small_config)
  (tmp_path / "run" / "config.json").write_text(config_json.dumps(other))
  with pytest.raises(ValueError, match="step-00000010 does not fit .*config.json"):
    load_model(tmp_path / "run")
