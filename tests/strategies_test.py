"""Tests of sbae_tf.strategies."""

from __future__ import annotations

import dataclasses

import pytest
import tensorflow as tf

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
