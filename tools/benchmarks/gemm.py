"""What the products of large square matrices have in common, whichever library makes them.

Their rate is the peak that the arithmetic of a training step is held to: the most that these
libraries reach on this machine, which is below what its data sheet says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

# Smaller ones leave threads without work between products.
SIDES = (1024, 2048, 3072)
_TRIES = 3


def flop(side: int) -> int:
  """Floating-point operations of a product of two (side, side) matrices: 2 side^3."""
  return 2 * side**3


def fastest(
  make: Callable[[int], Callable[[], object]],
  *,
  sides: Sequence[int] = SIDES,
  clock: Callable[[], float] = time.perf_counter,
) -> tuple[int, Callable[[], object]]:
  """Tries each side, and keeps that of the highest rate.

  Args:
    make: from a side to a function that multiplies two such matrices and waits for the product.
    sides: to try.
    clock: tells seconds.

  Returns:
    The side, and what `make` made of it.
  """
  tried = []
  for side in sides:
    multiply = make(side)
    multiply()
    # The least of some: other work on the machine only ever adds to it.
    seconds = min(_seconds(multiply, clock) for _ in range(_TRIES))
    tried.append((flop(side) / seconds, side, multiply))
  _, side, multiply = max(tried, key=lambda one: one[0])
  return side, multiply


def products(multiply: Callable[[], object], side: int) -> Iterator[int]:
  """Multiplies without end, and yields the operations of each product."""
  while True:
    multiply()
    yield flop(side)


def _seconds(function: Callable[[], object], clock: Callable[[], float]) -> float:
  start = clock()
  function()
  return clock() - start
