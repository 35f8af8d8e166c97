"""The protocol of dense labels: what it tells is what was counted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from sbae_tf.evaluation import report, segmentation
from sbae_tf.evaluation.confusion import Confusion
from sbae_tf.evaluation.epochs import Epoch
from sbae_tf.evaluation.label_sheet import palette
from sbae_tf.evaluation.protocol import Context, Section


def _values(subject) -> list[np.ndarray]:
  return [variable.numpy() for variable in subject._trainable.variables]


@pytest.fixture(scope="module")
def parts(write_scenes, tmp_path_factory):
  """Photographs, of which one to train on and two to test on have no usable mask."""
  folder = tmp_path_factory.mktemp("scenes")
  train = write_scenes(folder / "train", count=17, seed=0)
  test = write_scenes(folder / "test", count=6, seed=1)
  (folder / "trainannot" / "03.png").unlink()
  for name in ("00", "04"):
    Image.new("RGB", (53, 42)).save(folder / "testannot" / f"{name}.png")
  return train, test


def _run(subject, parts, folder, said=(), **options) -> Section:
  say = said.append if isinstance(said, list) else lambda line: None
  options = {"classes": "none,a,b,c,red,d,e,blue", "ignore": "1,2,3,5,6,9", **options}
  context = Context(subject, *parts, None, folder, 0, say)
  return segmentation.build(epochs=3, batch_size=8, learning_rate=0.03, **options).run(context)


def test_numbers_tables_and_pictures(any_size_subject, any_size, parts, monkeypatch, tmp_path):
  monkeypatch.setattr(segmentation, "untrained", lambda subject, *, seed: any_size(seed))
  before, said = _values(any_size_subject), []
  section = _run(
    any_size_subject, parts, tmp_path, said, seeds=2, from_scratch=True, pictures=2, validation=0.25
  )
  for value, was in zip(_values(any_size_subject), before):
    np.testing.assert_array_equal(value, was)
  values = json.loads(json.dumps(section.values, allow_nan=False))
  assert values["classes"] == {"0": "none", "4": "red", "7": "blue"}
  assert [values[key] for key in ("trained_on", "validated_on", "tested_on")] == [12, 4, 4]
  assert values["left_out"] == {"no_mask": 1, "no_class_numbers": 2}
  assert len((tmp_path / segmentation.LEFT_OUT).read_text().splitlines()) == 4
  for key in ("given_weights", "random_weights"):
    runs = values[key]["runs"]
    found = [run["mean_iou"] for run in runs]
    assert runs[0]["seed"] != runs[1]["seed"] and found[0] != found[1]
    assert values[key]["mean_iou"] == pytest.approx(np.mean(found)) and min(found) > 0.3
    assert values[key]["std"] == pytest.approx(abs(found[0] - found[1]) / 2**0.5)
    for run in runs:
      assert run["mean_iou"] == pytest.approx(np.mean(list(run["iou"].values())))
      judged = [epoch["validation_mean_iou"] for epoch in run["curve"]]
      assert len(judged) == 3 and run["best_epoch"] == 1 + judged.index(max(judged))
  measures, by_class, left_out = section.tables
  mean, std = (100 * values["given_weights"][key] for key in ("mean_iou", "std"))
  assert measures.rows[0][:2] == ("given weights", f"{mean:.1f} ± {std:.1f}")
  assert f"mean IoU {mean:.1f} ± {std:.1f}% from given weights" in section.summary
  assert [row[0] for row in by_class.rows] == ["none", "red", "blue"]
  assert sum(float(row[1]) for row in by_class.rows) == pytest.approx(100, abs=0.2)
  assert [row[:2] for row in left_out.rows] == [("no_mask", "1"), ("no_class_numbers", "2")]
  assert sum(line.startswith("segmentation: random weights, seed 2 of 2, ") for line in said) == 3

  curve, maps = section.figures
  assert Image.open(tmp_path / curve.file).width == 1200
  picture = np.asarray(Image.open(tmp_path / maps.file).convert("RGB"))
  quarter = picture.shape[1] // 4
  for column, colors in ((1, 3), (2, 2), (3, 2)):  # Truth has them all.
    seen = picture[:, column * quarter : (column + 1) * quarter].reshape(-1, 3)
    seen = [(seen == color).all(axis=1).sum() > 500 for color in palette(3)]
    assert sum(seen) >= colors
  report.write_report(tmp_path, {"Encoder": "any"}, {"segmentation": section})


class _Fake:
  """A segmenter that tells what it is given; class 1 is in no test mask and never predicted."""

  layers, side = ("conv1",), 24

  def __init__(self, subject, encoder, *, classes, recipe) -> None:
    assert classes == 3 and recipe.frozen

  def fit(self, train, *, steps, steps_per_epoch, validation, weights, **_):
    assert (len(train), steps, steps_per_epoch, validation, weights) == (16, 6, 2, None, None)
    return [Epoch(number, 1.0) for number in (1, 2, 3)], None

  def measure(self, test):
    confusion = Confusion(3)
    confusion.add(np.array([[6, 0, 0], [0, 0, 0], [2, 0, 2]]))
    return confusion, 1.0


def test_without_validation_the_last_epoch_is_kept(any_size_subject, parts, monkeypatch, tmp_path):
  monkeypatch.setattr(segmentation, "Segmenter", _Fake)
  section = _run(
    *(any_size_subject, parts, tmp_path), seeds=1, validation=0.0, frozen=True, pictures=0
  )
  run = section.values["given_weights"]["runs"][0]
  assert run["best_epoch"] == 3 and run["curve"][0]["validation_mean_iou"] is None
  assert run["iou"] == {"none": 0.75, "red": None, "blue": 0.5} and run["mean_iou"] == 0.625
  assert section.tables[0].rows == (
    ("given weights", "62.5 ± 0.0", "75.0 ± 0.0", "80.0 ± 0.0", "3"),
  )
  assert section.tables[1].rows[1] == ("red", "0.0", "-")
  assert section.figures == () and "random_weights" not in section.values


def test_wrong_options(any_size_subject, parts, tmp_path):
  for options, told in (
    ({"masks": "{name}.png"}, "`masks`"),
    ({"classes": "a,a"}, "`classes`.* once. Received: 'a' 2 times|"),
    ({"ignore": "300"}, "`ignore`"),
    ({"seeds": 0}, "`seeds` of 1 or more"),
    ({"epochs": 0}, "`epochs` of 1 or more"),
    ({"crop_size": 0}, "`crop_size` of 1 or more"),
    ({"batch_size": 1}, "`batch_size`"),
    ({"validation": 1.0}, "`validation` from 0 to below 1"),
    *(({"scales": scales}, "`scales`") for scales in ("2,1", "0,1", "1", "x,y", "1,inf")),
  ):
    with pytest.raises(ValueError, match=f"{told}.*Received: .*{list(options.values())[0]}"):
      segmentation.build(**options)
  with pytest.raises(ValueError, match="any does not tell how its network is built"):
    _run(any_size_subject, parts, tmp_path, from_scratch=True)
  with pytest.raises(ValueError, match="below 1 in masks, .*Received: 4 in .*trainannot/00.png"):
    _run(any_size_subject, parts, tmp_path, classes="none", ignore="9")
