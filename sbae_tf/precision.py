"""Mixed precision: towers compute in 16 bits; their variables, heads and losses stay float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def precision_policy(name: str) -> Iterator[None]:
  """Makes Keras layers under a precision policy for the length of a block.

  The policy is Keras's global one, which is put back: layers that others make are not changed.

  Args:
    name: `float32`, `mixed_bfloat16` or `mixed_float16`.

  Reference: Micikevicius et al. 2017, arXiv:1710.03740, Sec. 3.1.
  """
  before = tf.keras.mixed_precision.global_policy()
  tf.keras.mixed_precision.set_global_policy(name)
  try:
    yield
  finally:
    tf.keras.mixed_precision.set_global_policy(before)


def with_loss_scale(
  optimizer: tf.keras.optimizers.Optimizer, precision: str
) -> tf.keras.optimizers.Optimizer:
  """The optimizer, with a loss scale where gradients could vanish: in float16.

  The scale grows while gradients are finite; a step whose gradients are not is left out, and the
  scale is halved. It is part of the optimizer's state.

  Args:
    optimizer: a Keras optimizer.
    precision: the policy's name.

  Returns:
    A `tf.keras.mixed_precision.LossScaleOptimizer` for `mixed_float16`, else the optimizer itself.

  Reference: Micikevicius et al. 2017, arXiv:1710.03740, Sec. 3.2.
  """
  if precision != "mixed_float16":
    return optimizer
  return tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
