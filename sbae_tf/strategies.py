"""The devices that a run trains on."""

from __future__ import annotations

import functools
import os

import tensorflow as tf
from absl import logging

from sbae_tf import cluster, runtime
from sbae_tf.config import PretrainConfig


def make_strategy(config: PretrainConfig) -> tf.distribute.Strategy:
  """The strategy that a configuration asks for.

  Several workers find each other here: TensorFlow must not have computed anything before, and
  every worker waits until all are there.

  Args:
    config: its `strategy`, `num_devices` and `batch_size`.
      `default`: TensorFlow's own placement.
      `one_device`: the first GPU, or the CPU where there is none.
      `mirrored`: all GPUs or the first `num_devices` of them; without GPUs the logical CPUs.
      `multi_worker_mirrored`: all GPUs of each worker, or its CPU; the workers are those of
        `TF_CONFIG`, or the tasks of a SLURM step.
      `tpu`: that which the environment's `TPU_NAME` names, or this machine's own.

  Raises:
    ValueError: there are fewer devices than asked for, no workers or no TPU, or the batch does not
      divide among them.
  """
  strategy = _strategies[config.strategy](config)
  replicas = strategy.num_replicas_in_sync
  if config.batch_size % replicas:
    raise ValueError(
      f"Expected `batch_size` to be a multiple of {replicas}, the number of devices. "
      f"Received: {config.batch_size}."
    )
  return strategy


def _default(config: PretrainConfig) -> tf.distribute.Strategy:
  del config
  return tf.distribute.get_strategy()


def _one_device(config: PretrainConfig) -> tf.distribute.Strategy:
  del config
  return tf.distribute.OneDeviceStrategy(_devices()[0])


def _mirrored(config: PretrainConfig) -> tf.distribute.Strategy:
  devices = _devices()
  if config.num_devices > len(devices):
    kind = tf.DeviceSpec.from_string(devices[0]).device_type
    raise ValueError(
      f"Expected `num_devices` up to {len(devices)}, the number of {kind}s that TensorFlow sees. "
      f"Received: {config.num_devices}."
    )
  return _mirrored_over(tuple(devices[: config.num_devices or len(devices)]))


@functools.cache
def _mirrored_over(devices: tuple[str, ...]) -> tf.distribute.Strategy:
  """One for all runs of a process.

  Each strategy numbers its sums over devices from the beginning, and TensorFlow takes those of
  equal numbers on equal devices for the same sum.
  """
  with runtime.quiet_logs():
    return tf.distribute.MirroredStrategy(devices)


def _multi_worker_mirrored(config: PretrainConfig) -> tf.distribute.Strategy:
  del config
  worker = cluster.this_worker()
  resolver = _workers()
  jobs = resolver.cluster_spec().as_dict()
  addresses = ", ".join([*jobs.get("chief", []), *jobs.get("worker", [])])
  logging.info("This is %s. Waiting for all of %s.", worker, addresses)
  try:
    with runtime.quiet_logs():
      return tf.distribute.MultiWorkerMirroredStrategy(resolver)
  except RuntimeError as error:
    if "program startup" not in str(error):
      raise
    raise ValueError(
      "Expected `strategy` 'multi_worker_mirrored' in a process in which TensorFlow has computed "
      "nothing yet: workers are connected first. Start a new one."
    ) from error


def _tpu(config: PretrainConfig) -> tf.distribute.Strategy:
  del config
  name = os.environ.get("TPU_NAME", "local")
  try:
    with runtime.quiet_logs():
      # Not `TPUClusterResolver.connect`, which fails in TensorFlow 2.15.
      resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
      tf.config.experimental_connect_to_cluster(resolver)
      tf.tpu.experimental.initialize_tpu_system(resolver)
      return tf.distribute.TPUStrategy(resolver)
  except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
    reason = " ".join(str(error).split())[:200]
    raise ValueError(
      f"Expected a TPU with --strategy=tpu: none answers at TPU_NAME={name} ({reason}). Set "
      "TPU_NAME to its name, or use --strategy=mirrored."
    ) from error


_strategies = {
  "default": _default,
  "one_device": _one_device,
  "mirrored": _mirrored,
  "multi_worker_mirrored": _multi_worker_mirrored,
  "tpu": _tpu,
}


def _devices() -> list[str]:
  devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
  return [device.name for device in devices]


def _workers() -> tf.distribute.cluster_resolver.ClusterResolver:
  if not cluster.is_slurm():
    return tf.distribute.cluster_resolver.TFConfigClusterResolver()
  # Which GPUs are a task's is SLURM's to say: TensorFlow's resolver would deal out all of a node's,
  # after TensorFlow has seen them. Its numbers of GPUs, which may not be zero, are not used.
  slurm = tf.distribute.cluster_resolver.SlurmClusterResolver(
    gpus_per_node=1 << 10, gpus_per_task=1, auto_set_gpu=False
  )
  spec = slurm.cluster_spec()
  job, index = slurm.get_task_info()
  return tf.distribute.cluster_resolver.SimpleClusterResolver(
    spec, task_type=job, task_id=index, rpc_layer="grpc"
  )
