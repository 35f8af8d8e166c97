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
import pathlib
import shlex
import sys

from tools.benchmarks.contestant import ROOT
from tools.projection.cluster import Assumptions, measured_decode_rate, scale
from tools.projection.page import draw, markdown
from tools.projection.workload import count

_PRESETS = "simplenet_lab,resnet18_lab,alexnet_lab,split_brain"
_GPUS = ",".join(str(2**power) for power in range(11))


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
