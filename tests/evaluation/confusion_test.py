"""What is measured of pixels, against known values and the definitions in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from sbae_tf.evaluation.confusion import Confusion


def _of(counts) -> Confusion:
  confusion = Confusion(len(counts))
  confusion.add(np.array(counts))
  return confusion


def test_known_values():
  # By hand: 3 of the first class are right, 1 is taken for the second, 2 of which for the first.
  confusion = _of([[3, 1], [2, 4]])
  assert confusion.iou.tolist() == [3 / 6, 4 / 7]
  assert confusion.accuracies.tolist() == [3 / 4, 4 / 6]
  assert confusion.mean_iou == pytest.approx((3 / 6 + 4 / 7) / 2)
  assert confusion.mean_accuracy == pytest.approx((3 / 4 + 4 / 6) / 2)
  assert confusion.pixel_accuracy == 7 / 10


def test_agrees_with_sets_of_pixels():
  """Two photographs; class 3 is in prediction only, class 4 in truth only, class 5 nowhere."""
  rng = np.random.default_rng(0)
  truth = rng.choice([0, 1, 2, 4], (2, 9, 7))
  predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.choice([0, 1, 2, 3], truth.shape))
  predicted[truth == 4] = 1
  confusion = Confusion(6)
  for true, found in zip(truth, predicted):
    counts = np.zeros((6, 6), np.int32)
    np.add.at(counts, (true.ravel(), found.ravel()), 1)
    confusion.add(counts)
  overlap = [np.sum((truth == k) & (predicted == k)) for k in range(6)]
  union = [np.sum((truth == k) | (predicted == k)) for k in range(6)]
  iou = [overlap[k] / union[k] for k in range(5)]
  assert iou[3:] == [0, 0]
  np.testing.assert_allclose(confusion.iou, [*iou, np.nan])
  assert confusion.mean_iou == pytest.approx(np.mean(iou))
  recall = [np.mean(predicted[truth == k] == k) for k in (0, 1, 2, 4)]
  assert confusion.mean_accuracy == pytest.approx(np.mean(recall))
  assert np.isnan(confusion.accuracies[[3, 5]]).all()
  assert confusion.pixel_accuracy == pytest.approx(np.mean(truth == predicted))


def test_nothing_counted():
  empty = Confusion(2)
  assert np.isnan([empty.mean_iou, empty.mean_accuracy, empty.pixel_accuracy]).all()
