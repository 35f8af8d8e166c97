"""Stochastic gradient descent with momentum."""

from __future__ import annotations

import tensorflow as tf


def build(
  learning_rate: tf.keras.optimizers.schedules.LearningRateSchedule,
  *,
  momentum: float = 0.9,
  nesterov: bool = False,
  weight_decay: float | None = None,
  global_clipnorm: float | None = None,
) -> tf.keras.optimizers.Optimizer:
  """Keras's SGD.

  Args:
    learning_rate: a schedule.
    momentum: 0 for none.
    nesterov: whether the gradient is taken ahead of the momentum's step.
    weight_decay: the part of every weight, times the learning rate, that goes each step.
    global_clipnorm: gradients whose Euclidean norm, of all together, is larger are scaled to it.

  Reference: Krizhevsky et al. 2012, Sec. 5.
  """
  return tf.keras.optimizers.SGD(
    learning_rate,
    momentum=momentum,
    nesterov=nesterov,
    weight_decay=weight_decay,
    global_clipnorm=global_clipnorm,
  )
