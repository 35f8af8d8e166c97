"""What several workers must do at the same step, although each has a clock and signals of its own.

A step of the strategy waits for all workers. One that made a checkpoint or ended where the others
go on would leave them waiting.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.cluster import Worker

_PART_SECONDS = 1.0


class Agreement:
  """Sums over workers, and from time to time the answer to: is it time for a checkpoint?

  All workers must make the same calls in the same order. A worker alone agrees with itself at once.
  """

  def __init__(self, strategy: tf.distribute.Strategy, worker: Worker, *, seconds: float) -> None:
    """Sets up.

    Args:
      strategy: over the workers.
      worker: this one.
      seconds: between two agreements on the time: each waits for the devices.
    """
    self._strategy = strategy
    self._worker = worker
    self._seconds = seconds
    self._asked = time.monotonic()
    self._asked_step = 0
    self._next_step = 0

  def start(self, step: int) -> None:
    """Agrees next after the step that follows this one."""
    self._asked, self._asked_step, self._next_step = time.monotonic(), step, step + 1

  def steps_left(self, step: int) -> int | None:
    """Steps until `checkpoint` is to be called; None for a worker alone, who may at any time."""
    return None if self._worker.count == 1 else self._next_step - step

  def checkpoint(self, step: int, *, due: bool, interrupted: bool) -> tuple[bool, bool]:
    """Whether to make a checkpoint, and whether to end after it.

    Args:
      step: how many are done.
      due: whether a checkpoint is; the chief's word counts.
      interrupted: whether a signal came to this worker; one is enough.

    Returns:
      The same to all workers; both are False at a step that is not one to agree at.
    """
    if self._worker.count == 1:
      return due or interrupted, interrupted
    if step < self._next_step:
      return False, False
    now = time.monotonic()
    step_seconds = (now - self._asked) / max(1, step - self._asked_step)
    steps = max(1, int(self._seconds / max(step_seconds, 1e-6)))
    chief = self._worker.is_chief
    told = self.total([chief * steps, chief * due, interrupted])
    self.start(step)
    self._next_step = step + int(told[0])
    return bool(told[1] or told[2]), bool(told[2])

  def part(self) -> None:
    """Waits for all; then this worker may end."""
    self.total([0.0])
    if not self._worker.is_chief:
      time.sleep(_PART_SECONDS)  # What it gave to the last sum others may still be fetching.

  def of_chief(self, value: float) -> float:
    """The chief's value, of all workers' ones."""
    return self.total([value if self._worker.is_chief else 0.0])[0]

  @property
  def is_chief(self) -> bool:
    """Whether this worker is the chief."""
    return self._worker.is_chief

  def array_of_chief(self, value: np.ndarray) -> np.ndarray:
    """The chief's array, to the bit, of all workers' ones, which have its shape and type."""
    own = value if self._worker.is_chief else np.zeros_like(value)
    return value if self._worker.count == 1 else self._sum(tf.constant(own)).numpy()

  def total(self, values: Sequence[float]) -> list[float]:
    """The sums over all workers of what each gives."""
    if self._worker.count == 1:
      return [float(value) for value in values]
    return list(self._sum(tf.constant([float(value) for value in values], tf.float64)).numpy())

  def _sum(self, own: tf.Tensor) -> tf.Tensor:
    """The sum of what each worker gives."""
    first = self._strategy.num_replicas_in_sync // self._worker.count * self._worker.index

    def of_replica(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
      return own if context.replica_id_in_sync_group == first else tf.zeros_like(own)

    each = self._strategy.experimental_distribute_values_from_function(of_replica)
    return self._strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None)
