"""Embeddings in a plane: neighbors stay neighbors, distances and directions mean little."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

# A method's name, and how it is written.
METHODS: Mapping[str, str] = MappingProxyType({"tsne": "t-SNE", "umap": "UMAP"})

_COMPONENTS = 50  # Dimensions that van der Maaten and Hinton keep, by PCA.
_PERPLEXITY = 30.0  # Within the 5 to 50 that they name; about the number of near neighbors.
_NEIGHBORS = 15  # Of UMAP, its authors' default.


def check(method: str) -> None:
  """Raises ValueError where the method is unknown, or its library is not installed."""
  if method not in METHODS:
    raise ValueError(f"Expected `projection` one of {', '.join(METHODS)}. Received: {method!r}")
  if method == "umap" and importlib.util.find_spec("umap") is None:
    raise ValueError(
      "projection=umap needs umap-learn, which is not installed: pip install umap-learn. Or take "
      "projection=tsne."
    )


def lay_out(features: np.ndarray, *, method: str, seed: int) -> np.ndarray:
  """Lays features out in a plane.

  Args:
    features: (N, D) float32, N at least 4.
    method: a key of `METHODS`.
    seed: of whatever is drawn.

  Returns:
    (N, 2) float32.

  Raises:
    ValueError: there are too few, or as `check`.

  References: van der Maaten and Hinton 2008, "Visualizing Data using t-SNE", Sec. 4.2; McInnes,
    Healy and Melville 2018, arXiv:1802.03426.
  """
  check(method)
  count, dimensions = features.shape
  if count < 4:
    raise ValueError(f"Expected 4 photographs or more for a map. Received: {count}")
  from sklearn.decomposition import PCA  # Here, for it takes a second.
  from threadpoolctl import threadpool_limits  # What scikit-learn itself stands on.

  components = min(_COMPONENTS, count, dimensions)
  reduced = PCA(components, random_state=seed).fit_transform(features.astype(np.float32))
  if method == "tsne":
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (count - 1) / 3)
    layout = TSNE(2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
  else:
    import umap

    layout = umap.UMAP(n_neighbors=min(_NEIGHBORS, count - 1), random_state=seed, n_jobs=1)
  # On one thread: sums of several come out otherwise each time, and several threads wait for each
  # other four times as long where processors are busy with other work.
  with threadpool_limits(1):
    return np.asarray(layout.fit_transform(reduced), np.float32)
