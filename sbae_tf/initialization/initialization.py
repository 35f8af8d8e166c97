"""What an initialization is: it gives towers other weights than those that they were built with."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np
import tensorflow as tf


class Initialization(abc.ABC):
  """Sets the weights of towers once, before the first step.

  Attributes:
    photographs: how many training photographs it looks at; 0: none, and it leaves all as it is.
  """

  photographs: int = 0

  def check(self, towers: Sequence[tf.keras.Model]) -> None:
    """Checks that it can initialize towers, before anything is computed.

    Args:
      towers: as for `initialize`.

    Raises:
      ValueError: it cannot; names the layer.
    """
    del towers

  @abc.abstractmethod
  def initialize(
    self, towers: Sequence[tf.keras.Model], inputs: Sequence[np.ndarray], *, seed: int
  ) -> None:
    """Sets the weights.

    Args:
      towers: functional models from (B, H, W, C) float32 to named feature maps, as the backbone has
        drawn them, in float32 and outside any strategy.
      inputs: what each of them sees of N photographs, (N, H, W, C) float32 in [-1, 1].
      seed: of all that is drawn; the same towers, inputs and seed give the same weights.

    Raises:
      ValueError: as `check` does.
    """
