"""As the backbone draws them, at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.initialization.initialization import Initialization


class Random(Initialization):
  """Leaves the backbone's own initial weights."""

  def initialize(
    self, towers: Sequence[tf.keras.Model], inputs: Sequence[np.ndarray], *, seed: int
  ) -> None:
    del towers, inputs, seed


def build() -> Random:
  """The backbone's own initial weights; no photograph is looked at."""
  return Random()
