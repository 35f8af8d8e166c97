"""The choice falls where the graph runs."""

from __future__ import annotations

import pytest
import tensorflow as tf

from sbae_tf.color._by_device import by_device


def _which(x: tf.Tensor) -> tf.Tensor:
  return by_device(on_cpu=lambda: x + 1.0, elsewhere=lambda: x + 2.0)


def test_cpu_eager_graph_pipeline_and_saved_model(tmp_path):
  zero = tf.constant(0.0)
  assert float(_which(zero)) == 1.0
  assert float(tf.function(_which)(zero)) == 1.0
  assert [float(x) for x in tf.data.Dataset.from_tensors(0.0).map(_which)] == [1.0]
  module = tf.Module()
  module.which = tf.function(_which, input_signature=[tf.TensorSpec((), tf.float32)])
  tf.saved_model.save(module, str(tmp_path / "saved"))
  assert float(tf.saved_model.load(str(tmp_path / "saved")).which(zero)) == 1.0


def test_each_virtual_cpu_is_a_cpu():
  for device in tf.config.list_logical_devices("CPU"):
    with tf.device(device.name):
      assert float(tf.function(_which)(tf.constant(0.0))) == 1.0


def test_xla_takes_the_other_way():
  assert float(tf.function(_which, jit_compile=True)(tf.constant(0.0))) == 2.0


def test_graph_holds_both_ways():
  """So that a SavedModel that was written on a CPU is right elsewhere."""
  graph = tf.function(_which).get_concrete_function(tf.TensorSpec((), tf.float32)).graph
  operations = {op.type for op in graph.get_operations()}
  assert "DeviceIndex" in operations and operations & {"Case", "StatelessCase"}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradient(jit_compile):
  def gradient(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = _which(x) * x
    return tape.gradient(y, x)

  expected = 7.0 + (2.0 if jit_compile else 1.0)
  assert float(tf.function(gradient, jit_compile=jit_compile)(tf.constant(3.5))) == expected
