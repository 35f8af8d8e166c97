"""Scaling on paper: the formulas written again, their limits, and what is counted on models."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest
import tensorflow as tf

from sbae_tf import presets
from sbae_tf.config import Component
from sbae_tf.model import PretrainModel
from sbae_tf.steps import Steps
from tools import scaling
from tools.benchmarks import step_sbae
from tools.projection import cluster, page, workload

WORK = workload.Workload(
  name="some",
  parameters=1_000_000,
  image_size=100,
  flops=3_000_000_000,
  forward_flops=1_000_000_000,
  activation_bytes=10_000_000,
  gradient_bytes=4_000_000,
  weight_bytes=12_000_000,
  optimizer_bytes=28_000_000,
  kernels=100,
)
GIVEN = cluster.Assumptions(
  batch_per_gpu=10,
  global_batch=1280,
  tflops=100.0,
  attained=0.5,
  hbm_gb_s=1000.0,
  kernel_us=1.0,
  gpus_per_node=8,
  nvlink_gb_s=100.0,
  nvlink_us=3.0,
  network_gbit_s=80.0,
  network_us=10.0,
  pcie_gb_s=10.0,
  jpeg_kb=100.0,
  decode_rate=1000.0,
  cores_per_gpu=4,
)


def _step(gpus, batch=None, work=WORK, **given):
  batch = 10 * gpus if batch is None else batch
  return cluster.step(work, dataclasses.replace(GIVEN, **given), gpus=gpus, batch=batch)


def test_one_gpu_reduces_nothing():
  one = _step(1)
  assert one.all_reduce == one.sent_bytes == one.network_bytes == 0
  # 3 GFLOP x 10 at 50 TFLOP/s; 28 MB at 1 TB/s; 10 x 100 x 100 x 3 bytes at 10 GB/s.
  assert one.compute == pytest.approx(600e-6)
  assert one.overlapped == pytest.approx(628e-6)
  assert one.serial == pytest.approx(658e-6)
  assert one.limit == "arithmetic"


@pytest.mark.parametrize("node", [1, 2, 8, 16])
@pytest.mark.parametrize("gpus", [1, 2, 16, 32, 1024])
def test_a_gpu_sends_what_it_would_in_one_ring(node, gpus):
  sent = _step(gpus, gpus_per_node=node).sent_bytes
  assert sent == pytest.approx(2 * (gpus - 1) / gpus * 4e6)


def test_without_end_it_sends_twice_the_gradients():
  assert _step(2**30, gpus_per_node=8).sent_bytes == pytest.approx(8e6)
  assert _step(2**30, gpus_per_node=8).network_bytes == pytest.approx(8e6)


@pytest.mark.parametrize(
  "gpus, expected",
  [
    (2, 4e6 / 100e9 + 2 * 3e-6),
    (8, 7e6 / 100e9 + 14 * 3e-6),
    (16, 7e6 / 100e9 + 14 * 3e-6 + 4e6 / 10e9 + 2 * 10e-6),
    (64, 7e6 / 100e9 + 14 * 3e-6 + 7e6 / 10e9 + 14 * 10e-6),
  ],
)
def test_all_reduce_in_the_node_and_between_nodes(gpus, expected):
  # 4 MB of gradients: 2 (n-1)/n of them through NVLink, 2 (m-1)/m through the network.
  found = _step(gpus)
  assert found.all_reduce == pytest.approx(expected)
  assert _step(gpus, nvlink_us=0, network_us=0).all_reduce == pytest.approx(
    found.all_reduce * (1 - found.waited)
  )
  assert found.serial == pytest.approx(658e-6 + expected)
  # Of 600 us, 400 are the backward pass; what is left of the all-reduce shows.
  assert found.overlapped == pytest.approx(628e-6 + max(0, expected - 400e-6))


def test_the_slowest_of_arithmetic_memory_and_kernels_limits():
  memory = _step(1, hbm_gb_s=100.0)
  assert (memory.limit, memory.compute) == ("memory", pytest.approx(1.12e-3))  # 100 + 12 MB
  kernels = _step(1, kernel_us=7.0)
  assert (kernels.limit, kernels.compute) == ("kernels", pytest.approx(700e-6))


def test_a_slow_host_limits_the_overlapped_step():
  assert _step(1, pcie_gb_s=0.1).overlapped == pytest.approx(3e-3)
  assert _step(4).host_bytes == 4 * 10 * 100 * 100 * 3


def test_strong_scaling_shares_a_batch_and_weak_scaling_keeps_it():
  scaled = cluster.scale(WORK, GIVEN, [1, 8, 128])
  assert [s.batch for s in scaled.weak] == [10, 80, 1280]
  assert [s.batch for s in scaled.strong] == [1280] * 3
  assert scaled.strong[2].compute == pytest.approx(scaled.weak[0].compute)
  assert scaled.strong[2].serial == scaled.weak[2].serial  # The same step.


def test_efficiency_is_of_images_a_gpu():
  steps = cluster.scale(WORK, GIVEN, [1, 8, 128]).weak
  assert cluster.efficiency(steps, overlap=False)[1] == pytest.approx(658 / (658 + 112))
  assert cluster.efficiency(steps, overlap=True)[:2] == [1.0, 1.0]
  strong = cluster.scale(WORK, GIVEN, [1, 128]).strong
  expected = strong[0].serial / (128 * strong[1].serial)
  assert cluster.efficiency(strong, overlap=False)[1] == pytest.approx(expected)


def test_the_knee_is_the_last_before_efficiency_falls():
  steps = [dataclasses.replace(_step(1), gpus=n, batch=n, serial=t) for n, t in TIMES]
  assert cluster.knee(steps, 0.9) == 2
  assert cluster.knee(steps, 0.5) == 8
  assert cluster.knee(steps, 0.1) == 16


TIMES = [(1, 1.0), (2, 1.1), (4, 1.2), (8, 1.9), (16, 3.0)]


@pytest.mark.parametrize(
  "gpus, batch, wrong", [(12, 120, "--gpus"), (0, 0, "--gpus"), (8, 100, "--global_batch")]
)
def test_what_does_not_divide_is_refused(gpus, batch, wrong):
  with pytest.raises(ValueError, match=wrong):
    _step(gpus, batch)


@pytest.mark.parametrize(
  "field, value", [("tflops", 0.0), ("attained", 1.5), ("jpeg_kb", float("inf")), ("nvlink_us", -1)]
)
def test_assumptions_out_of_range_are_refused(field, value):
  with pytest.raises(ValueError, match=f"--{field}"):
    dataclasses.replace(GIVEN, **{field: value})


def _profiled_flops(config):
  """Of an image's convolutions, forward and backward, as TensorFlow's profiler counts them."""
  steps = Steps(config, tf.distribute.get_strategy(), steps_per_epoch=1, steps=1)
  size = config.data.image_size
  spec = tf.TensorSpec((config.batch_size, size, size, 3), tf.uint8)
  graph = steps.train.get_concrete_function(spec).graph
  options = tf.compat.v1.profiler.ProfileOptionBuilder
  options = options(options.float_operation()).with_empty_output().build()
  nodes = [tf.compat.v1.profiler.profile(graph, options=options, cmd="scope")]
  operations = {operation.name: operation for operation in graph.get_operations()}
  found = dict.fromkeys(("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"), 0.0)
  while nodes:
    node = nodes.pop()
    nodes += node.children
    operation = operations.get(node.name)
    # The gradient of the photographs is traced, read by nobody, and so never computed.
    if operation is not None and operation.type in found and operation.outputs[0].consumers():
      found[operation.type] += node.float_ops / config.batch_size
  return found


@pytest.mark.parametrize(
  "backbone", ["simplenet", pytest.param("resnet18", marks=pytest.mark.slow), "alexnet"]
)
def test_flops_are_those_of_tensorflows_profiler(small_config, backbone):
  config = dataclasses.replace(small_config, backbone=Component(backbone, {"width": 0.25}))
  profiled = _profiled_flops(config)
  work = workload.count("small", config)
  assert work.forward_flops == profiled["Conv2D"]
  assert work.flops == sum(profiled.values())
  assert profiled["Conv2DBackpropInput"] < profiled["Conv2D"]  # None of the photographs.


def test_a_shared_tower_works_for_each_branch(small_config):
  config = dataclasses.replace(small_config, aggregation=Component("shared"))
  work = workload.count("small", config)
  assert work.flops == sum(_profiled_flops(config).values())
  model = PretrainModel(config)
  assert work.flops == step_sbae.flop_per_image(model)
  (tower,) = model.encoder.towers
  heads = 2 * (24 * 100 + 100)
  assert work.parameters == sum(int(tf.size(v)) for v in tower.trainable_variables) + heads
  assert work.weight_bytes == 12 * work.parameters


def test_simplenet_by_hand():
  work = workload.count("simplenet_lab", presets.preset("simplenet_lab"))
  kernels = (
    (25, 16, 48),
    (9 * 16, 64, 24),
    (9 * 64, 128, 12),
    (9 * 128, 128, 12),
    (9 * 128, 96, 12),
  )
  forward = sum(
    2 * (channels if i == 0 else 1) * fan_in * filters * side**2
    for channels in (1, 2)
    for i, (fan_in, filters, side) in enumerate(kernels)
  )
  forward += 2 * 2 * 96 * 100 * 12**2  # The heads.
  assert work.forward_flops == forward
  weights = sum(
    (channels if i == 0 else 1) * fan_in * filters + 2 * filters  # Batch normalization: 2.
    for channels in (1, 2)
    for i, (fan_in, filters, _) in enumerate(kernels)
  )
  weights += 2 * (96 * 100 + 100)
  assert work.parameters == weights
  assert work.gradient_bytes == 4 * weights
  assert work.weight_bytes == 12 * weights
  assert work.optimizer_bytes == 28 * weights  # Adam: gradient, and weights and two slots twice.
  layers, variables = 2 * (5 * 3 + 1), 2 * (5 * 3 + 2)
  assert work.kernels == 3 * layers + variables


def test_sgd_has_one_slot(small_config):
  config = dataclasses.replace(small_config, optimizer=Component("sgd", {"momentum": 0.9}))
  work = workload.count("small", config)
  assert work.optimizer_bytes == 4 * 5 * work.parameters


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_16_bits_halve_the_activations_and_not_the_gradients(small_config, precision):
  full = workload.count("small", small_config)
  mixed = workload.count("small", dataclasses.replace(small_config, precision=precision))
  assert mixed.gradient_bytes == full.gradient_bytes
  assert mixed.optimizer_bytes == full.optimizer_bytes
  assert mixed.flops == full.flops
  assert 0.5 < mixed.activation_bytes / full.activation_bytes < 0.6  # The heads stay float32.


def test_bytes_of_each_layer():
  images = tf.keras.Input((None, None, 3))
  x = tf.keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(images)
  y = tf.keras.layers.ReLU()(x)
  network = tf.keras.Model(images, tf.keras.layers.Add()([x, y]))
  image, small = 4 * 8 * 8 * 3, 4 * 4 * 4 * 4
  flops, weights = 2 * 3 * 3 * 3 * 4 * 16, 12 * 3 * 3 * 3 * 4
  rest = [(0, 0, 3 * small + 2 * small, 0), (0, 0, 3 * 2 * small + 2 * small, 0)]
  assert list(workload.layer_work(network, 8, True)) == [
    (flops, 2 * flops, 2 * image + 2 * small, weights),
    *rest,
  ]
  assert list(workload.layer_work(network, 8, False)) == [
    (flops, 3 * flops, 3 * image + 2 * small, weights),
    *rest,
  ]


def test_a_layer_that_it_cannot_count_is_refused():
  images = tf.keras.Input((8, 8, 3))
  network = tf.keras.Model(images, tf.keras.layers.Conv2DTranspose(4, 3, name="up")(images))
  with pytest.raises(ValueError, match="Conv2DTranspose up"):
    list(workload.layer_work(network, 8, True))


def test_the_decode_rate_is_the_measured_one(tmp_path):
  def measurement(key, rates):
    return {"key": key, "rates": rates}

  collections = [
    {"name": "small", "measurements": [measurement("sbae_tf_files", [9.0])]},
    {
      "name": "photos",
      "measurements": [
        measurement("torch_opencv", [8.0]),
        measurement("sbae_tf_files", [5.0, 1.0, 3.0]),
      ],
    },
  ]
  file = tmp_path / "input.json"
  file.write_text(json.dumps({"collections": collections}))
  assert cluster.measured_decode_rate(file) == 3.0
  for text in ("", "{}", '{"collections": []}', "[]"):
    file.write_text(text)
    with pytest.raises(ValueError, match="--decode_rate"):
      cluster.measured_decode_rate(file)


SETTING = {"command": "python -m tools.scaling", "precision": "mixed_bfloat16", "plot": "s.png"}


def _page(**given):
  given = dataclasses.replace(GIVEN, **given)
  return page.markdown([cluster.scale(WORK, given, [1, 8, 128])], given, SETTING)


def test_the_page_says_what_it_is_and_has_the_numbers():
  page = _page()
  assert page.startswith("# Scaling on paper: 1 to 128 GPUs\n")
  assert "**Computed, not measured**" in page
  # 80 images in 0.628 to 0.770 ms; 7 MB; 0.3 MB a GPU; files of 100 kB; 1,000 images/s a core.
  rate = 80 / 628e-6
  # All 1,280 on 8: 9.6 ms of compute, of which 6.4 hide the all-reduce; 28 and 112 us; 0.48 ms.
  row = next(line for line in page.splitlines() if line.startswith("| 8 |"))
  assert row == (
    f"| 8 | 0.63 to 0.77 | 100% to 85% | {rate:,.0f} | 7.0 | 0.0 | 2.4 | {rate / 1e4:.1f} | "
    f"{rate / 1000:,.0f} | 9.63 to 10.2 | 100% to 99% |"
  )


def test_the_page_tells_whether_decoding_keeps_up():
  assert "**Decoding comes first.**" in _page(decode_rate=1000.0)
  assert "are enough for some (1.59)" in _page(decode_rate=10000.0)


def _main(monkeypatch, *arguments):
  monkeypatch.setattr(sys, "argv", ["scaling", *arguments])
  return scaling.main()


def test_the_command_line_writes_a_page_and_a_plot(tmp_path, monkeypatch, capsys):
  pytest.importorskip("matplotlib")
  arguments = ("--presets=simplenet_lab", "--gpus=1,2,16", "--decode_rate=500")
  assert _main(monkeypatch, *arguments, f"--out={tmp_path}/page") == 0
  page = (tmp_path / "page.md").read_text()
  assert page in capsys.readouterr().out
  assert "| simplenet_lab | 7" in page and "| 16 | " in page
  assert f"`python -m tools.scaling {' '.join(arguments)} " in page
  picture = tf.io.decode_png((tmp_path / "page.png").read_bytes())
  assert picture.shape[1] == 900


@pytest.mark.parametrize(
  "arguments, wrong",
  [
    (["--presets=simple"], "Unknown preset 'simple'"),
    (["--gpus=2,4"], "--gpus"),
    (["--gpus=one"], "--gpus"),
    (["--hbm_gb_s=0"], "--hbm_gb_s"),
  ],
)
def test_a_mistake_is_one_line(arguments, wrong, tmp_path, monkeypatch, capsys):
  assert _main(monkeypatch, *arguments, f"--out={tmp_path}/page") == 2
  error = capsys.readouterr().err
  assert error.startswith("scaling: ") and wrong in error and error.count("\n") == 1
  assert not list(tmp_path.iterdir())
