"""The page and the plot of a projection."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from tools.projection.cluster import Assumptions, Scaling, Step, efficiency, knee

_WEAK_KNEE, _STRONG_KNEE = 0.9, 0.5  # Efficiency without overlap.


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
    (fed if fewer else starved).append(f"{scaling.work.name} ({_number(needed)})")
  lines = ["What it shows:", ""]
  if starved:
    lines.append(
      "- **Decoding comes first.** One GPU wants more decoding cores than the "
      f"{given.cores_per_gpu} it has with {', '.join(starved)}: from the first GPU on, the input "
      "is the knee. Write the photographs small (records of about the size that is trained on), "
      "or decode on other machines (`--data_service`)."
    )
  if fed:
    lines.append(
      f"- The {given.cores_per_gpu} cores a GPU that were assumed are enough for {', '.join(fed)}."
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
