"""The measurements as Markdown and as a plot."""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tools.benchmarks.results import (
  RATIOS,
  Collection,
  Comparison,
  Measurement,
  compare,
  disturbance,
)

_HEADINGS = {
  "photos": "Photographs",
  "small": "Small files",
}
_DISTURBED = 0.05  # A free machine's own services take a percent or two.


def markdown(collections: Sequence[Collection], setting: Mapping[str, Any]) -> str:
  """Tells a run: how it was made, its numbers, its ratios.

  Args:
    collections: what was measured.
    setting: how: `command`, `date`, `revision`, `machine`, `load`, `versions`, `cores`, `rounds`
      and `seconds`.
  """
  versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
  lines = [
    "# Input: images a second and core",
    "",
    f"`{setting['command']}`, {setting['date']}, sbae_tf {setting['revision']}.",
    f"{setting['machine']}. {versions}. Load before the start: {setting['load']} processes.",
    "",
    f"All on the same {len(setting['cores'])} logical processors, in turn: {setting['rounds']} "
    f"rounds of {setting['seconds']:g} s each; the median, and the lowest and highest round. "
    "Every contestant reads each file when its turn comes, from the page cache: all were read once "
    "before. The loaders make batches of 64 random crops (area 0.25 to 1, aspect 3/4 to 4/3), "
    "resized to 96 x 96 and flipped, uint8. The bare loops make no batches, do not resize, do not "
    "flip, and know each file's size and crop beforehand: they are limits. Where cores are not "
    "busy for nearly all of the time, the contestant waited or the machine had other work.",
    "",
    *_warning(collections),
    *_ratio_table(collections),
  ]
  for collection in collections:
    lines += ["", *_table(collection)]
  return "\n".join(lines) + "\n"


def draw(collections: Sequence[Collection], out: pathlib.Path, *, title: str) -> None:
  """Draws a bar a contestant, with the range over the rounds.

  Args:
    collections: one plot each.
    out: the PNG to write.
    title: stands above all.
  """
  import matplotlib  # Here, for it is an extra, and takes a second.

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  height = 1.4 + 0.36 * max(len(collection.measurements) for collection in collections)
  figure, axes = plt.subplots(
    1, len(collections), figsize=(7 * len(collections), height), squeeze=False
  )
  for axis, collection in zip(axes[0], collections):
    measurements = collection.measurements
    medians = [measurement.median for measurement in measurements]
    below = [m.median - min(m.rates) for m in measurements]
    above = [max(m.rates) - m.median for m in measurements]
    axis.barh(
      [measurement.title for measurement in measurements],
      medians,
      xerr=[below, above],
      color=[_color(measurement.key) for measurement in measurements],
      error_kw={"elinewidth": 1, "capsize": 3},
    )
    for place, measurement in enumerate(measurements):
      axis.annotate(
        f"{measurement.median:,.0f}",
        (max(measurement.rates), place),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
      )
    axis.set_xlim(0, 1.18 * max(max(m.rates) for m in measurements))
    axis.invert_yaxis()  # The first on top, as in the table.
    axis.set_title(f"{_HEADINGS[collection.name]}: {collection.images:,} files")
    axis.set_xlabel("images/s per core: median, lowest to highest round")
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
  figure.suptitle(title)
  figure.tight_layout()
  figure.savefig(out, dpi=100)
  plt.close(figure)


def _warning(collections: Sequence[Collection]) -> list[str]:
  taken = disturbance(collections)
  if taken < _DISTURBED:
    return []
  return [
    f"**Not a measurement: other work took {taken:.0%} of the cores while the bare loops ran. That "
    "favors contestants of many threads. Measure again on a machine that is free.**",
    "",
  ]


def _ratio_table(collections: Sequence[Collection]) -> list[str]:
  names = [collection.name for collection in collections]
  lines = [
    f"| ratio | {' | '.join(f'{_HEADINGS[name].lower()} | goal' for name in names)} |",
    "| --- |" + " --- | --- |" * len(names),
  ]
  for ratio in RATIOS:
    cells = []
    for collection in collections:
      comparison = compare(ratio, collection.measurements)
      goal = ratio.goals.get(collection.name)
      cells += [_cell(comparison), "" if goal is None else _goal(goal, comparison)]
    lines.append(f"| {ratio.title} | {' | '.join(cells)} |")
  return lines


def _cell(comparison: Comparison | None) -> str:
  if comparison is None:
    return "not measured"
  return (
    f"**{comparison.median:.2f}** ({comparison.low:.2f} to {comparison.high:.2f}; "
    f"{comparison.other})"
  )


def _goal(goal: float, comparison: Comparison | None) -> str:
  if comparison is None:
    return f"{goal:g}"
  return f"{goal:g}, {'met' if comparison.median >= goal else 'not met'}"


def _table(collection: Collection) -> list[str]:
  return [
    f"## {_HEADINGS[collection.name]}: {collection.images:,} files of {collection.folder}",
    "",
    "| contestant | images/s per core | lowest to highest | cores busy | images a second of "
    "processor time | what it does |",
    "| --- | ---: | ---: | ---: | ---: | --- |",
    *(_row(measurement) for measurement in collection.measurements),
  ]


def _row(measurement: Measurement) -> str:
  detail = measurement.about.get("detail")
  what = f"{measurement.what} ({detail})" if detail else measurement.what
  return (
    f"| {measurement.title} | {measurement.median:,.0f} | {min(measurement.rates):,.0f} to "
    f"{max(measurement.rates):,.0f} | {statistics.median(measurement.busy):.0%} | "
    f"{measurement.per_processor_second:,.0f} | {what} |"
  )


def _color(key: str) -> str:
  family = key.partition("_")[0]
  return {"sbae": "tab:blue", "torch": "tab:orange"}.get(family, "tab:gray")
