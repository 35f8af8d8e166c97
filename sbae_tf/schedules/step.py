"""The learning rate drops by a factor at even distances."""

from __future__ import annotations

import tensorflow as tf


def build(
  learning_rate: float, steps_per_epoch: int, steps: int, *, drops: int = 2, factor: float = 0.1
) -> tf.keras.optimizers.schedules.LearningRateSchedule:
  """`learning_rate * factor ** i` in the i-th of `drops + 1` parts, the last the shortest.

  Args:
    learning_rate: at the start.
    steps_per_epoch: steps of an epoch; unused.
    steps: all steps of the run.
    drops: how often it drops, 1 or more.
    factor: what is left after a drop, in (0, 1).

  Raises:
    ValueError: an option is out of range.

  Reference: Krizhevsky et al. 2012, whose rate dropped tenfold whenever the error stood still;
    the step policy that the CVPR paper's networks were trained with. The number of drops is ours.
  """
  del steps_per_epoch
  if drops < 1 or not 0 < factor < 1:
    raise ValueError(
      "Expected options `drops` >= 1 and `factor` in (0, 1) of the schedule. "
      f"Received: {drops}, {factor}."
    )
  length = max(1, -(-steps // (drops + 1)))  # Rounded up: else a rest would drop once more.
  # Not Keras's PiecewiseConstantDecay: it checks itself in every step, on the host.
  return tf.keras.optimizers.schedules.ExponentialDecay(
    learning_rate, length, factor, staircase=True
  )
