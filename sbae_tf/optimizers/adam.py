"""Adam, with decoupled weight decay by option (AdamW)."""

from __future__ import annotations

import tensorflow as tf


def build(
  learning_rate: tf.keras.optimizers.schedules.LearningRateSchedule,
  *,
  beta_1: float = 0.9,
  beta_2: float = 0.999,
  epsilon: float = 1e-7,
  weight_decay: float | None = None,
  global_clipnorm: float | None = None,
) -> tf.keras.optimizers.Optimizer:
  """Keras's Adam.

  Args:
    learning_rate: a schedule.
    beta_1: decay of the gradients' mean.
    beta_2: decay of their squares' mean.
    epsilon: added to the denominator.
    weight_decay: the part of every weight, times the learning rate, that goes each step.
    global_clipnorm: gradients whose Euclidean norm, of all together, is larger are scaled to it.

  Reference: Kingma and Ba 2015 (arXiv:1412.6980); Loshchilov and Hutter 2019 (arXiv:1711.05101).
  """
  return tf.keras.optimizers.Adam(
    learning_rate,
    beta_1=beta_1,
    beta_2=beta_2,
    epsilon=epsilon,
    weight_decay=weight_decay,
    global_clipnorm=global_clipnorm,
  )
