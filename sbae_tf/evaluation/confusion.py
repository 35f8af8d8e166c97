"""How often pixels of a class are taken for another one, and what is measured by it."""

from __future__ import annotations

import numpy as np


class Confusion:
  """The pixels of all photographs, counted by true and by predicted class.

  Attributes:
    counts: (K, K) int64, pixels of the class of the row that were taken for the class of the
      column.

  Reference: Long, Shelhamer and Darrell 2015, arXiv:1411.4038, Sec. 5, "Metrics".

  Differs from the paper: a class without a pixel in truth has no accuracy, and one without a pixel
  in truth and in prediction has no intersection over union. Neither counts in a mean.
  """

  def __init__(self, classes: int) -> None:
    """Has counted nothing.

    Args:
      classes: K.
    """
    self.counts = np.zeros((classes, classes), np.int64)

  def add(self, counts: np.ndarray) -> None:
    """Adds pixels.

    Args:
      counts: (K, K) integers, as the attribute.
    """
    self.counts += counts.astype(np.int64)

  @property
  def iou(self) -> np.ndarray:
    """Intersection over union of each class, (K,) float64 in [0, 1], or NaN."""
    right, true, predicted = self._sums()
    return _ratio(right, true + predicted - right)

  @property
  def accuracies(self) -> np.ndarray:
    """The part of each class's pixels that is right, (K,) float64 in [0, 1], or NaN."""
    right, true, _ = self._sums()
    return _ratio(right, true)

  @property
  def mean_iou(self) -> float:
    """The mean of `iou` over the classes that are in truth or prediction, in [0, 1].

    NaN where no pixel was counted, as for those that follow.
    """
    return _mean(self.iou)

  @property
  def mean_accuracy(self) -> float:
    """The mean of `accuracies` over the classes that are in truth, in [0, 1]."""
    return _mean(self.accuracies)

  @property
  def pixel_accuracy(self) -> float:
    """The part of all pixels that is right, in [0, 1]."""
    return float(_ratio(np.trace(self.counts), self.counts.sum()))

  def _sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each class the pixels that are right, those that are it, and those taken for it."""
    return np.diagonal(self.counts), self.counts.sum(axis=1), self.counts.sum(axis=0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def _mean(values: np.ndarray) -> float:
  known = values[~np.isnan(values)]
  return float(known.mean()) if len(known) else float("nan")
