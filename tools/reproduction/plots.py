"""The plots of the tables."""

from __future__ import annotations

import dataclasses
import io
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from sbae_tf.run_folder import write_aside
from tools.reproduction import spread, tables
from tools.reproduction.cells import CALTECH, IMAGENETTE, layer_methods, timed_methods
from tools.reproduction.methods import Lineup
from tools.reproduction.records import Record
from tools.reproduction.spread import Group, Spread, Value

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

_BARS = {"linear_probe": ("linear probe", "#0072b2"), "finetune": ("fine-tuned", "#d55e00")}
_OVER_SEEDS = "mean and standard deviation over seeds"

# Okabe and Ito 2008, "Color Universal Design", which people of every color vision tell apart.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_Rows = list[tuple[str, dict[str, "Spread | None"]]]


@dataclasses.dataclass(frozen=True)
class _Line:
  """A line of a plot.

  Attributes:
    label: in the legend.
    method: number of its method, which gives color and marker.
    dashed: of a network that was fine-tuned, where frozen ones are in the plot, too.
    points: numbers and accuracies that were measured.
  """

  label: str
  method: int
  dashed: bool
  points: Sequence[tuple[float, Spread]]


@dataclasses.dataclass(frozen=True)
class _Plot:
  """A plot of accuracies.

  Attributes:
    file: its name.
    title: stands above.
    xlabel: what the numbers are, with their unit.
    lines: those that have no point are left out.
    ticks: the numbers of a logarithmic axis; none where it is linear.
    names: what the numbers 0, 1, 2 and so on stand for; none where they are numbers.
  """

  file: str
  title: str
  xlabel: str
  lines: Sequence[_Line]
  ticks: Sequence[int] = ()
  names: Sequence[str] = ()


def draw_all(
  folder: pathlib.Path, records: Sequence[Record], methods: Lineup, minutes: Sequence[float]
) -> set[str]:
  """Draws the plots for which something was measured.

  Args:
    folder: where the PNGs go.
    records: from the oldest to the newest.
    methods: to compare.
    minutes: of the table of equal wall-clock.

  Returns:
    The names of their files.
  """
  drawn = set()
  panels = {dataset: _bars(records, methods, dataset) for dataset in (IMAGENETTE, CALTECH)}
  panels = {dataset: rows for dataset, rows in panels.items() if rows}
  if panels:
    _draw_bars(folder / "table1.png", panels)
    drawn.add("table1.png")
  plots = [_few_shot(records, methods), _layers(records, methods)]
  for number, hardware in enumerate(tables.timed_hardware(records), start=1):
    plots += _timed(records, methods, minutes, hardware, number)
  for plot in plots:
    if any(line.points for line in plot.lines):
      _draw_lines(folder / plot.file, plot)
      drawn.add(plot.file)
  return drawn


def _few_shot(records: Sequence[Record], methods: Lineup) -> _Plot:
  rows = tables.few_shot_rows(records, methods)
  labels = spread.label_counts(tables.few_shot_records(rows))
  lines = [
    _Line(
      title,
      number // 2,
      way == "finetuned",
      _points((n, group.spread("few_shot", spread.few_shot(way, n))) for n in labels),
    )
    for number, (title, group, way) in enumerate(rows)
  ]
  title = f"Accuracy against labels, {IMAGENETTE}"
  return _Plot("table2.png", title, "labels a class (photographs)", lines, ticks=labels)


def _layers(records: Sequence[Record], methods: Lineup) -> _Plot:
  lines = []
  for number, method in enumerate(layer_methods(methods)):
    group = spread.group(records, IMAGENETTE, method.name)
    points = _points(
      (place, group.spread("linear_probe", spread.layer_top1(layer)))
      for place, layer in enumerate(tables.LAYERS)
    )
    lines.append(_Line(method.title, number, False, points))
  title = f"Linear probe, layer by layer, {IMAGENETTE}"
  return _Plot("table3.png", title, "layer", lines, names=tables.LAYERS)


def _timed(
  records: Sequence[Record],
  methods: Lineup,
  minutes: Sequence[float],
  hardware: str,
  number: int,
) -> Iterator[_Plot]:
  """Accuracies against the minutes that the steps really took."""
  rows = tables.timed_groups(records, methods, hardware, minutes)
  labels = tables.shown_labels([group for _, _, group in rows])
  probe_file, few_file = tables.timed_pictures(number)
  few = f"{labels} labels a class, frozen"
  ways: tuple[tuple[str, str, str, Value], ...] = (
    (probe_file, "Linear probe", "linear_probe", spread.top1),
    (few_file, few, "few_shot", spread.few_shot("frozen", labels)),
  )
  for file, what, protocol, value in ways:
    lines = []
    for place, method in enumerate(timed_methods(methods)):
      groups = [(wanted, group) for title, wanted, group in rows if title == method.title]
      if any(wanted and group.records for wanted, group in groups):
        points = _points(
          (_trained_minutes(group, protocol), group.spread(protocol, value)) for _, group in groups
        )
        lines.append(_Line(method.title, place, False, points))
    title = f"{what} against training time, {IMAGENETTE}, on\n{hardware}"
    yield _Plot(file, title, "training (minutes of the steps)", lines)


def _trained_minutes(group: Group, protocol: str) -> float:
  found = group.by_seed(lambda record: record.training_seconds, protocol)
  return found.mean / 60 if found else 0.0


def _points(found: Iterable[tuple[float, Spread | None]]) -> list[tuple[float, Spread]]:
  return [(x, value) for x, value in found if value is not None]


def _draw_lines(file: pathlib.Path, plot: _Plot) -> None:
  from matplotlib.figure import Figure  # Here, for it is an extra, and takes a second.

  figure = Figure(figsize=(10, 5), dpi=120, layout="constrained")
  axes = figure.subplots()
  for line in plot.lines:
    if line.points:
      axes.errorbar(
        [x for x, _ in line.points],
        [100 * value.mean for _, value in line.points],
        [100 * (value.deviation or 0.0) for _, value in line.points],
        label=line.label,
        color=_COLORS[line.method % len(_COLORS)],
        marker=_MARKERS[line.method % len(_MARKERS)],
        linestyle="--" if line.dashed else "-",
        markersize=5,
        capsize=3,
        elinewidth=1,
      )
  if plot.ticks:
    axes.set_xscale("log", base=2)
    axes.minorticks_off()
    axes.set_xticks(plot.ticks, [str(x) for x in plot.ticks])
  if plot.names:
    axes.set_xticks(range(len(plot.names)), plot.names)
  axes.set_title(f"{plot.title}\n{_OVER_SEEDS}")
  axes.set_xlabel(plot.xlabel)
  axes.set_ylabel("top-1 accuracy (%)")
  axes.grid(alpha=0.3)
  figure.legend(loc="outside right center", frameon=False)
  _save(figure, file)


def _save(figure: Figure, file: pathlib.Path) -> None:
  content = io.BytesIO()
  figure.savefig(content, format="png")
  write_aside(file, content.getvalue())


def _bars(records: Sequence[Record], methods: Lineup, dataset: str) -> _Rows:
  """Titles and accuracies of the methods that were measured on a data set."""
  rows = []
  for name, title in tables.table1_methods(records, methods, dataset):
    group = spread.group(records, dataset, name)
    values = {protocol: group.spread(protocol, spread.top1) for protocol in _BARS}
    if any(values.values()):
      rows.append((title, values))
  return rows


def _draw_bars(file: pathlib.Path, panels: dict[str, _Rows]) -> None:
  """A panel a data set, with two bars a method."""
  from matplotlib.figure import Figure  # Here, for it is an extra, and takes a second.

  most = max(map(len, panels.values()))
  size = (7.0 * len(panels), 1.6 + 0.5 * most)
  figure = Figure(figsize=size, dpi=100, layout="constrained")
  axes = figure.subplots(1, len(panels), squeeze=False)[0]
  # A name without a bar would stand in the legend, in another color.
  everything = [values for rows in panels.values() for _, values in rows]
  shown = [protocol for protocol in _BARS if any(values[protocol] for values in everything)]
  for axis, (dataset, rows) in zip(axes, panels.items()):
    axis.set_title(dataset)
    _draw_panel(axis, rows, shown)
  figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
  _save(figure, file)


def _draw_panel(axis: Axes, rows: _Rows, shown: Sequence[str]) -> None:
  for number, protocol in enumerate(shown):
    label, color = _BARS[protocol]
    values = [(place, row[1][protocol]) for place, row in enumerate(rows)]
    bars = [(place, value) for place, value in values if value is not None]
    axis.barh(
      [place + 0.4 * (number - (len(shown) - 1) / 2) for place, _ in bars],
      [100 * value.mean for _, value in bars],
      xerr=[100 * (value.deviation or 0.0) for _, value in bars],
      height=0.38,
      label=label,
      color=color,
      error_kw={"elinewidth": 1, "capsize": 3},
    )
  axis.set_yticks(range(len(rows)), [title for title, _ in rows])
  axis.invert_yaxis()  # The first on top, as in the table.
  axis.set_xlim(0, 100)
  axis.set_xlabel(f"top-1 accuracy (%)\n{_OVER_SEEDS}", fontsize="small")
  axis.margins(y=0.02)
  axis.grid(axis="x", alpha=0.3)
  axis.set_axisbelow(True)
