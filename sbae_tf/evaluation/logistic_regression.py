"""Multinomial logistic regression on features, its regularization chosen on a part of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal, overload

import numpy as np

from sbae_tf.evaluation import softmax_regression
from sbae_tf.evaluation.labelled import split
from sbae_tf.evaluation.softmax_regression import blocks

# Of conv3 of a random SimpleNet (imagenette96, 6,900 x 9,216) 1e-3 gives 51.3% of the test
# photographs, 1e-4 59.2%, 3e-5 60.0%, 1e-5 60.3%, 3e-6 58.6%, by scikit-learn's solver: near the
# best, steps of 3 will do.
STRENGTHS = (1e-2, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6)


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
  """A linear classifier.

  Attributes:
    mean: (D,) float32, of the features that it learnt from.
    scale: (D,) float32, that they are multiplied by then.
    weights: (C, D) float32.
    bias: (C,) float32; -inf for a class that it has not seen.
    strength: the regularization.
    validation_accuracy: on the part that the regularization was chosen on, in [0, 1]; None where
      nothing was chosen.
  """

  mean: np.ndarray
  scale: np.ndarray
  weights: np.ndarray
  bias: np.ndarray
  strength: float
  validation_accuracy: float | None

  def predict_scores(self, features: np.ndarray) -> np.ndarray:
    """Logits.

    Args:
      features: (N, D) float; may be memory-mapped.

    Returns:
      (N, C) float32.
    """
    scores = np.empty((len(features), len(self.weights)), np.float32)
    for rows in blocks(*features.shape):
      scaled = (np.asarray(features[rows], np.float32) - self.mean) * self.scale
      scores[rows] = scaled @ self.weights.T + self.bias
    return scores


def fit_logistic(
  features: np.ndarray,
  labels: np.ndarray,
  *,
  seed: int,
  strengths: Sequence[float] = STRENGTHS,
  fraction: float = 0.2,
  classes: int | None = None,
  say: Callable[[str], None] | None = None,
) -> Classifier:
  """Fits a classifier.

  It is the minimum over W and b of the mean cross-entropy and strength / 2 * ||W||^2, of features
  that are standardized and divided by sqrt(D): their squares sum to 1 on average, so that a
  strength means the same for any D and N. The strength is that of the highest accuracy on a part
  of every class (of equal ones the strongest), which the others are fitted without; then all are
  fitted. They are tried from the strongest on, each from where the one before ended, until one is
  worse or all are right.

  Args:
    features: (N, D) float; may be memory-mapped.
    labels: (N,) integers in [0, C), of two classes or more.
    seed: of the part that the strength is chosen on.
    strengths: above 0. One alone is taken as it is, and of several the strongest where every class
      has a single photograph.
    fraction: of every class that the strength is chosen on, in (0, 1).
    classes: C; None for the largest label and one.
    say: tells the user a line about each fit.

  Returns:
    The classifier.

  Raises:
    ValueError: shapes do not fit, there is one class only, or a strength is not above 0.
  """
  _check(features, labels, strengths, classes)
  kept, held = split(labels, fraction, seed=seed)
  strengths = sorted(strengths, reverse=True)
  if not len(held):
    strengths = strengths[:1]
  order = np.concatenate([kept, held])
  mean, scale = _standardization(features)
  # In that order both parts lie together: one copy in all.
  scaled = _standardized(features, order, mean, scale)
  seen, ids = np.unique(labels[order], return_inverse=True)
  restore = None
  if len(scaled) < scaled.shape[1]:
    scaled, restore = softmax_regression.row_basis(scaled)
  fitted = np.zeros((scaled.shape[1], len(seen)), np.float32), np.zeros(len(seen), np.float32)
  best, accuracy = strengths[0], None
  if len(strengths) > 1:
    fitted, best, accuracy = _choose(scaled, ids, len(kept), strengths, fitted, say)
  weights, bias = softmax_regression.minimize(scaled, ids, best, *fitted)
  if restore is not None:
    weights = restore(weights)
  all_weights = np.zeros((classes or int(seen[-1]) + 1, features.shape[1]), np.float32)
  all_bias = np.full(len(all_weights), -np.inf, np.float32)
  all_weights[seen], all_bias[seen] = weights.T, bias
  return Classifier(mean, scale, all_weights, all_bias, best, accuracy)


@overload
def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: Literal[1]) -> float: ...


@overload
def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float | None: ...


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float | None:
  """The part of the rows whose label is among the k highest scores.

  Args:
    scores: (N, C) float. Of equal ones the earlier class counts as the higher.
    labels: (N,) integers in [0, C).
    k: at least 1.

  Returns:
    In [0, 1]; None where k is above 1 and the classes are no more than k: everybody is right there.
  """
  if k > 1 and scores.shape[1] <= k:
    return None
  own = np.take_along_axis(scores, labels[:, None], axis=1)
  earlier = np.arange(scores.shape[1]) < labels[:, None]
  # Not `>`: what is no number shall be wrong, too.
  before = ~(scores <= own) | ((scores == own) & earlier)
  return float(np.mean(before.sum(axis=1) < k))


def _check(
  features: np.ndarray, labels: np.ndarray, strengths: Sequence[float], classes: int | None
) -> None:
  if features.ndim != 2 or labels.shape != features.shape[:1]:
    raise ValueError(
      f"Expected features (N, D) and labels (N,). Received: {features.shape} and {labels.shape}"
    )
  found = np.unique(labels)
  if len(found) < 2 or found[0] < 0 or (classes is not None and found[-1] >= classes):
    raise ValueError(
      f"Expected labels of two classes or more, from 0 to {(classes or found[-1] + 1) - 1}. "
      f"Received: {', '.join(map(str, found[:10]))}"
    )
  if not len(strengths) or min(strengths) <= 0:
    raise ValueError(f"Expected strengths above 0. Received: {tuple(strengths)}")


def _choose(
  scaled: np.ndarray,
  labels: np.ndarray,
  count: int,
  strengths: Sequence[float],
  fitted: tuple[np.ndarray, np.ndarray],
  say: Callable[[str], None] | None,
) -> tuple[tuple[np.ndarray, np.ndarray], float, float]:
  """The best weights and bias, their strength, and accuracy on the rows from `count` on."""
  found, best, highest = fitted, strengths[0], -1.0
  for strength in strengths:
    fitted = softmax_regression.minimize(scaled[:count], labels[:count], strength, *fitted)
    scores = scaled[count:] @ fitted[0] + fitted[1]
    accuracy = top_k_accuracy(scores, labels[count:], 1)
    if say is not None:
      say(f"strength {strength:.0e}: {100 * accuracy:.1f}% of {len(labels) - count:,} held out")
    if accuracy < highest:
      break  # Weaker ones are worse still.
    if accuracy > highest:
      found, best, highest = fitted, strength, accuracy
    if highest == 1.0:
      break
  return found, best, highest


def _standardization(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean and scale, (D,) float32: divided by sqrt(D); 0 where a feature is the same everywhere."""
  from sklearn.preprocessing import StandardScaler

  scaler = StandardScaler()
  for rows in blocks(*features.shape):  # Its sums are float64; whole, it copies all.
    scaler.partial_fit(features[rows])
  constant = scaler.var_ <= 1e-12 * np.maximum(scaler.mean_**2, 1e-12)
  scale = np.where(constant, 0, 1 / scaler.scale_) / np.sqrt(features.shape[1])
  return scaler.mean_.astype(np.float32), scale.astype(np.float32)


def _standardized(
  features: np.ndarray, order: np.ndarray, mean: np.ndarray, scale: np.ndarray
) -> np.ndarray:
  scaled = np.empty(features.shape, np.float32)
  for rows in blocks(*features.shape):
    scaled[rows] = (features[order[rows]] - mean) * scale
  return scaled
