"""Tests of sbae_tf.strategies."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from sbae_tf import strategies
from sbae_tf.strategies import make_strategy


@pytest.fixture
def two_cpus() -> None:
  """The tests' own setting, which these tests count on."""
  assert len(tf.config.list_logical_devices("CPU")) == 2
  if tf.config.list_logical_devices("GPU"):
    pytest.skip("Counts on a machine without a GPU.")


def _devices(config, **changes) -> list[str]:
  strategy = make_strategy(dataclasses.replace(config, **changes))
  return sorted(
    tf.DeviceSpec.from_string(d).to_string()[-5:] for d in strategy.extended.worker_devices
  )


def test_the_devices_are_those_asked_for(small_config, two_cpus):
  assert make_strategy(small_config) is tf.distribute.get_strategy()
  assert _devices(small_config, strategy="one_device") == ["CPU:0"]
  assert _devices(small_config, strategy="mirrored") == ["CPU:0", "CPU:1"]
  assert _devices(small_config, strategy="mirrored", num_devices=1) == ["CPU:0"]
  assert _devices(small_config, strategy="mirrored", num_devices=2) == ["CPU:0", "CPU:1"]


def test_more_devices_than_there_are(small_config, two_cpus):
  config = dataclasses.replace(small_config, strategy="mirrored", num_devices=3)
  with pytest.raises(ValueError, match="`num_devices` up to 2, the number of CPUs.*Received: 3"):
    make_strategy(config)


def test_batch_must_divide_among_devices(small_config, two_cpus):
  config = dataclasses.replace(small_config, strategy="mirrored", batch_size=15)
  with pytest.raises(ValueError, match="`batch_size` to be a multiple of 2"):
    make_strategy(config)
  make_strategy(dataclasses.replace(config, num_devices=1))


def test_the_same_devices_are_the_same_strategy(small_config, two_cpus):
  """Two of them would take each other's sums for their own."""
  config = dataclasses.replace(small_config, strategy="mirrored", num_devices=2)
  assert make_strategy(config) is make_strategy(config)


def test_slurm_tasks_are_workers(monkeypatch):
  monkeypatch.delenv("TF_CONFIG", raising=False)
  for name, value in {
    "PROCID": "2",
    "STEP_NUM_TASKS": "4",
    "STEP_NODELIST": "node[1-2]",
    "STEP_TASKS_PER_NODE": "2(x2)",
  }.items():
    monkeypatch.setenv(f"SLURM_{name}", value)
  resolver = strategies._workers()
  assert resolver.cluster_spec().as_dict() == {
    "worker": ["node1:8888", "node1:8889", "node2:8888", "node2:8889"]
  }
  assert (resolver.task_type, resolver.task_id) == ("worker", 2)
  # As many as TensorFlow sees: SLURM hides those of other tasks.
  assert resolver.num_accelerators() == {}
  assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_workers_are_connected_before_anything_is_computed(small_config, monkeypatch):
  tf.constant(1.0) + 1.0
  task = {"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"type": "worker"}}
  task["task"]["index"] = 0
  monkeypatch.setenv("TF_CONFIG", json.dumps(task))
  config = dataclasses.replace(small_config, strategy="multi_worker_mirrored")
  with pytest.raises(ValueError, match="TensorFlow has computed nothing yet"):
    make_strategy(config)


def test_without_a_tpu_there_is_a_line(tmp_path):
  """In a process of its own, for looking for a TPU sets TensorFlow's devices up anew."""
  code = (
    "from sbae_tf import PretrainConfig, runtime; runtime.start_tensorflow()\n"
    "from sbae_tf.strategies import make_strategy\n"
    "try: make_strategy(PretrainConfig(strategy='tpu'))\n"
    "except ValueError as error: print(error)\n"
  )
  result = subprocess.run(
    [sys.executable, "-c", code],
    cwd=tmp_path,
    env={**os.environ, "PYTHONPATH": str(pathlib.Path(strategies.__file__).parents[1])},
    capture_output=True,
    text=True,
    check=True,
  )
  assert result.stdout.startswith(
    "Expected a TPU with --strategy=tpu: none answers at TPU_NAME=local ("
  ), result.stderr
