"""The step's measurements as Markdown and as a plot."""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tools.benchmarks import crops, step_results
from tools.benchmarks.results import Comparison, Measurement
from tools.benchmarks.step_results import Group

_DISTURBED = 0.05  # A free machine's own services take a percent or two.


def markdown(groups: Sequence[Group], setting: Mapping[str, Any]) -> str:
  """Tells a run: how it was made, its numbers, its ratios.

  Args:
    groups: what was measured.
    setting: how: `command`, `date`, `revision`, `machine`, `load`, `versions`, `cores`, `rounds`
      and `seconds`.
  """
  versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
  size = crops.IMAGE_SIZE
  lines = [
    "# Training steps: images a second",
    "",
    f"`{setting['command']}`, {setting['date']}, sbae_tf {setting['revision']}.",
    f"{setting['machine']}. {versions}. Load before the start: {setting['load']} processes.",
    "",
    f"All on the same {len(setting['cores'])} logical processors, each in a process of its own, in "
    f"turn within a table: {setting['rounds']} rounds of {setting['seconds']:g} s each or one "
    "step, after a step or more that are not counted; the median, and the lowest and highest "
    f"round. A step takes {crops.BATCH_SIZE} photographs of {size} x {size}, uint8, and does all "
    "there is to do: Lab, bins, two towers, cross-entropy, gradients, Adam. bfloat16 is Keras's "
    "policy mixed_bfloat16, and PyTorch's autocast. The peak is the rate of large matrix products "
    "in the same rounds, by the library that is faster at them; what a step reaches of it is the "
    "arithmetic of its convolutions.",
    "",
    *_warning(groups),
    *_ratio_table([group for group in groups if _has_ratios(group)]),
  ]
  for group in groups:
    lines += ["", *_table(group, cores=len(setting["cores"]))]
  return "\n".join(lines) + "\n"


def draw(groups: Sequence[Group], out: pathlib.Path, *, cores: int, title: str) -> None:
  """Draws a plot a group with a bar a step, and the range over the rounds.

  Args:
    groups: what was measured; those of matrix products alone are left out.
    out: the PNG to write.
    cores: how many processors they had.
    title: stands above all.
  """
  import matplotlib  # Here, for it is an extra, and takes a second.

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  plots = {group.title: (group, _steps(group)) for group in groups if _steps(group)}
  rows = -(-len(plots) // 2)
  most = max((len(steps) for _, steps in plots.values()), default=0)
  figure, axes = plt.subplots(
    max(rows, 1), 2, figsize=(14, max(rows, 1) * (1.4 + 0.36 * most)), squeeze=False
  )
  for axis in axes.flat[len(plots) :]:
    axis.set_visible(False)
  for axis, (name, (group, steps)) in zip(axes.flat, plots.items()):
    _draw_group(axis, group, steps, cores)
    axis.set_title(name)
  figure.suptitle(title)
  figure.tight_layout()
  figure.savefig(out, dpi=100)
  plt.close(figure)


def _draw_group(axis: Any, group: Group, steps: Sequence[Measurement], cores: int) -> None:
  rates = [[cores * rate for rate in measurement.rates] for measurement in steps]
  medians = [statistics.median(values) for values in rates]
  axis.barh(
    [measurement.title for measurement in steps],
    medians,
    xerr=[
      [median - min(values) for median, values in zip(medians, rates)],
      [max(values) - median for median, values in zip(medians, rates)],
    ],
    color=["tab:orange" if m.key.startswith("torch") else "tab:blue" for m in steps],
    error_kw={"elinewidth": 1, "capsize": 3},
  )
  for place, (measurement, median, values) in enumerate(zip(steps, medians, rates)):
    fraction = step_results.fraction_of_peak(measurement, group)
    part = "" if fraction is None else f", {fraction:.0%} of peak"
    axis.annotate(
      f"{step_results.rate_text(measurement.key, median)}{part}",
      (max(values), place),
      xytext=(5, 0),
      textcoords="offset points",
      va="center",
    )
  axis.set_xlim(0, 1.4 * max(max(values) for values in rates))
  axis.invert_yaxis()  # The first on top, as in the table.
  axis.set_xlabel("images/s: median, lowest to highest round")
  axis.grid(axis="x", alpha=0.3)
  axis.set_axisbelow(True)


def _steps(group: Group) -> list[Measurement]:
  return [m for m in group.measurements if not step_results.is_peak(m.key)]


def _warning(groups: Sequence[Group]) -> list[str]:
  taken = step_results.disturbance(groups)
  if taken is None or taken < _DISTURBED:
    return []
  return [
    f"**Not a measurement: other work took {taken:.0%} of the cores while matrices were "
    "multiplied. Measure again on a machine that is free.**",
    "",
  ]


def _has_ratios(group: Group) -> bool:
  return any(step_results.comparison(ratio, group) for ratio in step_results.RATIOS)


def _ratio_table(groups: Sequence[Group]) -> list[str]:
  if not groups:
    return []
  lines = [
    f"| ratio | {' | '.join(f'{group.title} | goal' for group in groups)} |",
    "| --- |" + " --- | --- |" * len(groups),
  ]
  for ratio in step_results.RATIOS:
    cells = []
    for group in groups:
      found = step_results.comparison(ratio, group)
      cells += [
        _cell(found, alone=len(ratio.others) == 1),
        _goal(ratio.goals.get(group.name), found),
      ]
    lines.append(f"| {ratio.title} | {' | '.join(cells)} |")
  return lines


def _cell(found: Comparison | None, *, alone: bool) -> str:
  if found is None:
    return "not measured"
  other = "" if alone else f"; {found.other}"
  return f"**{found.median:.2f}** ({found.low:.2f} to {found.high:.2f}{other})"


def _goal(goal: float | None, found: Comparison | None) -> str:
  if goal is None:
    return ""
  if found is None:
    return f"{goal:g}"
  return f"{goal:g}, {'met' if found.median >= goal else 'not met'}"


def _table(group: Group, *, cores: int) -> list[str]:
  about = next((m.about for m in group.measurements if "parameters" in m.about), None)
  lines = [f"## {group.title}", ""]
  if about:
    lines += [
      f"{about['parameters']:,} parameters, statistics of normalization included; "
      f"{about['flop_per_image'] / 1e9:.3f} GFLOP of convolutions an image.",
      "",
    ]
  return [
    *lines,
    "| contestant | images/s | lowest to highest | of the peak | cores busy | what it does |",
    "| --- | ---: | ---: | ---: | ---: | --- |",
    *(_row(measurement, group, cores) for measurement in group.measurements),
  ]


def _row(measurement: Measurement, group: Group, cores: int) -> str:
  fraction = step_results.fraction_of_peak(measurement, group)
  detail = measurement.about.get("detail")
  what = f"{measurement.what} ({detail})" if detail else measurement.what
  median, low, high = (
    step_results.rate_text(measurement.key, cores * rate)
    for rate in (measurement.median, min(measurement.rates), max(measurement.rates))
  )
  return (
    f"| {measurement.title} | {median} | {low} to {high} | "
    f"{'' if fraction is None else f'{fraction:.0%}'} | "
    f"{statistics.median(measurement.busy):.0%} | {what} |"
  )
