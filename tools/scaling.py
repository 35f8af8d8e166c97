"""Scaling on paper: step time, traffic and all-reduce volume on 1 to 1,024 GPUs.

`python -m tools.scaling` writes tools/results/scaling.md and scaling.png. Nothing is measured: the
model is built and counted, the rest are assumptions, each a flag.

Counted on the built model, in the precision of `--precision`:

    F, F'  FLOPs of an image's step, and of its forward pass alone: 2 for each multiplication of a
           convolution, in the forward pass and for both gradients; a tower's first convolution has
           no gradient of its input
    A      bytes of an image's step in the GPU's memory: each layer reads its inputs and writes its
           output, and going back reads both again, the gradient in place of the output, and writes
           the gradients of its inputs. No layers are fused
    V      bytes of the gradients, float32
    W, O   bytes of the weights, read in both passes, and of their gradients, written, with the
           copies in 16 bits under mixed precision; of the optimizer, which reads gradients,
           weights and slots and writes the latter two, in float32
    K      kernels: a layer has one forward and two backward, a variable one in the optimizer

The time of a step with b images on each of N GPUs, n = min(N, a node's) in each of m = N / n nodes:

    compute    C = max(F b / (attained tflops), (A b + W) / hbm, K kernel_us)
    optimizer  U = O / hbm
    all-reduce R = 2 (n-1)/n V / nvlink + 2 (n-1) nvlink_us
                 + 2 (m-1)/m V / network + 2 (m-1) network_us
    host       H = b S S 3 / pcie, photographs in uint8

    without overlap  C + R + U + H
    with             max(H, C F'/F + max(C (1 - F'/F), R) + U)

The all-reduce is a ring in each node, rings across nodes for a share of V each, which split the
node's network, and the node's ring again. A GPU sends 2 (N-1)/N V in all, as in one ring of all.

Sources of the defaults:

- tflops, hbm_gb_s: NVIDIA A100 80 GB SXM, data sheet: 312 TFLOP/s dense bfloat16, 2,039 GB/s.
- attained: NVIDIA DeepLearningExamples, ResNet50 v1.5 (PyTorch), A100 80 GB, mixed precision, 2,470
  images/s on one GPU; 3 x 8.2 GFLOP an image make 61 TFLOP/s, 0.2 of the peak.
- nvlink_gb_s, nvlink_us, network_us: NCCL's own cost model (src/graph/tuning.cc, 2020): at most 235
  GB/s on A100; 3.4 and 9.6 microseconds a hop of a ring, protocol Simple.
- network_gbit_s: one 200 Gbit/s adapter a node; a DGX A100 has eight. pcie_gb_s: PCIe 4.0 x16, of
  32 GB/s. kernel_us, cores_per_gpu: common values; a DGX A100 has 16 cores a GPU.
- jpeg_kb: ImageNet's training photographs, 138 GiB in 1.28 million files.
- decode_rate: tools/results/input.json, photographs from files, to 96 x 96.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pathlib
import shlex
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tools.benchmarks.contestant import ROOT

if TYPE_CHECKING:  # They import TensorFlow.
  import tensorflow as tf

  from sbae_tf.config import PretrainConfig

_PRESETS = "simplenet_lab,resnet18_lab,alexnet_lab,split_brain"
_GPUS = ",".join(str(2**power) for power in range(11))
_WEAK_KNEE, _STRONG_KNEE = 0.9, 0.5  # Efficiency without overlap.


def _assumption(default: Any, text: str) -> Any:
  return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Assumptions:
  """What is not counted. The module's docstring has the sources."""

  batch_per_gpu: int = _assumption(256, "weak scaling: images a GPU and step")
  global_batch: int = _assumption(4096, "strong scaling: images a step over all GPUs")
  tflops: float = _assumption(312.0, "peak of a GPU in --precision, TFLOP/s")
  attained: float = _assumption(0.2, "part of the peak that convolutions attain")
  hbm_gb_s: float = _assumption(2039.0, "memory of a GPU, GB/s")
  kernel_us: float = _assumption(5.0, "least time of a kernel, microseconds")
  gpus_per_node: int = _assumption(8, "GPUs that NVLink joins")
  nvlink_gb_s: float = _assumption(235.0, "of a GPU, each way, GB/s")
  nvlink_us: float = _assumption(3.4, "a hop within a node, microseconds")
  network_gbit_s: float = _assumption(200.0, "of a node, each way, Gbit/s")
  network_us: float = _assumption(9.6, "a hop between nodes, microseconds")
  pcie_gb_s: float = _assumption(25.0, "host to one GPU, GB/s")
  jpeg_kb: float = _assumption(115.0, "mean size of a photograph's file, kB")
  decode_rate: float = _assumption(
    0.0, "images/s that a core reads and decodes; 0: as measured, tools/results/input.json"
  )
  cores_per_gpu: int = _assumption(16, "processor cores of a node, for each of its GPUs")

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      may_be_zero = field.name == "decode_rate" or field.name.endswith("_us")
      if not 0 <= value < math.inf or (value == 0 and not may_be_zero):
        expected = "0 or more" if may_be_zero else "above 0"
        raise ValueError(f"Expected --{field.name} {expected}. Received: {value:g}")
    if self.attained > 1:
      raise ValueError(f"Expected --attained up to 1. Received: {self.attained:g}")


@dataclasses.dataclass(frozen=True)
class Workload:
  """What a model's step does, whatever the machine. Letters as in the module's docstring.

  Attributes:
    name: the preset's.
    parameters: trainable ones.
    image_size: S, pixels.
    flops: F, an image.
    forward_flops: F', an image.
    activation_bytes: A, an image.
    gradient_bytes: V, a step.
    weight_bytes: W, a step.
    optimizer_bytes: O, a step.
    kernels: K, a step.
  """

  name: str
  parameters: int
  image_size: int
  flops: int
  forward_flops: int
  activation_bytes: int
  gradient_bytes: int
  weight_bytes: int
  optimizer_bytes: int
  kernels: int


def count(name: str, config: PretrainConfig) -> Workload:
  """Builds a configuration's model and optimizer, and counts.

  Args:
    name: what the result is called.
    config: a valid configuration.

  Raises:
    ValueError: a layer is of a kind whose arithmetic is not known here.
  """
  import tensorflow as tf

  from sbae_tf.steps import Steps

  steps = Steps(config, tf.distribute.get_strategy(), steps_per_epoch=1, steps=1)
  model, size = steps.model, config.data.image_size
  small = size // model.encoder.stride
  networks = [(tower, size, True) for tower in model.encoder.towers]
  networks += [(head, small, False) for head in model.heads]
  layers = [work for network in networks for work in layer_work(*network)]
  variables = model.trainable_variables
  parameters = sum(int(tf.size(v)) for v in variables)
  slots = sum(int(tf.size(v)) for v in steps.optimizer.variables if v.shape.rank) // parameters
  return Workload(
    name,
    parameters,
    size,
    flops=sum(work.flops for work in layers),
    forward_flops=sum(work.forward_flops for work in layers),
    activation_bytes=sum(work.activation_bytes for work in layers),
    gradient_bytes=4 * parameters,
    weight_bytes=sum(work.weight_bytes for work in layers),
    optimizer_bytes=4 * parameters * (1 + 2 * (1 + slots)),
    kernels=3 * len(layers) + len(variables),
  )


class LayerWork(NamedTuple):
  """One layer's part of a `Workload`, for one image."""

  forward_flops: int
  flops: int
  activation_bytes: int
  weight_bytes: int


def layer_work(network: tf.keras.Model, size: int, on_data: bool) -> Iterator[LayerWork]:
  """Goes through the layers of a functional model.

  Args:
    network: with one input, (B, H, W, C).
    size: H and W.
    on_data: whether its input is data, which needs no gradient.

  Yields:
    Each layer's work.

  Raises:
    ValueError: a layer is of a kind whose arithmetic is not known here.
  """
  import tensorflow as tf

  (images,) = network.inputs
  shapes = {id(images): tf.TensorShape((1, size, size, images.shape[-1]))}
  for layer in network.layers:  # What a layer reads stands before it.
    if isinstance(layer, tf.keras.layers.InputLayer):
      continue
    inputs = tf.nest.flatten(layer.input)
    seen = [shapes[id(x)] for x in inputs]
    shape = layer.compute_output_shape(seen if len(seen) > 1 else seen[0])
    shapes[id(layer.output)] = shape
    forward = 0
    if type(layer) is tf.keras.layers.Conv2D:
      forward = 2 * int(tf.size(layer.kernel)) * shape[1] * shape[2]
    elif any(v.shape.rank > 1 for v in layer.trainable_weights):
      raise ValueError(f"Expected convolutions. Cannot count {type(layer).__name__} {layer.name}.")
    # Forward; the gradient of the weights; that of the input.
    passes = 2 if on_data and inputs[0] is images else 3
    number = tf.as_dtype(layer.compute_dtype).size
    read = number * sum(x.num_elements() for x in seen)
    written = number * shape.num_elements()
    weights = sum(int(tf.size(v)) for v in layer.trainable_weights)
    copied = 0 if number == 4 else 4 + number  # From float32 to what it computes with.
    yield LayerWork(
      forward, passes * forward, passes * read + 2 * written, weights * (3 * number + copied)
    )


@dataclasses.dataclass(frozen=True)
class Step:
  """One step on a number of GPUs.

  Attributes:
    gpus: N.
    batch: images, over all GPUs.
    compute: seconds of the forward and the backward pass, C.
    all_reduce: seconds, R.
    waited: the part of `all_reduce` that is latency, in [0, 1].
    overlapped: seconds of the step, with full overlap.
    serial: seconds of the step, without overlap.
    sent_bytes: that a GPU sends in the all-reduce.
    network_bytes: that a node sends to others.
    host_bytes: uint8 photographs, to all GPUs together.
    limit: what `compute` waits for: "arithmetic", "memory" or "kernels".
  """

  gpus: int
  batch: int
  compute: float
  all_reduce: float
  waited: float
  overlapped: float
  serial: float
  sent_bytes: float
  network_bytes: float
  host_bytes: int
  limit: str

  @property
  def images_per_second(self) -> float:
    """With full overlap: what storage and decoders must keep up with."""
    return self.batch / self.overlapped


def step(work: Workload, given: Assumptions, *, gpus: int, batch: int) -> Step:
  """The formulas of the module's docstring.

  Args:
    work: what a step does.
    given: the machine.
    gpus: N; up to a node's, or a multiple of it.
    batch: over all GPUs, a multiple of `gpus`.

  Raises:
    ValueError: `gpus` or `batch` does not divide.
  """
  in_node = min(gpus, given.gpus_per_node)
  if gpus < 1 or gpus % in_node:
    raise ValueError(
      f"Expected --gpus within a node of {given.gpus_per_node} or a multiple. Received: {gpus}"
    )
  if batch % gpus:
    raise ValueError(f"Expected --global_batch a multiple of {gpus}, of --gpus. Received: {batch}")
  nodes = gpus // in_node
  images = batch // gpus
  hbm = given.hbm_gb_s * 1e9
  limits = {
    "arithmetic": work.flops * images / (given.attained * given.tflops * 1e12),
    "memory": (work.activation_bytes * images + work.weight_bytes) / hbm,
    "kernels": work.kernels * given.kernel_us * 1e-6,
  }
  limit = max(limits, key=lambda key: limits[key])
  compute = limits[limit]
  in_ring = 2 * (in_node - 1) / in_node * work.gradient_bytes
  network = 2 * (nodes - 1) / nodes * work.gradient_bytes
  all_reduce = in_ring / (given.nvlink_gb_s * 1e9) + network / (given.network_gbit_s * 1e9 / 8)
  latency = 2e-6 * ((in_node - 1) * given.nvlink_us + (nodes - 1) * given.network_us)
  all_reduce += latency
  optimizer = work.optimizer_bytes / hbm
  host_bytes = batch * work.image_size**2 * 3
  host = host_bytes / gpus / (given.pcie_gb_s * 1e9)
  forward = compute * work.forward_flops / work.flops
  return Step(
    gpus,
    batch,
    compute,
    all_reduce,
    waited=latency / all_reduce if all_reduce else 0.0,
    overlapped=max(host, forward + max(compute - forward, all_reduce) + optimizer),
    serial=compute + all_reduce + optimizer + host,
    sent_bytes=in_ring + network / in_node,
    network_bytes=network,
    host_bytes=host_bytes,
    limit=limit,
  )


@dataclasses.dataclass(frozen=True)
class Scaling:
  """A workload on more and more GPUs.

  Attributes:
    work: the workload.
    weak: the same batch on each GPU.
    strong: the same batch over all GPUs.
  """

  work: Workload
  weak: tuple[Step, ...]
  strong: tuple[Step, ...]


def scale(work: Workload, given: Assumptions, gpus: Sequence[int]) -> Scaling:
  """Steps on each of several numbers of GPUs; as `step`, also in what it raises."""
  weak = tuple(step(work, given, gpus=n, batch=n * given.batch_per_gpu) for n in gpus)
  strong = tuple(step(work, given, gpus=n, batch=given.global_batch) for n in gpus)
  return Scaling(work, weak, strong)


def efficiency(steps: Sequence[Step], *, overlap: bool) -> list[float]:
  """Images/s a GPU of each of some steps, over those of the first."""
  seconds = [s.overlapped if overlap else s.serial for s in steps]
  rates = [s.batch / s.gpus / t for s, t in zip(steps, seconds)]
  return [rate / rates[0] for rate in rates]


def knee(steps: Sequence[Step], least: float) -> int:
  """The most GPUs up to which efficiency without overlap stays at `least` or more."""
  last = steps[0].gpus
  for s, value in zip(steps, efficiency(steps, overlap=False)):
    if value < least:
      break
    last = s.gpus
  return last


def measured_decode_rate(results: pathlib.Path) -> float:
  """Images/s that a core reads, decodes and crops from files of photographs.

  Args:
    results: the JSON file of `python -m tools.benchmark input`.

  Raises:
    ValueError: it cannot be read.
  """
  try:
    collections = json.loads(results.read_text(encoding="utf-8"))["collections"]
    rates = [
      measurement["rates"]
      for collection in collections
      for measurement in collection["measurements"]
      if (collection["name"], measurement["key"]) == ("photos", "sbae_tf_files")
    ]
    return statistics.median(rates[0])
  except (OSError, ValueError, LookupError, TypeError) as error:
    raise ValueError(f"Cannot read {results} ({error!r}). Give --decode_rate.") from error


def markdown(scalings: Sequence[Scaling], given: Assumptions, setting: Mapping[str, str]) -> str:
  """Tells it all, short.

  Args:
    scalings: one a preset, on the same numbers of GPUs, the first of them 1.
    given: the assumptions.
    setting: `command`, `precision` and `plot`, a file's name.
  """
  most = scalings[0].weak[-1].gpus
  lines = [
    f"# Scaling on paper: 1 to {most:,} GPUs",
    "",
    f"**Computed, not measured**, by `{setting['command']}`: parameters, arithmetic and memory "
    "traffic counted on the built models, all else assumed. The docstring of `tools/scaling.py` "
    "has formulas and sources. Within a node that is `--strategy=mirrored`, beyond it "
    "`--strategy=multi_worker_mirrored`.",
    "",
    f"Assumed, of each GPU: {given.tflops:g} TFLOP/s ({setting['precision']}), "
    f"{given.attained:.0%} attained, {given.hbm_gb_s:,g} GB/s of memory, {given.kernel_us:g} us a "
    "kernel, "
    f"{given.pcie_gb_s:g} GB/s from the host, {given.cores_per_gpu} processor cores. Nodes of "
    f"{given.gpus_per_node}: {given.nvlink_gb_s:g} GB/s and {given.nvlink_us:g} us a hop inside, "
    f"{given.network_gbit_s:g} Gbit/s a node and {given.network_us:g} us a hop between. Files of "
    f"{given.jpeg_kb:g} kB; {given.decode_rate:,.0f} photographs a second and core, to "
    "96 x 96 (tools/results/input.md). Gradients are reduced in float32.",
    "",
    *_summary(scalings, given),
    "",
    *_findings(scalings, given),
    "",
    f"![Efficiency]({setting['plot']})",
    "",
    "A range is from full overlap of the all-reduce with the backward pass to none. Efficiency "
    "is images/s a GPU over those of one GPU. Storage and decoder cores are what the faster end "
    "needs.",
  ]
  for scaling in scalings:
    lines += ["", *_table(scaling, given)]
  return "\n".join(lines) + "\n"


def _summary(scalings: Sequence[Scaling], given: Assumptions) -> list[str]:
  lines = [
    "| preset | trainable parameters | GFLOP an image | one GPU, images/s | limit | decoder cores "
    f"a GPU | weak: {_WEAK_KNEE:.0%} up to GPUs | strong: {_STRONG_KNEE:.0%} up to GPUs |",
    "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |",
  ]
  for scaling in scalings:
    work, one = scaling.work, scaling.weak[0]
    lines.append(
      f"| {work.name} | {work.parameters:,} | {work.flops / 1e9:.3g} | "
      f"{one.images_per_second:,.0f} | {one.limit} | "
      f"{_number(one.images_per_second / given.decode_rate)} | "
      f"{knee(scaling.weak, _WEAK_KNEE):,} | "
      f"{knee(scaling.strong, _STRONG_KNEE):,} |"
    )
  return lines


def _findings(scalings: Sequence[Scaling], given: Assumptions) -> list[str]:
  """What the numbers say, in sentences that hold for whatever was assumed."""
  starved: list[str] = []
  fed: list[str] = []
  for scaling in scalings:
    needed = scaling.weak[0].images_per_second / given.decode_rate
    fewer = needed <= given.cores_per_gpu
    (fed if fewer else starved).append(f"{scaling.work.name} {_number(needed)}")
  lines = ["What it shows:", ""]
  if starved:
    lines.append(
      f"- **Decoding comes first.** One GPU wants more cores than the {given.cores_per_gpu} it has "
      f"for {', '.join(starved)}: from the first GPU on, the input is the knee. Write the "
      "photographs small (records of about the size that is trained on), or decode on other "
      "machines (`--data_service`)."
    )
  if fed:
    lines.append(
      f"- Within the {given.cores_per_gpu} cores a GPU that were assumed, decoding keeps up for "
      f"{', '.join(fed)}."
    )
  for title, least, pick in (
    ("the same batch on each GPU", _WEAK_KNEE, lambda s: s.weak),
    ("the same batch over all", _STRONG_KNEE, lambda s: s.strong),
  ):
    knees = ", ".join(f"{s.work.name} {knee(pick(s), least):,}" for s in scalings)
    lines.append(f"- With {title}, efficiency without overlap stays at {least:.0%} up to: {knees}.")
  heavy = max(scalings, key=lambda s: s.weak[-1].all_reduce / s.weak[-1].compute)
  last = heavy.weak[-1]
  lines.append(
    f"- The all-reduce weighs most for {heavy.work.name}: {1e3 * last.all_reduce:.3g} ms at "
    f"{last.gpus:,} GPUs, beside {1e3 * last.compute:.3g} ms of compute; {last.waited:.0%} of it "
    "are hops, whose number rises with the nodes. NCCL's trees need only its logarithm, and a "
    "larger batch a GPU, a faster network or gradients in 16 bits make the rest weigh less. "
    "Overlap hides it all while it is shorter than the backward pass."
  )
  lines.append(
    f"- {given.batch_per_gpu:,} images a GPU make a batch of {last.batch:,} at {last.gpus:,} GPUs. "
    "Training itself sets a limit first: on ImageNet SGD kept its accuracy up to 8,192 (Goyal et "
    "al. 2017), LARS up to 32,768 (You et al. 2017); here there is `--optimizer.name=lamb`."
  )
  lines.append(
    "- It is a best case: no stragglers, no waiting for input, no memory limit. ResNet50 on eight "
    "A100 was measured at 84% (mixed precision) and 97% (TF32) of eight times one GPU (NVIDIA "
    "DeepLearningExamples); its all-reduce explains 1% of that."
  )
  return lines


def _table(scaling: Scaling, given: Assumptions) -> list[str]:
  lines = [
    f"## {scaling.work.name}",
    "",
    f"Weak: {given.batch_per_gpu:,} images a GPU. Strong: {given.global_batch:,} images over all.",
    "",
    "| GPUs | weak: step, ms | efficiency | images/s | all-reduce, MB a GPU | network, MB a node | "
    "uint8 to GPUs, MB | storage, GB/s | decoder cores | strong: step, ms | efficiency |",
    "| ---: " * 11 + "|",
  ]
  weak, strong = scaling.weak, scaling.strong
  columns = zip(weak, _percents(weak), strong, _percents(strong))
  for w, weak_efficiency, s, strong_efficiency in columns:
    rate = w.images_per_second
    lines.append(
      f"| {w.gpus:,} | {_milliseconds(w)} | {weak_efficiency} | {rate:,.0f} | "
      f"{w.sent_bytes / 1e6:,.1f} | {w.network_bytes / 1e6:,.1f} | {w.host_bytes / 1e6:,.1f} | "
      f"{_number(rate * given.jpeg_kb / 1e6)} | {_number(rate / given.decode_rate)} | "
      f"{_milliseconds(s)} | {strong_efficiency} |"
    )
  return lines


def _number(value: float) -> str:
  """With two digits or more, and no more than two decimals."""
  return f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _milliseconds(s: Step) -> str:
  low, high = (_number(1e3 * t) for t in (s.overlapped, s.serial))
  return low if low == high else f"{low} to {high}"


def _percents(steps: Sequence[Step]) -> list[str]:
  both = zip(efficiency(steps, overlap=True), efficiency(steps, overlap=False))
  texts = [(f"{high:.0%}", f"{low:.0%}") for high, low in both]
  return [high if high == low else f"{high} to {low}" for high, low in texts]


def draw(scalings: Sequence[Scaling], out: pathlib.Path) -> None:
  """Draws efficiency over the number of GPUs, weak and strong, as bands from overlap to none.

  Args:
    scalings: one color each.
    out: the PNG to write.
  """
  import matplotlib  # Here, for it is an extra, and takes a second.

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
  titles = ("weak: the same batch on each GPU", "strong: the same batch over all GPUs")
  for axis, title, kind in zip(axes, titles, ("weak", "strong")):
    for scaling in scalings:
      steps = getattr(scaling, kind)
      gpus = [s.gpus for s in steps]
      low, high = (efficiency(steps, overlap=overlap) for overlap in (False, True))
      (line,) = axis.plot(gpus, low, label=scaling.work.name, linewidth=1)
      axis.fill_between(gpus, low, high, alpha=0.2, color=line.get_color())
    axis.set_xscale("log", base=2)
    axis.set_xticks(gpus, [f"{n:,}" for n in gpus], rotation=45)
    axis.set_title(title)
    axis.set_xlabel("GPUs")
    axis.grid(alpha=0.3)
  axes[0].set_ylabel("images/s a GPU, over those of one")
  axes[0].set_ylim(0, 1.05)
  axes[0].legend(loc="lower left")
  figure.suptitle("Computed, not measured: no overlap (line) to full overlap (upper edge)")
  figure.tight_layout()
  figure.savefig(out, dpi=100)
  plt.close(figure)


def run(arguments: argparse.Namespace, *, command: str) -> str:
  """Counts, computes and writes.

  Args:
    arguments: those of the command line.
    command: how it was called.

  Returns:
    The page.

  Raises:
    ValueError: an argument is wrong.
  """
  from sbae_tf import presets, runtime

  fields = [field.name for field in dataclasses.fields(Assumptions)]
  given = Assumptions(**{name: getattr(arguments, name) for name in fields})
  if not given.decode_rate:
    rate = measured_decode_rate(ROOT / "tools" / "results" / "input.json")
    given = dataclasses.replace(given, decode_rate=rate)
  try:
    gpus = [int(part) for part in arguments.gpus.split(",")]
  except ValueError as error:
    raise ValueError(f"Expected --gpus such as 1,8,64. Received: {arguments.gpus}") from error
  if gpus[0] != 1 or sorted(set(gpus)) != gpus:
    raise ValueError(f"Expected --gpus to rise from 1. Received: {arguments.gpus}")
  configs = {
    name: dataclasses.replace(presets.preset(name), precision=arguments.precision)
    for name in (part.strip() for part in arguments.presets.split(","))
  }
  runtime.silence_tensorflow_logs()
  runtime.start_tensorflow()
  scalings = [scale(count(name, config), given, gpus) for name, config in configs.items()]
  out = arguments.out
  out.parent.mkdir(parents=True, exist_ok=True)
  plot = out.with_name(out.name + ".png")
  draw(scalings, plot)
  setting = {"command": command, "precision": arguments.precision, "plot": plot.name}
  text = markdown(scalings, given, setting)
  out.with_name(out.name + ".md").write_text(text, encoding="utf-8")
  return text


def main() -> int:
  """Runs the command line; 2 after a user's mistake."""
  parser = argparse.ArgumentParser(
    prog="scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add("--presets", default=_PRESETS, help=f"default: {_PRESETS}")
  add("--gpus", default=_GPUS, help=f"default: {_GPUS}")
  add(
    "--precision",
    default="mixed_bfloat16",
    choices=("float32", "mixed_bfloat16", "mixed_float16"),
    help="default: mixed_bfloat16",
  )
  for field in dataclasses.fields(Assumptions):
    add(
      f"--{field.name}",
      type={"int": int, "float": float}[str(field.type)],
      default=field.default,
      help=f"{field.metadata['help']}; default: {field.default:g}",
    )
  out = pathlib.Path("tools/results/scaling")
  add("--out", type=pathlib.Path, default=out, help=f"without suffix; default: {out}")
  arguments = parser.parse_args()
  command = shlex.join(["python", "-m", "tools.scaling", *sys.argv[1:]])
  try:
    print(run(arguments, command=command))
  except ValueError as error:
    print(f"scaling: {error}", file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main())
