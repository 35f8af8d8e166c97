"""The learning rate rises linearly, then falls to zero along a half cosine."""

from __future__ import annotations

import tensorflow as tf


def build(
  learning_rate: float, steps_per_epoch: int, steps: int, *, warmup_epochs: float = 0.0
) -> tf.keras.optimizers.schedules.LearningRateSchedule:
  """From 0 to `learning_rate` over the warm-up, then down to 0 at the last step.

  Args:
    learning_rate: the highest.
    steps_per_epoch: steps of an epoch.
    steps: all steps of the run.
    warmup_epochs: length of the warm-up, 0 or more.

  Raises:
    ValueError: `warmup_epochs` is negative.

  Reference: Loshchilov and Hutter 2017 (arXiv:1608.03983), Eq. 5, without restarts.
  """
  if warmup_epochs < 0:
    raise ValueError(f"Expected option `warmup_epochs` to be 0 or more. Received: {warmup_epochs}.")
  warmup = min(round(warmup_epochs * steps_per_epoch), steps - 1)
  if not warmup:
    return tf.keras.optimizers.schedules.CosineDecay(learning_rate, steps)
  return tf.keras.optimizers.schedules.CosineDecay(
    0.0, steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
  )
