"""Draws a run's losses and tells it in a line of a table.

`python -m tools.plot_run runs/split_brain_96_kmeans --out=loss.png`
"""

from __future__ import annotations

import argparse
import collections
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import sys

from tools.benchmarks.machine import processor


def read_series(metrics: pathlib.Path) -> dict[str, tuple[list[int], list[float]]]:
  """Reads `metrics.jsonl`.

  Args:
    metrics: the file, a JSON object a line, each with `step`.

  Returns:
    A scalar's name to its steps and values.
  """
  series: dict[str, tuple[list[int], list[float]]] = collections.defaultdict(lambda: ([], []))
  for line in metrics.read_text(encoding="utf-8").splitlines():
    values = json.loads(line)
    for name, value in values.items():
      if name not in ("step", "time"):
        series[name][0].append(values["step"])
        series[name][1].append(value)
  return dict(series)


def draw(workdir: pathlib.Path, out: pathlib.Path, *, title: str) -> None:
  """Draws one plot a branch: its loss while training, and on held-out photographs.

  Args:
    workdir: the run's folder.
    out: the PNG to write.
    title: stands above all.
  """
  import matplotlib  # Here, for it is an extra, and takes a second.

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  series = read_series(workdir / "metrics.jsonl")
  names = [name[len("loss/") :] for name in series if name.startswith("loss/")]
  figure, axes = plt.subplots(1, len(names), figsize=(4 * len(names), 3.2), squeeze=False)
  for axis, name in zip(axes[0], names):
    axis.plot(*series[f"loss/{name}"], label="training", linewidth=1)
    if f"heldout/{name}" in series:
      axis.plot(*series[f"heldout/{name}"], "o-", label="held out", markersize=3, linewidth=1)
    axis.set_title(name)
    axis.set_xlabel("step")
    axis.set_ylabel("loss (nats a pixel)")
    axis.grid(alpha=0.3)
    axis.legend()
  figure.suptitle(title)
  figure.tight_layout()
  figure.savefig(out, dpi=100)
  plt.close(figure)


def summarize(workdir: pathlib.Path) -> str:
  """A run in a line of a Markdown table: steps, speed, last held-out losses, machine, versions.

  Args:
    workdir: the run's folder.
  """
  series = read_series(workdir / "metrics.jsonl")
  speed = statistics.median(series["images_per_second"][1])
  heldout = ", ".join(
    f"{name[len('heldout/') :]} {values[-1]:.3f}"
    for name, (_, values) in series.items()
    if name.startswith("heldout/") and name != "heldout/total"
  )
  versions = ", ".join(
    f"{name} {importlib.metadata.version(name)}" for name in ("tensorflow", "numpy")
  )
  machine = f"{os.cpu_count()} x {processor()}, Python {platform.python_version()}, {versions}"
  steps = max(step for seen, _ in series.values() for step in seen)
  return f"| {workdir.name} | {steps} | {speed:.3g} | {heldout} | {machine} |"


def main() -> int:
  """Runs the command line; 2 after a user's mistake."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("workdir", type=pathlib.Path, help="a run's folder")
  parser.add_argument("--out", type=pathlib.Path, required=True, help="the PNG to write")
  parser.add_argument("--title", default="", help="above the plots; default: the folder's name")
  arguments = parser.parse_args()
  if not (arguments.workdir / "metrics.jsonl").is_file():
    print(
      f"plot_run: No metrics.jsonl in {arguments.workdir}: not a run's folder.", file=sys.stderr
    )
    return 2
  draw(arguments.workdir, arguments.out, title=arguments.title or arguments.workdir.name)
  print("| run | steps | median images/s | held-out loss, nats a pixel | machine |")
  print(summarize(arguments.workdir))
  return 0


if __name__ == "__main__":
  sys.exit(main())
