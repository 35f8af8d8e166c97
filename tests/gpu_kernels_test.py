"""The training step has a GPU kernel for every op: nothing of it falls back to the host.

No GPU is needed for that: TensorFlow's build for GPUs knows its kernels on every machine.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

from sbae_tf.color.color_space import Channel
from sbae_tf.config import Component, PretrainConfig
from sbae_tf.presets import preset
from sbae_tf.quantize.bin_prior import BinPrior
from sbae_tf.quantize.gamut import gamut_centers
from sbae_tf.steps import Steps
from sbae_tf.tasks import classification

pytestmark = pytest.mark.skipif(
  not tf.test.is_built_with_cuda(), reason="This build of TensorFlow has no GPU kernels."
)

_FED = {"Placeholder"}  # Arguments, no kernels.
# `DEFAULT` is every device: kernels that move no numbers, such as those of variables.
_GPU = {"GPU", "DEFAULT"}


def _step(config: PretrainConfig) -> tf.types.experimental.ConcreteFunction:
  steps = Steps(config, tf.distribute.get_strategy(), steps_per_epoch=1, steps=1)
  size = config.data.image_size
  planes = steps.model.encoder.color.planes
  return steps.train.get_concrete_function(tf.TensorSpec((16, size, size, planes), tf.uint8))


def _nodes(function: tf.types.experimental.ConcreteFunction) -> list[tf.compat.v1.NodeDef]:
  graph = function.graph.as_graph_def()
  return [*graph.node, *(node for each in graph.library.function for node in each.node_def)]


def _gpu_kernels(node: tf.compat.v1.NodeDef) -> list[object]:
  """The kernels that may run a node on a GPU, by its types."""
  return [
    kernel
    for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
    if kernel.device_type in _GPU
    and all(
      not constraint.allowed_values.list.type
      or node.attr[constraint.name].type in constraint.allowed_values.list.type
      for constraint in kernel.constraint
    )
  ]


def _on_the_host(node: tf.compat.v1.NodeDef) -> bool:
  """Whether every kernel reads photographs or numbers computed from them in the host's memory.

  Shapes and indices, which are integers of 32 and 64 bits, belong there.
  """
  arguments = op_def_registry.get(node.op).input_arg
  types = {a.name: tf.as_dtype(node.attr[a.type_attr].type or a.type or 3) for a in arguments}
  large = {name for name, dtype in types.items() if dtype.is_floating or dtype == tf.uint8}
  return all(large & set(kernel.host_memory_arg) for kernel in _gpu_kernels(node))


@pytest.mark.parametrize(
  ("name", "precision"),
  [
    ("simplenet_rescaled_lab", "mixed_bfloat16"),
    ("simclr", "mixed_float16"),
    ("denoising_lab", "float32"),
    pytest.param("simplenet_lab", "float32", marks=pytest.mark.slow),
    pytest.param("simplenet_lab", "mixed_float16", marks=pytest.mark.slow),
    pytest.param("simplenet_rescaled_lab", "float32", marks=pytest.mark.slow),
    pytest.param("simplenet_rgb", "float32", marks=pytest.mark.slow),
    pytest.param("split_brain_96_gamut", "float32", marks=pytest.mark.slow),
    pytest.param("rgbd_96", "float32", marks=pytest.mark.slow),
  ],
)
def test_every_op_of_the_step_runs_on_a_gpu(name, precision):
  _check(dataclasses.replace(preset(name), precision=precision))


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["masking", "gaussian"])
def test_every_op_of_the_other_noises_does_too(noise):
  config = preset("denoising_lab")
  branch = dataclasses.replace(config.branches[0], task=Component("denoising", {"noise": noise}))
  _check(dataclasses.replace(config, branches=(branch,)))


@pytest.mark.parametrize(
  "name",
  [
    pytest.param("resnet18_lab", marks=pytest.mark.slow),
    pytest.param("alexnet_lab", marks=pytest.mark.slow),
    "split_brain",
    pytest.param("split_brain_regression", marks=pytest.mark.slow),
  ],
)
def test_every_op_of_the_larger_ones_does_too(name):
  config = preset(name)
  options = {**config.backbone.options, "width": 0.125}
  _check(dataclasses.replace(config, backbone=Component(config.backbone.name, options)))


def test_every_op_of_soft_and_rebalanced_targets_does_too(tmp_path):
  file, centers = tmp_path / "prior.json", gamut_centers()
  file.write_text(BinPrior("gamut", centers, np.ones(313, int), {}).dumps())
  channels = [Channel("a", -86.0, 98.0), Channel("b", -108.0, 94.0)]
  task = classification.build(channels, quantizer="gamut", soft_neighbors=10, prior=str(file))

  @tf.function
  def gradient(values: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
      tape.watch(logits)
      loss = task.loss(task.target(values), logits)
    return tape.gradient(loss, logits)

  specs = (tf.TensorSpec((16, 4, 4, n), tf.float32) for n in (2, 313))
  nodes = [n for n in _nodes(gradient.get_concrete_function(*specs)) if n.op not in _FED]
  assert {"TopKV2", "ArgMax", "SoftmaxCrossEntropyWithLogits"} <= {node.op for node in nodes}
  assert not {node.op for node in nodes if not _gpu_kernels(node) or _on_the_host(node)}


def _check(config: PretrainConfig) -> None:
  function = _step(config)
  nodes = [node for node in _nodes(function) if node.op not in _FED]
  assert len(nodes) > 300
  missing = {node.op for node in nodes if not _gpu_kernels(node)}
  assert not missing
  assert not {node.op for node in nodes if _on_the_host(node)}
  # What is sent to it: photographs of 8 bits.
  inputs = function.structured_input_signature[0]
  assert [spec.dtype for spec in tf.nest.flatten(inputs) if isinstance(spec, tf.TensorSpec)] == [
    tf.uint8
  ]


def test_an_op_without_a_gpu_kernel_is_found():
  @tf.function
  def decode(encoded: tf.Tensor) -> tf.Tensor:
    return tf.image.decode_png(encoded)

  nodes = _nodes(decode.get_concrete_function(tf.TensorSpec((), tf.string)))
  assert "DecodePng" in {node.op for node in nodes if not _gpu_kernels(node)}


def test_numbers_that_are_computed_on_the_host_are_found():
  """A range's ends are read there, of any type."""
  function = tf.function(tf.range).get_concrete_function(tf.TensorSpec((), tf.float32))
  assert {node.op for node in _nodes(function) if _on_the_host(node)} == {"Range"}
