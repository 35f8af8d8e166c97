"""Plots: what is given reaches the axes, and the files are pictures."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest
from PIL import Image

from sbae_tf.evaluation import plots
from sbae_tf.failures import WriteError

pytest.importorskip("matplotlib")


@pytest.fixture(name="axes")
def _axes(monkeypatch):
  """Makes plots keep their axes: call it to have those of the last one."""
  kept = []
  save = plots._save

  def keep(figure, path) -> None:
    kept.append(figure)
    save(figure, path)

  monkeypatch.setattr(plots, "_save", keep)
  return lambda: kept[-1].axes[0]


def _names(legend) -> list[str]:
  return [text.get_text() for text in legend.get_texts()]


def _check_picture(path) -> None:
  """Held to a width, whole, and not blank."""
  image = Image.open(io.BytesIO(path.read_bytes()))
  assert image.format == "PNG" and image.width == 1200
  pixels = np.asarray(image.convert("RGB"))
  assert pixels.std() > 5 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
  assert [file.name for file in path.parent.iterdir()] == [path.name]  # Nothing is left aside.


def test_bars_have_the_values(axes, tmp_path) -> None:
  plots.layer_bars(
    tmp_path / "bars.png",
    title="Costs $5 to $9",
    layers=["conv1", "_conv2"],
    values=[0.25, 0.5],
    stds=[0.01, 0.2],
    ylabel="top-1 accuracy",
    chance=0.1,
  )
  drawn = axes()
  assert [bar.get_height() for bar in drawn.patches] == [0.25, 0.5]
  assert [text.get_text().strip() for text in drawn.get_xticklabels()] == ["conv1", "_conv2"]
  assert [text.get_text() for text in drawn.texts] == ["25.0", "50.0", "chance\n10.0%"]
  assert drawn.get_ylim()[0] == 0 and drawn.get_ylim()[1] > 0.7  # Above the error bars.
  assert (drawn.get_xlabel(), drawn.get_ylabel()) == ("layer", "top-1 accuracy (%)")
  assert drawn.get_title() == r"Costs \$5 to \$9"  # Dollars, and not a formula.
  errors = drawn.collections[0].get_segments()
  np.testing.assert_allclose([s[:, 1] for s in errors], [[0.24, 0.26], [0.3, 0.7]])
  _check_picture(tmp_path / "bars.png")


def test_curves_have_means_deviations_and_chance(axes, tmp_path) -> None:
  labels = [1, 2, 4]
  plots.accuracy_curve(
    tmp_path / "curve.png",
    title="Accuracy",
    xlabel="labels a class",
    ylabel="top-1 accuracy",
    series={"frozen": (labels, [0.2, 0.3, 0.4], [0.05, 0.02, 0.01]), "_b": ([2], [0.6], None)},
    log_x=True,
    chance=0.1,
  )
  drawn = axes()
  np.testing.assert_array_equal(drawn.lines[0].get_xydata(), [[1, 0.2], [2, 0.3], [4, 0.4]])
  bars = drawn.collections[0].get_segments()
  np.testing.assert_allclose(bars[0][:, 1], [0.15, 0.25])
  assert drawn.get_xscale() == "log"
  assert [text.get_text() for text in drawn.get_xticklabels()] == ["1", "2", "4"]
  assert any(list(line.get_ydata()) == [0.1, 0.1] for line in drawn.lines)
  # matplotlib leaves out names that begin with a line.
  assert _names(drawn.get_legend()) == ["frozen", " _b"]
  _check_picture(tmp_path / "curve.png")


def test_many_series_differ_by_more_than_color(axes, tmp_path) -> None:
  series = {str(i): ([0, 1], [0.1, i / 20], [0.0, 0.0]) for i in range(20)}
  plots.accuracy_curve(tmp_path / "c.png", title="", xlabel="x (s)", ylabel="y", series=series)
  lines = [container[0] for container in axes().containers]
  signs = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
  assert len(signs) == 20
  assert all(float(tick).is_integer() for tick in axes().get_xticks())  # As the numbers are.


def test_a_map_has_every_point_in_the_color_of_its_class(axes, tmp_path) -> None:
  rng = np.random.default_rng(0)
  labels = np.concatenate([np.arange(40), np.arange(25).repeat(2)])
  points = rng.normal(size=(len(labels), 2)).astype(np.float32)
  names = [f"class {i}" for i in range(40)]
  plots.point_map(
    *(tmp_path / "map.png",),
    title="Map",
    points=points,
    labels=labels,
    class_names=names,
    axis_name="t-SNE",
  )
  drawn = {c.get_label(): c for c in axes().collections}
  assert list(drawn) == [*names[:25], "15 other classes"]  # Those of the most points.
  np.testing.assert_array_equal(drawn["class 7"].get_offsets(), points[labels == 7])
  np.testing.assert_array_equal(drawn["15 other classes"].get_offsets(), points[labels > 24])
  _check_picture(tmp_path / "map.png")


@pytest.mark.parametrize(
  ("values", "stds", "message"),
  [
    ([67.9, 55.0], None, r"fractions in \[0, 1\]. Received: 67.9"),
    ([0.5, float("nan")], None, "Received: nan"),
    ([0.5], None, "There are 2. Received: 1"),
    ([0.5, 0.5], [0.1], "Received: 2 with 1 deviations"),
  ],
)
def test_wrong_numbers_are_refused(tmp_path, values, stds, message) -> None:
  with pytest.raises(ValueError, match=message):
    plots.layer_bars(
      tmp_path / "b.png", title="", layers=["a", "b"], values=values, ylabel="", stds=stds
    )
  series = {"s": ([1, 2], values, stds)}
  with pytest.raises(ValueError, match=message):
    plots.accuracy_curve(tmp_path / "b.png", title="", xlabel="", ylabel="", series=series)
  assert not list(tmp_path.iterdir())


def test_nothing_and_zero_on_a_logarithm_are_refused(tmp_path) -> None:
  with pytest.raises(ValueError, match="one series or more"):
    plots.accuracy_curve(tmp_path / "b.png", title="", xlabel="", ylabel="", series={})
  series = {"s": ([0], [0.5], None)}
  with pytest.raises(ValueError, match="above 0"):
    plots.accuracy_curve(
      tmp_path / "b.png", title="", xlabel="", ylabel="", series=series, log_x=True
    )


def test_a_folder_that_is_gone_is_told_in_a_line(tmp_path) -> None:
  with pytest.raises(WriteError, match=r"Cannot write .*b\.png: No such file or directory"):
    plots.write_picture(tmp_path / "gone" / "b.png", b"")


def test_without_matplotlib_it_says_what_to_install(monkeypatch) -> None:
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(ValueError, match=r"pip install '.\[plots\]'"):
    plots.check_matplotlib()
