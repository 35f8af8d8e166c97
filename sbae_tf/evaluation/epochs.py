"""Training from the same start, again and again: falling learning rate, and the best epoch kept."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.evaluation.layer_rates import LayerRates
from sbae_tf.failures import NonFiniteLossError

_DECAY = 0.9  # Of the learning rate, an epoch.


@dataclasses.dataclass(frozen=True)
class Epoch:
  """What an epoch brought.

  Attributes:
    number: from 1.
    loss: mean cross-entropy of its training batches, in nats.
    accuracy: on the validation photographs after it, in [0, 1]: top-1, or what else is wanted; None
      without such.
    validation_loss: cross-entropy there, in nats; None without.
  """

  number: int
  loss: float
  accuracy: float | None = None
  validation_loss: float | None = None

  def is_better_than(self, other: Epoch | None) -> bool:
    """Whether it has more validation photographs right, or as many and a smaller loss there."""
    if self.accuracy is None or self.validation_loss is None:
      return False
    if other is None or other.accuracy is None or other.validation_loss is None:
      return True
    return (self.accuracy, -self.validation_loss) > (other.accuracy, -other.validation_loss)


class Epochs:
  """Weights and optimizers that are trained from the same start as often as wanted."""

  def __init__(
    self, weights: Sequence[tf.Variable], rates: LayerRates, *, learning_rate: float
  ) -> None:
    """Keeps the values that the variables have now: the start.

    Args:
      weights: all variables that training changes, but those of the optimizers.
      rates: the optimizers.
      learning_rate: in the first epoch; a tenth of it is taken away each epoch.
    """
    self._weights, self._rates, self._learning_rate = list(weights), rates, learning_rate
    self._start = [variable.numpy() for variable in (*self._weights, *rates.variables)]

  def restart(self) -> None:
    """Puts weights and optimizers back to the start."""
    for variable, value in zip((*self._weights, *self._rates.variables), self._start):
      variable.assign(value)

  def run(
    self,
    losses: Iterator[tf.Tensor],
    *,
    steps: int,
    steps_per_epoch: int,
    judge: Callable[[Epoch], Epoch],
    patience: int = 0,
    say: Callable[[Epoch], None] = lambda epoch: None,
  ) -> tuple[list[Epoch], Epoch | None]:
    """Trains from the weights as they are.

    Args:
      losses: makes a step each time it is asked for one, and gives its loss, () float32.
      steps: in all, at least 1.
      steps_per_epoch: after so many the learning rate falls, and `judge` is asked.
      judge: adds to an epoch what validation photographs say of it, if there are any.
      patience: ends after so many epochs that are not better than the best; 0 does not.
      say: told each epoch.

    Returns:
      The epochs, and which of them has left its weights, the best, the first of equals; None where
      nothing judges: the last.

    Raises:
      NonFiniteLossError: the loss is infinite or not a number.
    """
    epochs: list[Epoch] = []
    best: Epoch | None = None
    kept: list[np.ndarray] = []
    for number in range(1, -(-steps // steps_per_epoch) + 1):
      self._rates.set(self._learning_rate * _DECAY ** (number - 1))
      some = list(itertools.islice(losses, steps_per_epoch))
      epoch = judge(_checked(Epoch(number, float(np.mean(some)))))
      epochs.append(epoch)
      say(epoch)
      if epoch.is_better_than(best):
        best, kept = epoch, [variable.numpy() for variable in self._weights]
      if best is not None and patience and number - best.number >= patience:
        break
    for variable, value in zip(self._weights, kept):
      variable.assign(value)
    return epochs, best


def _checked(epoch: Epoch) -> Epoch:
  if not math.isfinite(epoch.loss):
    raise NonFiniteLossError(
      f"The loss of fine-tuning is {epoch.loss} in epoch {epoch.number}. Lower the option "
      "learning_rate."
    )
  return epoch
