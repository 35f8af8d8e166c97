"""How often photographs have each bin, and the file that keeps it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

_FORMAT = "sbae_tf.bin_prior.1"


@dataclasses.dataclass(frozen=True)
class BinPrior:
  """Counts of pixels by bin.

  Attributes:
    bins: what the bins are, such as `gamut of a,b`.
    centers: (K, C) float64, the bins' centers in the channels' native units.
    counts: (K,) int64, pixels whose nearest bin it is.
    provenance: what was counted, and how; JSON values.
  """

  bins: str
  centers: np.ndarray
  counts: np.ndarray
  provenance: Mapping[str, Any]

  @property
  def probabilities(self) -> np.ndarray:
    """(K,) float64: the part of the pixels that each bin has."""
    return self.counts / self.counts.sum()

  def check_bins(self, bins: str, centers: np.ndarray, *, name: str) -> None:
    """Checks that these are the bins of somebody else.

    Args:
      bins: what theirs are, as `bins`.
      centers: (K, C), theirs.
      name: of the prior, for the error.

    Raises:
      ValueError: they are not; names both.
    """
    if self.centers.shape == centers.shape and np.allclose(self.centers, centers, atol=1e-3):
      return
    raise ValueError(
      f"The prior {name} is of other bins: {len(self.centers)}, {self.bins}. Expected one of the "
      f"{len(centers)}, {bins}. Measure it: python -m tools.color_prior"
    )

  def dumps(self) -> str:
    """As JSON text, a line for each field."""
    values = {
      "format": _FORMAT,
      "bins": self.bins,
      "provenance": dict(self.provenance),
      "counts": self.counts.tolist(),
      "centers": self.centers.tolist(),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"

  @classmethod
  def loads(cls, text: str, *, name: str) -> BinPrior:
    """Reads what `dumps` wrote.

    Args:
      text: JSON.
      name: of the prior, for the error.

    Raises:
      ValueError: it is something else, or damaged.
    """
    try:
      values = json.loads(text)
      if values["format"] != _FORMAT:
        raise ValueError(values["format"])
      centers, counts = np.array(values["centers"], float), np.array(values["counts"], np.int64)
      fits = centers.ndim == 2 and counts.shape == centers.shape[:1]
      if not fits or counts.min() < 0 or counts.sum() < 1:
        raise ValueError(f"{counts.shape} counts of {centers.shape} centers")
      return cls(values["bins"], centers, counts, values["provenance"])
    except (ValueError, KeyError, TypeError) as error:
      raise ValueError(
        f"Expected {name} to be a prior of bins, as tools.color_prior writes it."
      ) from error
