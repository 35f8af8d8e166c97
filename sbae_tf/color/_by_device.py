"""A choice between two ways to compute the same, by the device that runs them."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def by_device(*, on_cpu: Callable[[], tf.Tensor], elsewhere: Callable[[], tf.Tensor]) -> tf.Tensor:
  """Computes by `on_cpu` on a CPU, and by `elsewhere` on other devices and whatever XLA compiles.

  The graph holds both, and the choice falls when it runs: a SavedModel that was written on one
  device takes the other way on another, and so does a `tf.data` map beside a GPU.

  Args:
    on_cpu: makes a tensor.
    elsewhere: makes a tensor of the same shape and type.

  Returns:
    The tensor of one of them.
  """
  # The index of the device's kind in the list, or the list's length where it is not in it; XLA
  # always gives the length. Grappler replaces both nodes by the chosen function.
  index = tf.raw_ops.DeviceIndex(device_names=["CPU"])
  return tf.switch_case(index, {0: on_cpu, 1: elsewhere})
