"""Starts a group's contestants, some at once, and lets them take turns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tools.benchmarks import step_results
from tools.benchmarks.contestant import Contestant, Running
from tools.benchmarks.results import Measurement

# To import, trace and compile takes longer than to measure, and is the work of one thread mostly.
_STARTS = 4


def measure(
  contestants: Sequence[Contestant], *, cores: Sequence[int], rounds: int, seconds: float
) -> tuple[Measurement, ...]:
  """Lets the contestants run in turn, round after round.

  Args:
    contestants: all are started before the first round.
    cores: the logical processors to use.
    rounds: how many; every second one goes backwards.
    seconds: of each contestant in each round.

  Returns:
    What was measured, in the order of `contestants`.

  Raises:
    RuntimeError: a contestant failed.
  """
  with _started(contestants, cores) as running:
    measured: list[list[tuple[float, float]]] = [[] for _ in contestants]
    for number in range(rounds):
      places = range(len(running))
      for place in places if number % 2 == 0 else reversed(places):
        rate, busy = running[place].go(seconds)
        measured[place].append((rate, busy))
        told = step_results.rate_text(contestants[place].key, len(cores) * rate)
        print(
          f"Round {number + 1} of {rounds}: {contestants[place].title} {told}, {busy:.0%} busy",
          flush=True,
        )
    return tuple(
      Measurement(
        *(c.key, c.title, c.what),
        rates=tuple(rate for rate, _ in turns),
        busy=tuple(busy for _, busy in turns),
        about=entry.about,
      )
      for c, entry, turns in zip(contestants, running, measured)
    )


@contextlib.contextmanager
def _started(contestants: Sequence[Contestant], cores: Sequence[int]) -> Iterator[list[Running]]:
  """The contestants, warm and waiting; their processes end with the block, however it ends."""
  with contextlib.ExitStack() as stack:

    def start(contestant: Contestant) -> Running:
      print(f"Starting {contestant.title} ...", flush=True)
      running = Running(contestant, cores=cores)
      stack.callback(running.close)
      return running

    # Those of matrix products first try what is fastest, and so are alone then.
    first = [start(c) for c in contestants if step_results.is_peak(c.key)]
    pool = ThreadPoolExecutor(min(_STARTS, len(cores)))
    try:
      others = list(pool.map(start, (c for c in contestants if not step_results.is_peak(c.key))))
    finally:
      # Waits for those that are starting, so that `stack` knows them.
      pool.shutdown(cancel_futures=True)
    by_key = {running.contestant.key: running for running in (*first, *others)}
    yield [by_key[c.key] for c in contestants]
