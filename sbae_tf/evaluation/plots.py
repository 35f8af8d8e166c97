"""Plots of reports, as PNG files 1,200 pixels wide.

Colors are those of Okabe and Ito, which people of every color vision tell apart; a second sign,
such as a marker, tells the same.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import os
import pathlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sbae_tf.run_folder import write_aside
from sbae_tf.writing import writing

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design", without yellow, which white swallows.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_GRAY = "#cccccc"
# Inches, and pixels of each: 1,200 x 675. Large letters, for a phone shows it 340 pixels wide.
_WIDTH, _HEIGHT, _DPI = 6.4, 3.6, 187.5
_MOST_TICKS = 12  # More have no room for their numbers.
_LEGEND_ROWS = 26  # That fit beside a map.
_NAME, _TITLE = 32, 70  # Characters that there is room for.
_LEGEND_INSIDE = 5  # Series; a legend of more hides lines.

Series = Mapping[str, tuple[Sequence[float], Sequence[float], "Sequence[float] | None"]]


def check_matplotlib() -> None:
  """Raises ValueError where there is no matplotlib, and says how to get it."""
  if importlib.util.find_spec("matplotlib") is None:
    raise ValueError("Plots need matplotlib, which is not installed: pip install '.[plots]'")


def layer_bars(
  path: str | os.PathLike[str],
  *,
  title: str,
  layers: Sequence[str],
  values: Sequence[float],
  ylabel: str,
  chance: float | None = None,
  stds: Sequence[float] | None = None,
) -> None:
  """Draws a bar a layer.

  Args:
    path: the PNG to write.
    title: stands above.
    layers: N names, from left to right.
    values: N accuracies, fractions in [0, 1]; shown in percent.
    ylabel: what they are, such as "top-1 accuracy".
    chance: an accuracy that is drawn as a line, in [0, 1].
    stds: their N standard deviations, drawn as error bars.

  Raises:
    ValueError: there is no bar, a number is missing or out of range, or there is no matplotlib.
    WriteError: the file cannot be written.
  """
  _check_accuracies(values, stds, count=len(layers), what="layers")
  figure, axes = _figure(title)
  places = range(len(layers))
  axes.bar(places, values, width=0.7, yerr=stds, capsize=4, color=_COLORS[0], ecolor="black")
  for place, value, std in zip(places, values, stds or [0.0] * len(layers)):
    axes.annotate(
      f"{100 * value:.1f}",
      (place, value + std),
      xytext=(0, 3),
      textcoords="offset points",
      ha="center",
    )
  many = max(len(name) for name in layers) * len(layers) > 60
  names = [_text(name) for name in layers]
  axes.set_xticks(places, names, rotation=45 if many else 0, ha="right" if many else "center")
  axes.set_xlabel("layer")
  axes.grid(visible=False, axis="x")
  _percent_axis(axes, ylabel, highest=max(_tops(values, stds)), chance=chance)
  _save(figure, path)


def accuracy_curve(
  path: str | os.PathLike[str],
  *,
  title: str,
  xlabel: str,
  ylabel: str,
  series: Series,
  log_x: bool = False,
  chance: float | None = None,
) -> None:
  """Draws accuracies over a number, a line a series.

  Args:
    path: the PNG to write.
    title: stands above.
    xlabel: what the number is, with its unit.
    ylabel: what the accuracies are, such as "top-1 accuracy".
    series: a name to numbers, means and standard deviations, N of each; means are fractions in
      [0, 1], shown in percent; None in the place of the deviations draws no error bars.
    log_x: whether the number's axis is logarithmic, to base 2.
    chance: an accuracy that is drawn as a line, in [0, 1].

  Raises:
    ValueError: there is no series, a number is missing or out of range, or there is no matplotlib.
    WriteError: the file cannot be written.
  """
  if not series:
    raise ValueError("Expected one series or more. Received none.")
  for name, (xs, means, stds) in series.items():
    _check_accuracies(means, stds, count=len(xs), what=f"numbers of '{name}'")
    if log_x and min(xs) <= 0:
      raise ValueError(f"Expected numbers above 0 on a logarithmic axis. Received: {min(xs)}")
  figure, axes = _figure(title)
  styles = itertools.product(("-", "--", ":"), zip(_COLORS, _MARKERS))
  for (name, (xs, means, stds)), (line, (color, marker)) in zip(
    series.items(), itertools.cycle(styles)
  ):
    axes.errorbar(
      *(xs, means, stds),
      label=_text(name),
      color=color,
      marker=marker,
      linestyle=line,
      markersize=5,
      capsize=3,
      elinewidth=1,
    )
  numbers = sorted({x for xs, _, _ in series.values() for x in xs})
  if log_x:
    axes.set_xscale("log", base=2)
    axes.minorticks_off()
  if log_x and len(numbers) <= _MOST_TICKS:
    axes.set_xticks(numbers, [f"{x:g}" for x in numbers])
  if not log_x and all(float(x).is_integer() for x in numbers):
    axes.locator_params(axis="x", integer=True)
  axes.set_xlabel(xlabel)
  highest = max(top for _, means, stds in series.values() for top in _tops(means, stds))
  _percent_axis(axes, ylabel, highest=highest, chance=chance)
  if len(series) > _LEGEND_INSIDE:
    figure.legend(loc="outside right center", frameon=False)
  elif len(series) > 1:
    axes.legend()
  _save(figure, path)


def point_map(
  path: str | os.PathLike[str],
  *,
  title: str,
  points: np.ndarray,
  labels: np.ndarray,
  class_names: Sequence[str],
  axis_name: str,
) -> None:
  """Draws points in a plane, a color and a marker a class.

  Args:
    path: the PNG to write.
    title: stands above.
    points: (N, 2) float32.
    labels: (N,) integers, indices into `class_names`. Of many classes only those with the most
      points get a color; the others are gray.
    class_names: for the legend.
    axis_name: of both axes, such as "t-SNE": they have no unit.

  Raises:
    ValueError: the shapes do not fit, or there is no matplotlib.
    WriteError: the file cannot be written.
  """
  if points.ndim != 2 or points.shape[1] != 2 or labels.shape != points.shape[:1]:
    raise ValueError(
      f"Expected `points` (N, 2) and `labels` (N,). Received: {points.shape} and {labels.shape}"
    )
  figure, axes = _figure(title, height=4.6)
  found, counts = np.unique(labels, return_counts=True)
  colored = np.sort(found[np.argsort(-counts, kind="stable")][: _LEGEND_ROWS - 1])
  others = ~np.isin(labels, colored)
  # Neighbors in the legend differ in color; as 7 colors are through, the next marker's turn is.
  styles = [(color, marker) for marker in _MARKERS for color in _COLORS]
  for label, (color, marker) in zip(colored, styles):
    x, y = points[labels == label].T
    name = _text(class_names[label])
    axes.scatter(x, y, s=20, color=color, marker=marker, label=name, alpha=0.8, linewidths=0)
  if others.any():
    name = f"{len(found) - len(colored)} other classes"
    x, y = points[others].T
    axes.scatter(x, y, s=8, color=_GRAY, label=name, linewidths=0, zorder=0.9)
  axes.set_xlabel(f"{axis_name} 1 (no unit)")
  axes.set_ylabel(f"{axis_name} 2 (no unit)")
  axes.set_aspect("equal", "datalim")
  figure.legend(loc="outside right center", fontsize=8, frameon=False)
  _save(figure, path)


def write_picture(path: str | os.PathLike[str], content: bytes) -> None:
  """Writes a file; under its name it is whole or absent.

  Raises:
    WriteError: it cannot be written.
  """
  path = pathlib.Path(path)
  with writing(path):
    write_aside(path, content)


def _check_accuracies(
  values: Sequence[float], stds: Sequence[float] | None, *, count: int, what: str
) -> None:
  if not count or len(values) != count or (stds is not None and len(stds) != count):
    received = f"{len(values)}" + ("" if stds is None else f" with {len(stds)} deviations")
    raise ValueError(
      f"Expected an accuracy for each of the {what}, 1 or more. There are {count}. "
      f"Received: {received}"
    )
  wrong = [value for value in values if not 0 <= value <= 1]
  if wrong:
    raise ValueError(f"Expected accuracies as fractions in [0, 1]. Received: {wrong[0]}")


def _tops(values: Sequence[float], stds: Sequence[float] | None) -> list[float]:
  """Where the error bars end."""
  return [value + std for value, std in zip(values, stds or [0.0] * len(values))]


def _figure(title: str, *, height: float = _HEIGHT) -> tuple[Figure, Axes]:
  check_matplotlib()
  # Here, for it is an extra, and takes a second. Not by pyplot, which keeps state of its own: a
  # bare figure is drawn by Agg, without a display.
  from matplotlib.figure import Figure

  figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
  axes = figure.add_subplot()
  axes.set_title("\n".join(textwrap.wrap(_text(title, None), _TITLE)))
  axes.grid(alpha=0.3)
  axes.set_axisbelow(True)
  for side in ("top", "right"):
    axes.spines[side].set_visible(False)
  return figure, axes


def _percent_axis(axes: Axes, ylabel: str, *, highest: float, chance: float | None) -> None:
  """The axis of accuracies, from 0 to a little above the highest; and chance."""
  from matplotlib.ticker import PercentFormatter

  if chance is not None:
    axes.axhline(chance, color="black", linestyle="--", linewidth=1)
    axes.annotate(
      f"chance\n{chance:.1%}",
      (1.0, chance),
      xycoords=("axes fraction", "data"),
      xytext=(4, 0),
      textcoords="offset points",
      va="center",
    )
  axes.set_ylim(0, max(1.1 * max(highest, chance or 0.0), 0.01))
  axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
  axes.set_ylabel(ylabel if "%" in ylabel else f"{ylabel} (%)")


def _text(text: str, longest: int | None = _NAME) -> str:
  """A name as it is: matplotlib takes dollars for mathematics, leaves `_name` out of legends."""
  if longest and len(text) > longest:
    text = text[: longest - 1] + "…"
  text = text.replace("$", r"\$")
  return f" {text}" if text.startswith("_") else text


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
  content = io.BytesIO()
  figure.savefig(content, format="png")
  write_picture(path, content.getvalue())
