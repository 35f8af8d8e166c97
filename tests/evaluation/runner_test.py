"""Whole evaluations: what is known to be right, what is kept, and what is refused."""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from sbae_tf.config import Component
from sbae_tf.evaluation import subject as subject_lib
from sbae_tf.evaluation.labelled import Labelled, open_labelled
from sbae_tf.evaluation.report_folder import ReportFolder
from sbae_tf.evaluation.runner import evaluate
from sbae_tf.evaluation.subject import Subject
from tests import mean_color

_OWN = '''
"""Counts how often it is run."""

import pathlib
from PIL import Image
from sbae_tf.evaluation.protocol import Figure, Protocol, Section, Table

class Counter(Protocol):
  def __init__(self, step, fail):
    self.step, self.fail = step, fail

  def run(self, context):
    if self.fail:
      raise ValueError("it does not do")
    Image.new("RGB", (2, 2)).save(context.folder / "counter.png")
    table = Table("Numbers", ("a", "b"), (("1", "2"), ("3", "4")))
    file = context.folder / "features" / "runs"
    file.parent.mkdir(exist_ok=True)
    runs = int(file.read_text()) + 1 if file.exists() else 1
    file.write_text(str(runs))
    values = {"runs": runs, "photographs": [len(context.train), len(context.test)]}
    figures = (Figure("Black", "counter.png", "A picture."),)
    return Section(f"{runs} runs", values, (table,), figures)

def build(*, step: int = 1, fail: bool = False):
  return Counter(step, fail)
'''


@pytest.fixture(scope="module", name="own")
def _own(tmp_path_factory) -> str:
  folder = tmp_path_factory.mktemp("own")
  (folder / "runner_test_package").mkdir()
  (folder / "runner_test_package" / "__init__.py").touch()
  (folder / "runner_test_package" / "counter.py").write_text(_OWN)
  sys.path.insert(0, str(folder))
  yield "runner_test_package.counter"
  sys.path.remove(str(folder))


@pytest.fixture(scope="module", name="subject")
def _subject(tmp_path_factory) -> Subject:
  path = mean_color.save(tmp_path_factory.mktemp("model") / "model")
  return subject_lib.of_saved_model(path, name="colors", image_size=8)


def _photographs(folder: pathlib.Path, *, classes: int, each: int, seed: int) -> Labelled:
  """Each of one color, near that of its class."""
  rng = np.random.default_rng(seed)
  centers = np.random.default_rng(9).integers(20, 230, (classes, 3))
  for label in range(classes):
    (folder / f"class{label}").mkdir(parents=True)
    for number in range(each):
      color = tuple((centers[label] + rng.integers(-9, 10, 3)).tolist())
      Image.new("RGB", (8, 8), color).save(folder / f"class{label}" / f"{number:03}.png")
  return open_labelled(str(folder))


@pytest.fixture(scope="module", name="parts")
def _parts(tmp_path_factory) -> tuple[Labelled, Labelled]:
  folder = tmp_path_factory.mktemp("photos")
  return (
    _photographs(folder / "train", classes=6, each=10, seed=0),
    _photographs(folder / "test", classes=6, each=4, seed=1),
  )


@pytest.fixture(scope="module", name="cache")
def _cache(tmp_path_factory) -> pathlib.Path:
  return tmp_path_factory.mktemp("cache")


def _evaluate(subject: Subject, parts, folder: pathlib.Path, *components: Component, **more):
  return evaluate(
    subject, *parts, protocols=components, folder=folder, say=lambda line: None, **more
  )


def test_what_is_known(subject, parts, cache, tmp_path):
  # One color a class: everybody is right, from the mean color and from the map.
  out = tmp_path / "report"
  report = _evaluate(
    *(subject, parts, out),
    *(Component("linear_probe"), Component("knn", {"layer": "color"})),
    cache=cache,
  )
  assert list(cache.rglob("*.npy")) and not (out / "features").exists()
  assert report == json.loads((out / "report.json").read_text())
  probe, knn = report["protocols"]["linear_probe"], report["protocols"]["knn"]
  assert probe["options"] == {"layers": "", "dimensions": 9000}
  assert list(probe["values"]["layers"]) == ["blocks/4"] == [probe["values"]["best_layer"]]
  layer = probe["values"]["layers"]["blocks/4"]
  assert layer["dimensions"] == 12 and layer["validation"] == 1.0
  assert (layer["top1"], layer["top5"]) == (1.0, 1.0)
  assert (probe["values"]["top1"], probe["values"]["top5"]) == (1.0, 1.0)
  assert probe["summary"].startswith("100.0% by a linear classifier on blocks/4")
  assert knn["options"] == {"layer": "color", "k": None, "temperature": 0.07, "dimensions": 9000}
  assert (knn["values"]["top1"], knn["values"]["layer"]) == (1.0, "color")
  assert 1 <= knn["values"]["k"] <= 50
  assert report["subject"]["name"] == "colors" and report["seed"] == 0
  assert report["train"].startswith("60 images in") and report["skipped"] == 0
  page = (out / "report.html").read_text()
  for text in ("Evaluation of colors", "linear_probe", "knn", "100.0%", "60 images in"):
    assert text in page


@pytest.mark.slow
def test_few_classes_have_no_top5(subject, parts, tmp_path):
  few = [part.subset(np.flatnonzero(part.labels < 2)) for part in parts]
  few = [
    Labelled(type(part.source)(**{**vars(part.source), "class_names": ("class0", "class1")}))
    for part in few
  ]
  layers = Component("linear_probe", {"layers": "color, blocks/4"})
  report = _evaluate(subject, few, tmp_path, layers, Component("knn", {"layer": "color"}))
  values = report["protocols"]["linear_probe"]["values"]
  assert list(values["layers"]) == ["color", "blocks/4"] and values["best_layer"] == "color"
  assert values["top1"] == 1.0 and values["top5"] is None
  assert report["protocols"]["knn"]["values"]["top5"] is None


def test_goes_on(subject, parts, own, cache, tmp_path):
  counter = Component(own, {"step": 2})
  with pytest.raises(ValueError, match="a layer of blocks/4, color, large. Received: embedding"):
    _evaluate(subject, parts, tmp_path, counter, Component("knn"))
  there = json.loads((tmp_path / "report.json").read_text())["protocols"]
  assert list(there) == [own]  # What was found before stays.
  lines: list[str] = []
  report = evaluate(
    *(subject, *parts),
    protocols=[Component("knn", {"layer": "color"}), counter],
    folder=tmp_path,
    cache=cache,
    say=lines.append,
  )
  assert f"{own}: is there already" in lines
  assert list(report["protocols"]) == [own, "knn"]
  found = report["protocols"][own]
  assert found["values"] == {"runs": 1, "photographs": [60, 24]}
  assert found["options"] == {"step": 2, "fail": False}
  page = (tmp_path / "report.html").read_text()
  assert "1 runs" in page and "<td" in page and "Black" in page
  (tmp_path / "counter.png").unlink()  # Its finding is not whole any more.
  report = _evaluate(subject, parts, tmp_path, counter)
  assert report["protocols"][own]["values"]["runs"] == 2
  assert list(report["protocols"]) == ["knn", own]


@pytest.mark.slow
def test_another_report_is_refused(subject, parts, own, tmp_path):
  _evaluate(subject, parts, tmp_path / "out", Component(own))
  before = (tmp_path / "out" / "report.json").read_bytes()
  with pytest.raises(
    ValueError, match=f"made otherwise: seed is 0 there and 1 here, {own}.step is 1 there and 3 he"
  ):
    _evaluate(subject, parts, tmp_path / "out", Component(own, {"step": 3}), seed=1)
  part = parts[0].subset(np.arange(len(parts[0])) != 3)
  with pytest.raises(ValueError, match="made otherwise: train differs. Give another --out"):
    _evaluate(subject, (part, parts[1]), tmp_path / "out", Component("knn", {"layer": "color"}))
  assert (tmp_path / "out" / "report.json").read_bytes() == before
  (tmp_path / "out" / "report.json").write_text("{")
  with pytest.raises(ValueError, match="Cannot read .*report.json"):
    _evaluate(subject, parts, tmp_path / "out", Component(own))
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "thesis.tex").touch()
  with pytest.raises(ValueError, match="holds other files and no report"):
    _evaluate(subject, parts, tmp_path / "other", Component(own))
  with ReportFolder(tmp_path / "new").locked(), pytest.raises(ValueError, match="Another process"):
    _evaluate(subject, parts, tmp_path / "new", Component(own))


def test_mistakes_before_any_work(subject, parts, own, tmp_path):
  out = tmp_path / "out"
  for components, message in (
    ([Component(own), Component("nonesuch")], "Unknown protocol 'nonesuch'. Known: "),
    ([Component(own), Component("knn", {"k": 0})], "protocol 'knn': Expected k of 1 or more"),
    ([Component("linear_probe", {"dimensions": 0})], "Expected `dimensions` of 1 or more"),
    ([Component(own)] * 2, "Expected every protocol once"),
    ([], "Expected protocols of "),
  ):
    with pytest.raises(ValueError, match=message):
      _evaluate(subject, parts, out, *components)
  without = [Labelled(part.source, classes=False) for part in parts]
  for some in (without, (parts[0], without[1])):
    with pytest.raises(ValueError, match="Expected photographs with classes|same classes"):
      _evaluate(subject, some, out, Component("segmentation"), Component(own))
  assert not out.exists()


def test_broken_photographs(subject, own, tmp_path):
  train = mean_color.write_photographs(tmp_path / "train", 9, broken=(1,))
  test = mean_color.write_photographs(tmp_path / "test", 6)
  parts = open_labelled(str(train)), open_labelled(str(test))
  report = _evaluate(
    subject, parts, tmp_path / "out", Component(own), max_skipped=0.1, max_pixels=64
  )
  assert report["skipped"] == 1
  assert report["protocols"][own]["values"]["photographs"] == [8, 6]
  assert "1 that cannot be read" in (tmp_path / "out" / "report.html").read_text()
