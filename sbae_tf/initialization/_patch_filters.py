"""Filters that are the centers of clusters of patches."""

from __future__ import annotations

import numpy as np

# Patches for each filter, within these bounds; those of layers with many inputs are fewer, so that
# their numbers fit into half a gigabyte.
_PATCHES_PER_FILTER = 64
_PATCHES = (8192, 65536)
_MOST_NUMBERS = 2**27

# Whitened components, at most: AlexNet's conv6 has 12,544 inputs, of which all would take minutes.
_MOST_COMPONENTS = 512
# Added to the variances before whitening, as a part of an input's mean variance: without it the
# noise of compressed photographs is made as large as what they show, and filters look like it.
_RIDGE = 0.1
_LEAST_LENGTH = 1e-6  # Of a whitened patch, whose mean length is the root of the components.
_LEAST_BATCH = 1024  # Of k-means; smaller ones spend their time between batches.


def sample_patches(
  maps: np.ndarray, kernel: tuple[int, int], *, filters: int, generator: np.random.Generator
) -> np.ndarray:
  """Cuts patches out of maps at random places, each place at most once.

  They lie within the maps: at the borders a convolution sees zeros, which are no part of what there
  is to be seen. Only of maps smaller than a patch these belong to it.

  Args:
    maps: (N, H, W, C) float32.
    kernel: height and width of a patch.
    filters: how many filters are to be made of them.
    generator: draws the places.

  Returns:
    (P, height x width x C) float32, in the order of a kernel's weights.
  """
  if any(size > side for size, side in zip(kernel, maps.shape[1:3])):
    edges = [((size - 1) // 2, size // 2) for size in kernel]
    maps = np.pad(maps, [(0, 0), *edges, (0, 0)])
  windows = np.lib.stride_tricks.sliding_window_view(
    *(maps, kernel),
    axis=(1, 2),  # type: ignore[call-overload] # NumPy's own types allow one axis.
  )
  places = windows.shape[:3]
  size = kernel[0] * kernel[1] * maps.shape[-1]
  wanted = min(max(_PATCHES_PER_FILTER * filters, _PATCHES[0]), _PATCHES[1])
  wanted = min(wanted, max(_MOST_NUMBERS // size, 2 * filters), int(np.prod(places)))
  drawn = generator.choice(int(np.prod(places)), wanted, replace=False, shuffle=False)
  patches = windows[np.unravel_index(np.sort(drawn), places)]  # (P, C, height, width)
  return patches.transpose(0, 2, 3, 1).reshape(wanted, size)


def patch_filters(patches: np.ndarray, filters: int, *, seed: int) -> np.ndarray | None:
  """Clusters patches, and makes a filter of each cluster's center.

  Patches are whitened: projected on their principal components, as many as there are filters, each
  with about variance 1. Then they are scaled to length 1 and clustered by k-means. A center's
  filter gives of a patch the product of the center and the whitened patch.

  Args:
    patches: (P, D) float32.
    filters: K.
    seed: of k-means.

  Returns:
    (K, D) float32; None where fewer than K patches differ from the mean.

  Reference: Krähenbühl et al. 2016, arXiv:1511.06856, Sec. 3.3, and their code; Coates and Ng
    2012, "Learning feature representations with k-means", for the centers' length and for 0.1 of
    an input's variance, which is added before whitening.

  Differs from the paper: no more than 512 components; its code adds next to nothing.
  """
  # Here, for it takes a second. The scikit-learn that is required brings threadpoolctl.
  from sklearn.cluster import MiniBatchKMeans
  from sklearn.decomposition import PCA
  from threadpoolctl import threadpool_limits

  components = min(filters, patches.shape[1], _MOST_COMPONENTS)
  centered = patches - patches.mean(0)  # Before all sums of squares, in which it would be lost.
  if len(patches) < filters or not centered.any():
    return None
  # One thread: the same sums in the same order whatever the machine, and threads that wait for each
  # other on a busy one take a hundred times as long.
  with threadpool_limits(1):
    pca = PCA(components, random_state=seed).fit(centered)
    variances = pca.explained_variance_ + _RIDGE * centered.var(0).mean()
    whitening = pca.components_ / np.sqrt(variances)[:, np.newaxis]  # (components, D)
    white = centered @ whitening.T.astype(np.float32)
    lengths = np.linalg.norm(white, axis=1)
    white = white[lengths > _LEAST_LENGTH] / lengths[lengths > _LEAST_LENGTH, np.newaxis]
    if len(white) < filters:
      return None
    batch = max(10 * filters, _LEAST_BATCH)
    clusters = MiniBatchKMeans(filters, batch_size=batch, n_init=1, random_state=seed).fit(white)
  centers = clusters.cluster_centers_
  centers = centers / np.maximum(np.linalg.norm(centers, axis=1, keepdims=True), _LEAST_LENGTH)
  return (centers @ whitening).astype(np.float32)
