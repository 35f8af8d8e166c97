"""Nearest neighbors: by hand, against scikit-learn, and what is chosen of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from sbae_tf.evaluation import knn
from sbae_tf.evaluation.knn import knn_scores, neighbors


def test_by_hand():
  # Cosines of the probe (1, 0): 1, 0.6 and 0; lengths do not matter.
  train = np.array([[5, 0], [0.3, 0.4], [0, 2]], np.float32)
  test = np.array([[9, 0]], np.float32)
  labels = np.array([0, 1, 1])
  scores = knn_scores(train, labels, test, k=3, classes=3, temperature=0.5)
  votes = np.exp([2, 1.2, 0])
  expected = [votes[0], votes[1] + votes[2], 0] / votes.sum()
  np.testing.assert_allclose(scores, [expected], rtol=1e-6)
  np.testing.assert_allclose(
    knn_scores(train, labels, test, k=1, classes=3, temperature=0.5), [[1, 0, 0]]
  )
  # Heads are counted where it is hot; the nearest decides where it is cold, without an overflow.
  assert knn_scores(train, labels, test, k=3, classes=3, temperature=9.0).argmax() == 1
  np.testing.assert_allclose(
    knn_scores(train, labels, test, k=3, classes=3, temperature=1e-4), [[1, 0, 0]]
  )


def test_like_scikit_learn(monkeypatch):
  monkeypatch.setattr(knn, "_BLOCK", 700)  # Several blocks, the last one smaller.
  rng = np.random.default_rng(0)
  train, test = rng.normal(size=(200, 8)), rng.normal(size=(50, 8))
  labels = rng.integers(0, 4, 200)
  theirs = KNeighborsClassifier(
    15, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.2)
  ).fit(train, labels)
  scores = knn_scores(train, labels, test, k=15, classes=4, temperature=0.2)
  assert scores.dtype == np.float32
  np.testing.assert_allclose(scores, theirs.predict_proba(test), atol=1e-6)
  indices, cosines = neighbors(train, test, k=15)
  distances, expected = theirs.kneighbors(test)
  np.testing.assert_array_equal(indices, expected)
  np.testing.assert_allclose(cosines, 1 - distances, atol=1e-6)


def test_no_length():
  scores = knn_scores(np.zeros((3, 2)), np.arange(3), np.zeros((1, 2)), k=3, classes=3)
  np.testing.assert_allclose(scores, [[1 / 3] * 3], rtol=1e-6)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"k": 4}, "Expected `k` from 1 to 3"),
    ({"k": 0}, "Expected `k` from 1 to 3"),
    ({"temperature": 0.0}, "Expected `temperature` above 0"),
    ({"classes": 2}, "Expected labels from 0 to 1. Received: 0 to 2"),
  ],
)
def test_mistakes(changes, message):
  arguments = {"k": 1, "classes": 3, **changes}
  with pytest.raises(ValueError, match=message):
    knn_scores(np.eye(3), np.arange(3), np.eye(3), **arguments)
  with pytest.raises(ValueError, match=r"Received: \(3, 3\) and \(2, 2\)"):
    knn_scores(np.eye(3), np.arange(3), np.eye(2), k=1, classes=3)
