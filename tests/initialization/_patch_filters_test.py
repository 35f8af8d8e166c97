"""Patches are what a convolution sees; filters are centers of clusters of whitened patches."""

from __future__ import annotations

import numpy as np

from sbae_tf.initialization._patch_filters import patch_filters, sample_patches


def test_patches_are_parts_of_maps_in_the_order_of_a_kernel():
  maps = np.arange(3 * 9 * 7 * 2, dtype=np.float32).reshape(3, 9, 7, 2)
  patches = sample_patches(maps, (4, 3), filters=2, generator=np.random.default_rng(0))
  assert patches.shape == (3 * 6 * 5, 4 * 3 * 2)  # All there are, and each once.
  assert len(np.unique(patches[:, 0])) == len(patches)
  for patch in patches:
    n, y, x, _ = np.unravel_index(int(patch[0]), maps.shape)
    np.testing.assert_array_equal(patch, maps[n, y : y + 4, x : x + 3].ravel())


def test_patches_of_smaller_maps_have_zeros_around():
  maps = np.ones((2, 2, 2, 1), np.float32)
  patches = sample_patches(maps, (5, 5), filters=2, generator=np.random.default_rng(0))
  assert patches.shape == (2 * 2 * 2, 25)
  assert set(patches.sum(1)) == {4.0}


def test_filters_are_the_centers_of_clusters_of_whitened_patches():
  """The formula anew: whitened by the covariance's eigenvectors, a tenth of an input's variance
  added, and each center the mean of its own patches of length 1."""
  rng = np.random.default_rng(0)
  directions = rng.normal(size=(4, 4))
  which = rng.integers(0, 4, 4000)
  patches = directions[which] * rng.uniform(1, 3, (4000, 1)) + 0.1 * rng.normal(size=(4000, 4))
  patches = (patches @ rng.normal(size=(4, 4)) + 5).astype(np.float32)
  filters = patch_filters(patches, 4, seed=0)
  centered = patches - patches.mean(0)
  values, vectors = np.linalg.eigh(np.cov(centered.T))
  values += 0.1 * np.trace(np.cov(centered.T)) / 4
  white = centered @ vectors / np.sqrt(values)
  white /= np.linalg.norm(white, axis=1, keepdims=True)
  centers = filters @ vectors * np.sqrt(values)  # f = c S V', and so c = f V / S.
  np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 1, rtol=1e-3)
  nearest = np.argmax(white @ centers.T, axis=1)
  for k, center in enumerate(centers):
    mean = white[nearest == k].mean(0)
    assert mean @ center / np.linalg.norm(mean) > 0.999
    assert len(np.unique(which[nearest == k])) == 1  # The clusters that the patches were made of.


def test_patches_that_do_not_differ_make_no_filters():
  assert patch_filters(np.ones((100, 9), np.float32), 4, seed=0) is None
  assert patch_filters(np.eye(3, dtype=np.float32), 4, seed=0) is None


def test_constant_inputs_get_no_weight():
  """As of channels that are dead: whitening would divide by their variance."""
  patches = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
  patches[:, 4:] = 0.25
  filters = patch_filters(patches, 6, seed=0)
  assert np.isfinite(filters).all()
  assert np.abs(filters[:, 4:]).max() < 1e-3 * np.abs(filters).max()
