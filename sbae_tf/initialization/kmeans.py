"""By k-means of patches, scaled to the data and to one learning rate in all layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from sbae_tf.initialization import between_layers, within_layers
from sbae_tf.initialization.initialization import Initialization


class KMeans(Initialization):
  """Filters are centers of clusters of patches; channels and layers are scaled.

  Attributes:
    photographs: how many it looks at.
    one_rate: whether layers are scaled to learn at one rate.
  """

  def __init__(self, *, photographs: int, one_rate: bool) -> None:
    self.photographs = photographs
    self.one_rate = one_rate

  def check(self, towers: Sequence[tf.keras.Model]) -> None:
    between_layers.check(towers)

  def initialize(
    self, towers: Sequence[tf.keras.Model], inputs: Sequence[np.ndarray], *, seed: int
  ) -> None:
    self.check(towers)
    for tower, values in zip(towers, inputs):
      kept = within_layers.set_filters(tower, values, seed=seed)
      if kept:
        logging.warning(
          "Too few different patches for k-means in %s: %s keep random filters.",
          tower.name,
          ", ".join(kept),
        )
    if self.one_rate:
      between_layers.equalize(towers, inputs, seed=seed)


def build(*, photographs: int = 256, one_rate: bool = True) -> KMeans:
  """Makes the filters of every layer of patches of what the layer sees, by k-means.

  Then every channel is scaled to mean 0 and variance 1 before its nonlinearity, and layers so that
  in gradient descent all learn at one rate.

  Args:
    photographs: how many of the training photographs are looked at, 1 or more.
    one_rate: whether layers are scaled to learn at one rate. Steps of Adam, and of other optimizers
      that divide a gradient by its size, do not depend on what is made equal by that.

  Raises:
    ValueError: `photographs` is below 1.

  Reference: Krähenbühl, Doersch, Donahue and Darrell 2016, arXiv:1511.06856, Algorithms 1 and 2,
    k-means of Sec. 3.3.

  Differs from the paper: batch normalization takes the place of biases, see `within_layers` and
    `between_layers`; beta, which channels begin with, is 0, and 0.1 in the paper's code; heads keep
    the weights that they were drawn with.
  """
  if photographs < 1:
    raise ValueError(f"Expected `photographs` of 1 or more. Received: {photographs}")
  return KMeans(photographs=photographs, one_rate=one_rate)
