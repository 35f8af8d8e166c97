"""LAMB, for large batches on many devices; by tensorflow-addons, Keras has none."""

from __future__ import annotations

import tensorflow as tf

from sbae_tf import runtime

NEEDS = "tensorflow_addons"
NEEDS_NOTE = "It exists for Python 3.9 to 3.11 only."


def build(
  learning_rate: tf.keras.optimizers.schedules.LearningRateSchedule,
  *,
  beta_1: float = 0.9,
  beta_2: float = 0.999,
  epsilon: float = 1e-6,
  weight_decay: float = 0.0,
) -> tf.keras.optimizers.Optimizer:
  """Adam's step, scaled layer by layer to the norm of the layer's weights.

  Args:
    learning_rate: a schedule.
    beta_1: decay of the gradients' mean.
    beta_2: decay of their squares' mean.
    epsilon: added to the denominator.
    weight_decay: the part of every weight that joins the step; not of biases and of batch
      normalization.

  Reference: You et al. 2020 (arXiv:1904.00962), Algorithm 2.
  """
  addons = runtime.import_quietly("tensorflow_addons")
  return addons.optimizers.LAMB(
    learning_rate,
    beta_1=beta_1,
    beta_2=beta_2,
    epsilon=epsilon,
    weight_decay=weight_decay,
    exclude_from_weight_decay=["bias", "gamma", "beta"],
  )
