"""Logistic regression: against scikit-learn with nothing left out, and by its optimality."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sbae_tf.evaluation import softmax_regression
from sbae_tf.evaluation.logistic_regression import fit_logistic, top_k_accuracy


def _blobs(count: int, *, classes: int, dimensions: int, seed: int = 0):
  """Overlapping classes; features of different means and scales."""
  centers = np.random.default_rng(9).normal(size=(classes, dimensions))
  rng = np.random.default_rng(seed)
  labels = rng.permutation(np.arange(count) % classes)
  features = centers[labels] + rng.normal(size=(count, dimensions)) * 2
  features = features * np.geomspace(0.01, 100, dimensions) + np.linspace(-50, 50, dimensions)
  return features.astype(np.float32), labels


@pytest.mark.parametrize("dimensions", [12, 500])  # Fewer than rows, and more.
@pytest.mark.parametrize("classes", [2, 4])
def test_the_minimum(monkeypatch, classes, dimensions):
  monkeypatch.setattr(softmax_regression, "_TOLERANCE", 1e-10)
  monkeypatch.setattr(softmax_regression, "_BLOCK", 640)  # Several blocks.
  features, labels = _blobs(300, classes=classes, dimensions=dimensions)
  found = fit_logistic(features, labels, strengths=[0.01], seed=0)
  assert found.validation_accuracy is None and found.strength == 0.01
  # The formula: probabilities of the logits; W's gradient is zero.
  x = (features - features.mean(0)) / features.std(0) / np.sqrt(dimensions)
  logits = x @ found.weights.T + found.bias
  scores = found.predict_scores(features)
  assert scores.dtype == np.float32
  np.testing.assert_allclose(scores, logits, atol=1e-3)  # float32 of means far above the scale.
  p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  gradient = (p - np.eye(classes)[labels]).T @ x / len(x) + 0.01 * found.weights
  np.testing.assert_allclose(gradient, 0, atol=5e-5)  # At zero weights 0.02 to 0.1.
  np.testing.assert_allclose((p - np.eye(classes)[labels]).mean(0), 0, atol=2e-4)
  # As scikit-learn by itself, in float64. Of two classes it has the difference of their weights
  # alone, the square of which is twice the sum of both squares.
  scaled = StandardScaler().fit_transform(features.astype(np.float64)) / np.sqrt(dimensions)
  strength = 0.01 / 2 if classes == 2 else 0.01
  model = LogisticRegression(C=1 / (strength * 300), tol=1e-9, max_iter=10_000)
  theirs = model.fit(scaled, labels)
  np.testing.assert_allclose(p, theirs.predict_proba(scaled), atol=1e-3)


def test_the_strength_is_chosen_on_a_part():
  features, labels = _blobs(400, classes=4, dimensions=300)
  test, test_labels = _blobs(2000, classes=4, dimensions=300, seed=1)
  lines: list[str] = []
  strengths = (1e-6, 10.0, 1e-1, 1e-3)  # In any order.
  found = fit_logistic(features, labels, strengths=strengths, seed=0, say=lines.append)
  assert found.strength in strengths and 0.5 < found.validation_accuracy <= 1
  assert lines[0].startswith("strength 1e+01: ") and lines[0].endswith("% of 80 held out")
  # Fitted to all: as with that strength alone.
  alone = fit_logistic(features, labels, strengths=[found.strength], seed=5)
  np.testing.assert_allclose(
    found.predict_scores(test), alone.predict_scores(test), atol=0.02 * np.abs(alone.bias).max() + 1
  )
  accuracy = top_k_accuracy(found.predict_scores(test), test_labels, 1)
  assert accuracy > 0.9 * found.validation_accuracy
  again = fit_logistic(features, labels, strengths=strengths, seed=0)
  np.testing.assert_array_equal(again.weights, found.weights)


def test_few_photographs_and_unseen_classes():
  features, labels = _blobs(3, classes=3, dimensions=5)
  labels = labels * 2  # Of 0 to 5 the even ones.
  found = fit_logistic(features, labels, strengths=[1.0, 0.1], seed=0, classes=6)
  assert found.strength == 1.0 and found.validation_accuracy is None  # Nothing to choose on.
  scores = found.predict_scores(features)
  assert scores.shape == (3, 6) and (scores[:, 1::2] == -np.inf).all()
  np.testing.assert_array_equal(scores.argmax(1), labels)


def test_dead_features_do_not_matter():
  features, labels = _blobs(100, classes=2, dimensions=4)
  found = fit_logistic(features, labels, strengths=[0.01], seed=0)
  dead = np.concatenate([features, np.full((100, 4), 1e3, np.float32)], axis=1)
  more = fit_logistic(dead, labels, strengths=[0.005], seed=0)  # Twice the D halves the squares.
  assert (more.weights[:, 4:] == 0).all()
  np.testing.assert_allclose(more.predict_scores(dead), found.predict_scores(features), atol=0.02)


@pytest.mark.parametrize(
  ("labels", "changes", "message"),
  [
    (np.zeros(4, int), {}, "Expected labels of two classes or more, from 0 to 0. Received: 0"),
    (np.arange(4), {"classes": 3}, "from 0 to 2. Received: 0, 1, 2, 3"),
    (np.arange(3), {}, r"Received: \(4, 2\) and \(3,\)"),
    (np.arange(4), {"strengths": [0.1, 0.0]}, "Expected strengths above 0"),
    (np.arange(4), {"strengths": []}, "Expected strengths above 0"),
  ],
)
def test_mistakes(labels, changes, message):
  with pytest.raises(ValueError, match=message):
    fit_logistic(np.ones((4, 2), np.float32), labels, seed=0, **changes)


def test_top_k_accuracy():
  scores = np.array([[3, 2, 1], [1, 3, 2], [1, 1, 1]])
  assert top_k_accuracy(scores, np.array([0, 0, 0]), 1) == pytest.approx(2 / 3)
  assert top_k_accuracy(scores, np.array([1, 2, 2]), 2) == pytest.approx(2 / 3)
  assert top_k_accuracy(scores, np.array([1, 2, 2]), 3) is None  # Everybody is right.
  assert top_k_accuracy(scores[:, :1], np.zeros(3, int), 1) == 1.0


def test_no_number_is_no_hit() -> None:
  scores = np.array([[np.nan, np.nan], [0.0, np.nan], [1.0, 0.0]])
  assert top_k_accuracy(scores, np.array([0, 0, 0]), 1) == pytest.approx(1 / 3)
