"""Layouts: what is apart stays apart, the same each time."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from sbae_tf.evaluation import plane_layout


def test_groups_stay_together_and_the_layout_is_the_same_again() -> None:
  rng = np.random.default_rng(0)
  groups = np.arange(60) % 3
  features = (20 * rng.normal(size=(3, 80))[groups] + rng.normal(size=(60, 80))).astype(np.float32)
  points = plane_layout.lay_out(features, method="tsne", seed=1)
  assert points.shape == (60, 2) and points.dtype == np.float32
  distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
  np.fill_diagonal(distances, np.inf)
  assert (groups[distances.argmin(axis=1)] == groups).all()
  np.testing.assert_array_equal(plane_layout.lay_out(features, method="tsne", seed=1), points)


@pytest.mark.parametrize("count", [4, 7])
def test_a_few_do(count) -> None:
  features = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
  assert np.isfinite(plane_layout.lay_out(features, method="tsne", seed=0)).all()


def test_umap_keeps_groups_together() -> None:
  pytest.importorskip("umap")
  groups = np.arange(60) % 3
  rng = np.random.default_rng(0)
  features = (20 * rng.normal(size=(3, 80))[groups] + rng.normal(size=(60, 80))).astype(np.float32)
  points = plane_layout.lay_out(features, method="umap", seed=1)
  distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
  np.fill_diagonal(distances, np.inf)
  assert (groups[distances.argmin(axis=1)] == groups).all()


def test_what_cannot_be_laid_out_is_refused(monkeypatch) -> None:
  with pytest.raises(ValueError, match="one of tsne, umap. Received: 'pca'"):
    plane_layout.check("pca")
  with pytest.raises(ValueError, match="4 photographs or more for a map. Received: 3"):
    plane_layout.lay_out(np.zeros((3, 5), np.float32), method="tsne", seed=0)
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(ValueError, match="pip install umap-learn"):
    plane_layout.check("umap")
