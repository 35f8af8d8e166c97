"""Classes of the nearest photographs: weighted votes of k neighbors by cosine, nothing trained."""

from __future__ import annotations

import numpy as np

from sbae_tf.evaluation.labelled import split
from sbae_tf.evaluation.logistic_regression import top_k_accuracy
from sbae_tf.evaluation.protocol import Context, Protocol, Section

# What k is chosen of; Wu et al. take 200 on ImageNet.
_CANDIDATES = (1, 2, 5, 10, 20, 50, 100, 200)

_FRACTION = 0.2  # Of the training part, to choose k on.
_BLOCK = 1 << 26  # Similarities at a time: 256 MB.


def knn_scores(
  train: np.ndarray,
  labels: np.ndarray,
  test: np.ndarray,
  *,
  k: int,
  classes: int,
  temperature: float = 0.07,
) -> np.ndarray:
  """Each class's share of the votes of the k nearest, by cosine.

  A neighbor of cosine s votes with the weight exp(s / T).

  Args:
    train: (N, D) float features; of any length, for cosines see directions only.
    labels: (N,) integers in [0, classes).
    test: (M, D) float features.
    k: neighbors, from 1 to N.
    classes: C.
    temperature: T, above 0: small ones let the nearest decide, large ones count heads.

  Returns:
    (M, C) float32; a row sums to 1.

  Raises:
    ValueError: an argument is out of range, or shapes do not fit.

  Reference: Wu et al. 2018, arXiv:1805.01978, section 3.4.
  """
  return _votes(
    *neighbors(train, test, k=k), labels=labels, classes=classes, temperature=temperature
  )


def neighbors(train: np.ndarray, test: np.ndarray, *, k: int) -> tuple[np.ndarray, np.ndarray]:
  """The k nearest by cosine.

  Args:
    train: (N, D) float.
    test: (M, D) float.
    k: from 1 to N.

  Returns:
    (M, k) int64 indices into `train`, the nearest first; and (M, k) float32 cosines. That of a
    vector without length is 0.

  Raises:
    ValueError: k is out of range, or the shapes do not fit.
  """
  if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
    raise ValueError(
      f"Expected features (N, D) and (M, D). Received: {train.shape} and {test.shape}"
    )
  if not 1 <= k <= len(train):
    raise ValueError(f"Expected `k` from 1 to {len(train)}, the features. Received: {k}")
  train = _directions(train)
  indices = np.empty((len(test), k), np.int64)
  cosines = np.empty((len(test), k), np.float32)
  step = max(1, _BLOCK // len(train))
  for start in range(0, len(test), step):
    rows = slice(start, start + step)
    found = _directions(test[rows]) @ train.T
    nearest = np.argpartition(-found, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(found, nearest, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    indices[rows] = np.take_along_axis(nearest, order, axis=1)
    cosines[rows] = np.take_along_axis(values, order, axis=1)
  return indices, cosines


def _directions(features: np.ndarray) -> np.ndarray:
  features = np.asarray(features, np.float32)
  lengths = np.linalg.norm(features, axis=1, keepdims=True)
  return features / np.maximum(lengths, np.finfo(np.float32).tiny)


def _votes(
  indices: np.ndarray,
  cosines: np.ndarray,
  *,
  labels: np.ndarray,
  classes: int,
  temperature: float,
) -> np.ndarray:
  """(M, classes) float32 shares of the votes of (M, k) neighbors."""
  if temperature <= 0:
    raise ValueError(f"Expected `temperature` above 0. Received: {temperature}")
  if labels.min() < 0 or labels.max() >= classes:
    raise ValueError(
      f"Expected labels from 0 to {classes - 1}. Received: {labels.min()} to {labels.max()}"
    )
  # Less the largest: only ratios count, and exp(1 / T) would overflow for a small T.
  weights = np.exp((cosines.astype(np.float64) - cosines[:, :1]) / temperature)
  scores = np.zeros((len(indices), classes))
  rows = np.arange(len(indices))
  for column in range(indices.shape[1]):
    scores[rows, labels[indices[:, column]]] += weights[:, column]
  return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


class KNearest(Protocol):
  """See `build`."""

  def __init__(self, layer: str, k: int | None, temperature: float, dimensions: int) -> None:
    self._layer, self._k, self._temperature = layer, k, temperature
    self._dimensions = dimensions

  def run(self, context: Context) -> Section:
    classes = len(context.train.class_names)
    train = context.features.get(context.train, self._layer, dimensions=self._dimensions)
    labels = context.train.labels
    k = self._k or self._choose(train, labels, classes, seed=context.seed)
    if k > len(train):
      raise ValueError(f"Expected k of at most {len(train)} photographs. Received: {k}")
    test = context.features.get(context.test, self._layer, dimensions=self._dimensions)
    scores = knn_scores(train, labels, test, k=k, classes=classes, temperature=self._temperature)
    top1 = top_k_accuracy(scores, context.test.labels, 1)
    top5 = top_k_accuracy(scores, context.test.labels, 5)
    return Section(
      summary=f"{100 * top1:.1f}% by {k} nearest on {self._layer}",
      values={
        "top1": top1,
        "top5": top5,
        "k": k,
        "temperature": self._temperature,
        "layer": self._layer,
        "dimensions": train.shape[1],
      },
    )

  def _choose(self, train: np.ndarray, labels: np.ndarray, classes: int, *, seed: int) -> int:
    """The k of the highest accuracy on a part of the training part; of equal ones the least."""
    kept, held = split(labels, _FRACTION, seed=seed)
    candidates = [k for k in _CANDIDATES if k <= len(kept)]
    if not len(held):
      return 1  # One photograph a class.
    indices, cosines = neighbors(train[kept], train[held], k=candidates[-1])
    accuracies = [
      top_k_accuracy(
        _votes(
          *(indices[:, :k], cosines[:, :k]),
          labels=labels[kept],
          classes=classes,
          temperature=self._temperature,
        ),
        *(labels[held], 1),
      )
      for k in candidates
    ]
    return candidates[int(np.argmax(accuracies))]


def build(
  *,
  layer: str = "embedding",
  k: int | None = None,
  temperature: float = 0.07,
  dimensions: int = 9000,
) -> Protocol:
  """Classifies by the nearest training photographs.

  Args:
    layer: whose features are compared; maps are resized and flattened.
    k: neighbors; None for what is best on a fifth of the training part.
    temperature: T of the weights exp(cosine / T).
    dimensions: of a map, about.

  Raises:
    ValueError: an option is out of range.

  Reference: Wu et al. 2018, arXiv:1805.01978, section 3.4; `k` chosen, where they take 200.
  """
  if k is not None and k < 1:
    raise ValueError(f"Expected k of 1 or more. Received: {k}")
  if temperature <= 0:
    raise ValueError(f"Expected a temperature above 0. Received: {temperature}")
  if dimensions < 1:
    raise ValueError(f"Expected dimensions of 1 or more. Received: {dimensions}")
  return KNearest(layer, k, temperature, dimensions)
