"""Class rebalancing: rare bins get larger gradients, by how often photographs have them."""

from __future__ import annotations

import functools
import pathlib

import numpy as np
import tensorflow as tf

from sbae_tf.quantize.bin_prior import BinPrior

# Those that come with the package, by `python -m tools.color_prior` with its defaults.
_BUNDLED = pathlib.Path(__file__).parents[1] / "quantize" / "priors"


def rebalancing_weights(
  probabilities: np.ndarray, centers: np.ndarray, *, rebalance: float, sigma: float
) -> np.ndarray:
  """The factor of each bin's gradient.

  Args:
    probabilities: (K,) how often each bin is, 1 in sum.
    centers: (K, C) the bins' centers.
    rebalance: lambda in (0, 1], the part of the uniform distribution; at 1 all factors are 1, near
      0 they go as the inverse of the probability.
    sigma: standard deviation of the Gaussian that smooths `probabilities`, in the unit of
      `centers`.

  Returns:
    (K,) float64, positive; 1 on average over the smoothed distribution.

  Reference: Zhang, Isola, Efros 2016 (arXiv:1603.08511), Eq. 4: lambda 1/2, sigma 5.
  Differs from the paper's published code: all K bins have a part of the uniform distribution, as in
    Eq. 4, and not those alone that its photographs had.
  """
  distances = np.square(centers[:, np.newaxis] - centers).sum(axis=-1)
  kernel = np.exp(-distances / (2 * sigma**2))
  smooth = probabilities @ (kernel / kernel.sum(axis=1, keepdims=True))
  weights = 1 / ((1 - rebalance) * smooth + rebalance / len(smooth))
  return weights / (smooth @ weights)


def scale_gradient(values: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
  """`values` as they are, the gradients of which are multiplied by `factors` of the same shape."""
  scaled = values * factors
  return tf.stop_gradient(values) + (scaled - tf.stop_gradient(scaled))


class Rebalancing:
  """The factors of a task's bins, from the file of a prior.

  The file is read when they are first asked for: what only decodes has no need of it.
  """

  def __init__(
    self, path: str, bins: str, centers: np.ndarray, *, rebalance: float, sigma: float
  ) -> None:
    """Keeps the arguments.

    Args:
      path: of a file that `BinPrior.dumps` made, or the name of one that comes with the package.
      bins: what the task's bins are, such as `gamut of a,b`.
      centers: (K, C) theirs.
      rebalance: as for `rebalancing_weights`.
      sigma: as there.

    Raises:
      ValueError: `rebalance` is outside (0, 1].
    """
    if not 0 < rebalance <= 1:
      raise ValueError(f"Expected option `rebalance` in (0, 1]. Received: {rebalance}.")
    bundled = _BUNDLED / f"{pathlib.Path(path).name}.json"
    by_name = path == bundled.stem and bundled.is_file()
    self._path = bundled if by_name else pathlib.Path(path).expanduser()
    self._bins, self._centers = bins, centers
    self._rebalance, self._sigma = rebalance, sigma

  @functools.cached_property
  def prior(self) -> BinPrior:
    """The prior.

    Raises:
      ValueError: the file cannot be read, is no prior, or is one of other bins.
    """
    try:
      text = self._path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
      reason = getattr(error, "strerror", None) or "it is no text"
      raise ValueError(f"Cannot read the prior {self._path}: {reason}.") from error
    prior = BinPrior.loads(text, name=str(self._path))
    prior.check_bins(self._bins, self._centers, name=str(self._path))
    return prior

  @functools.cached_property
  def weights(self) -> np.ndarray:
    """(K,) float32: the factors.

    Raises:
      ValueError: as `prior` does.
    """
    probabilities = self.prior.probabilities
    return rebalancing_weights(
      probabilities, self._centers, rebalance=self._rebalance, sigma=self._sigma
    ).astype(np.float32)
