"""What a quantizer is: values of one or two channels to bins, and the bins' centers."""

from __future__ import annotations

import abc

import numpy as np
import tensorflow as tf


class Quantizer(abc.ABC):
  """Turns the values of a group of channels into bins.

  Attributes:
    bins: K, how many there are.
  """

  bins: int

  @abc.abstractmethod
  def encode(self, values: tf.Tensor) -> tf.Tensor:
    """The bin of each pixel.

    Args:
      values: (B, h, w, C) float32 in native units.

    Returns:
      (B, h, w) int32 in [0, K).
    """

  @abc.abstractmethod
  def centers(self, values: tf.Tensor) -> tf.Tensor:
    """The centers of the bins.

    Args:
      values: (B, h, w, C) float32 in native units: the map that was encoded. Only a quantizer
        whose bins depend on the image looks at it.

    Returns:
      (B, K, C) float32 in native units, or (1, K, C) where all images share them.
    """

  def shared_centers(self, channels: int) -> np.ndarray:
    """The centers of bins that are the same for every image.

    Args:
      channels: C.

    Returns:
      (K, C) float32 in native units.

    Raises:
      ValueError: they depend on the image.
    """
    centers = self.centers(tf.zeros((2, 1, 1, channels))).numpy()
    if len(centers) > 1:
      raise ValueError("Expected bins that all images share. Received: bins over each image's own.")
    return centers[0]
