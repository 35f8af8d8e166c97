"""Fixtures of the backbones' tests."""

from __future__ import annotations

import math
import types
from collections.abc import Callable

import pytest
import tensorflow as tf

_HEAD_BINS = 100


@pytest.fixture
def count_parameters() -> Callable[..., tuple[int, int]]:
  """Counts a tower's parameters, or those of a split-brain pair with its two heads.

  The function takes a backbone's module, a tuple of input channels (one a tower), whether each
  tower has a 1 x 1 head with bias to 100 bins, and the options of `build`. It returns the total and
  the trainable parameters. The towers are built in a graph, where variables take no memory.
  """

  def count(
    backbone: types.ModuleType, channels: tuple[int, ...], *, heads: bool, **options: float
  ) -> tuple[int, int]:
    with tf.Graph().as_default():
      models = []
      for tower_channels in channels:
        tower = backbone.build(tower_channels, **options)
        output = tower.output[backbone.FEATURES[-1]]
        if heads:
          output = tf.keras.layers.Conv2D(_HEAD_BINS, 1)(output)
        models.append(tf.keras.Model(tower.input, output))
      total = sum(model.count_params() for model in models)
      trainable = sum(math.prod(w.shape) for model in models for w in model.trainable_weights)
    return total, trainable

  return count
