"""The picture of labels: colors are the classes', and all are in the legend."""

from __future__ import annotations

import numpy as np

from sbae_tf.evaluation import label_sheet
from sbae_tf.evaluation.label_classes import IGNORED


def test_colors_are_told_apart():
  colors = label_sheet.palette(255)
  np.testing.assert_array_equal(label_sheet.palette(3), colors[:3])
  assert len(np.unique(colors, axis=0)) == 255
  labels = np.array([[0, 2], [IGNORED, 1]], np.uint8)
  found = label_sheet.colored(labels, 3)
  np.testing.assert_array_equal(found[labels < 3], colors[[0, 2, 1]])
  assert found[1, 0].tolist() == [255, 255, 255]


def test_what_is_shown():
  photograph = np.full((30, 60, 3), 77, np.uint8)
  truth, predicted = np.zeros((30, 60), np.uint8), np.full((30, 60), 1, np.uint8)
  truth[:, 30:] = IGNORED
  picture = np.asarray(
    label_sheet.sheet(
      [(photograph, [truth, predicted])] * 2,
      heads=["photograph", "truth", "from x"],
      class_names=["Sky", "Road", "A name that is too long to be shown as a whole"],
    )
  )
  assert picture.shape[1] == 1200
  colors = label_sheet.palette(3)
  row = picture[200]
  assert row[200].tolist() == [77] * 3 and (row[420:580] == colors[0]).all()
  assert (row[620:780] == 255).all() and (row[820:1180] == colors[1]).all()
  legend = picture[-80:].reshape(-1, 3)
  for color in colors:
    assert (legend == color).all(axis=1).sum() > 400


def test_many_classes():
  names = [f"class {number}" for number in range(150)]
  picture = label_sheet.sheet([], heads=["photograph"], class_names=names)
  assert picture.width == 1200 and 200 < picture.height < 700
