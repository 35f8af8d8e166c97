"""The learning rate shrinks by a fixed part each epoch."""

from __future__ import annotations

import tensorflow as tf


def build(
  learning_rate: float, steps_per_epoch: int, steps: int, *, decay: float = 0.1
) -> tf.keras.optimizers.schedules.LearningRateSchedule:
  """`learning_rate * (1 - decay) ** epoch`, constant within an epoch.

  Args:
    learning_rate: at the start.
    steps_per_epoch: steps of an epoch.
    steps: all steps of the run; unused.
    decay: the part that goes each epoch, in [0, 1).

  Raises:
    ValueError: `decay` is outside [0, 1).

  Reference: Budhkar, Casabuena, Iyengar 2019: 1e-4 with a decay of 0.1 an epoch.
  Differs from the paper: a decay of 0.1 is read as a tenth less each epoch. The authors' published
    code multiplies by its option, which would leave a tenth: `decay=0.9` here. On their half a
    million photographs three such epochs are a training; on a small folder they are over at once.
  """
  del steps
  if not 0 <= decay < 1:
    raise ValueError(f"Expected option `decay` of the schedule in [0, 1). Received: {decay}.")
  return tf.keras.optimizers.schedules.ExponentialDecay(
    learning_rate, decay_steps=steps_per_epoch, decay_rate=1 - decay, staircase=True
  )
