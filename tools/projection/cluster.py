"""How long a cluster of GPUs takes for a step. Letters and formulas as in `tools.scaling`."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from tools.projection.workload import Workload


def _assumption(default: Any, text: str) -> Any:
  return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Assumptions:
  """What is not counted. `tools.scaling` has the sources."""

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
  """The formulas of `tools.scaling`.

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
