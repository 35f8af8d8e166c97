"""The devices that a run trains on."""

from __future__ import annotations

import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.config import PretrainConfig


def make_strategy(config: PretrainConfig) -> tf.distribute.Strategy:
  """The strategy that a configuration asks for.

  Args:
    config: its `strategy`, `num_devices` and `batch_size`: `default` is TensorFlow's own placement,
      `one_device` the first GPU, or the CPU where there is none, and `mirrored` all GPUs or the
      first `num_devices` of them; without GPUs the logical CPUs.

  Raises:
    ValueError: there are fewer devices than asked for, or the batch does not divide among them.
  """
  if config.strategy == "default":
    strategy = tf.distribute.get_strategy()
  else:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    count = 1 if config.strategy == "one_device" else config.num_devices or len(devices)
    if count > len(devices):
      kind = devices[0].device_type
      raise ValueError(
        f"Expected `num_devices` up to {len(devices)}, the number of {kind}s that TensorFlow sees. "
        f"Received: {config.num_devices}."
      )
    names = [device.name for device in devices[:count]]
    with runtime.quiet_logs():
      if config.strategy == "one_device":
        strategy = tf.distribute.OneDeviceStrategy(names[0])
      else:
        strategy = tf.distribute.MirroredStrategy(names)
  replicas = strategy.num_replicas_in_sync
  if config.batch_size % replicas:
    raise ValueError(
      f"Expected `batch_size` to be a multiple of {replicas}, the number of devices. "
      f"Received: {config.batch_size}."
    )
  return strategy
