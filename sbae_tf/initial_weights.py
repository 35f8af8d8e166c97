"""The weights that an encoder's training starts from, the same for all replicas and workers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from sbae_tf import plugins
from sbae_tf.agreement import Agreement
from sbae_tf.encoder import Encoder
from sbae_tf.initialization.initialization import Initialization

_BATCH = 64  # Photographs whose color is converted at once.


class InitialWeights:
  """What a configuration's initialization makes of an encoder's weights."""

  def __init__(self, encoder: Encoder) -> None:
    """Builds the initialization, and checks that it does for the encoder.

    Args:
      encoder: as it was built, under any strategy.

    Raises:
      ValueError: an option is out of range, or the backbone is none that it can initialize.
    """
    component = encoder.config.initialization
    plugin = plugins.find("initialization", component.name)
    self._initialization: Initialization = plugin.build(**component.options)
    self._encoder = encoder
    try:
      self._initialization.check(encoder.towers)
    except ValueError as error:
      raise ValueError(
        f"initialization '{component.name}': {error} Initialization 'random' takes any backbone."
      ) from error

  def set(self, images: Callable[[int], np.ndarray], agreement: Agreement) -> None:
    """Sets the encoder's weights; all workers make this call, and get those of the chief.

    They are computed on a copy outside the strategy: with several workers, reading the statistics
    of batch normalization takes all of them. One worker alone computes them, for two machines round
    differently, and k-means makes other clusters of that.

    Args:
      images: gives so many training photographs, (N, S, S, 3) uint8, with the bands that the color
        space takes; called on the chief alone.
      agreement: of the workers.
    """
    initialization, encoder = self._initialization, self._encoder
    if not initialization.photographs:
      return
    start = time.monotonic()
    values = [np.zeros(variable.shape, np.float32) for variable in encoder.variables]
    if agreement.is_chief:
      copy = Encoder(dataclasses.replace(encoder.config, precision="float32"))
      for ours, drawn in zip(copy.trainable_variables, encoder.trainable_variables):
        ours.assign(drawn)
      inputs = _tower_inputs(copy, images(initialization.photographs))
      initialization.initialize(copy.towers, inputs, seed=encoder.config.seed)
      values = [variable.numpy() for variable in copy.variables]
    for variable, value in zip(encoder.variables, values):
      variable.assign(agreement.array_of_chief(value))
    logging.info(
      "Initial weights: %s on %d photographs, in %.0f s.",
      encoder.config.initialization,
      initialization.photographs,
      time.monotonic() - start,
    )


def _tower_inputs(encoder: Encoder, images: np.ndarray) -> list[np.ndarray]:
  """What each tower sees of photographs, (N, H, W, C) float32."""
  batches = [
    encoder.tower_inputs(tf.constant(images[i : i + _BATCH])) for i in range(0, len(images), _BATCH)
  ]
  return [np.concatenate([part.numpy() for part in parts]) for parts in zip(*batches)]
