"""How a contestant is measured: what it does when it is told `go SECONDS`.

A contestant is a process. Once it is warm it writes a line of JSON that says what it is. To each
line `go SECONDS` on its standard input it answers with a line of JSON, a `Count`; at the end of its
input it ends. Between two measurements it must do nothing, for others are measured then.

It does nothing once its buffers are full, and answers only then. What they hold was not made in
the measured time, so it is not counted: before each measurement batches are drawn, and dropped, for
`WARM_SECONDS`. Nothing is done with a batch, so batches leave a buffer faster than any pipeline
makes them, and it is as good as empty when the clock starts; what it holds then it also holds when
the clock stops.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TextIO

WARM_SECONDS = 1.0
START_SECONDS = 5.0  # The first time, so that `tf.data` has found its number of threads.
_QUIET_SECONDS = 60.0  # For buffers to fill; a large one of a slow pipeline may take some.
_TICKS = os.sysconf("SC_CLK_TCK")


class Count(NamedTuple):
  """What was made, in which time.

  Attributes:
    images: their number.
    seconds: that they took.
    cpu_seconds: processor time that they took, of the process and its children.
  """

  images: int
  seconds: float
  cpu_seconds: float


def claim_stdout() -> TextIO:
  """Takes the standard output for replies; whatever else prints goes to the standard error.

  Returns:
    Where `serve` writes.
  """
  replies = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
  os.dup2(2, 1)
  return replies


def serve(
  batches: Iterator[int],
  replies: TextIO,
  *,
  about: Mapping[str, Any],
  start: float = START_SECONDS,
) -> None:
  """Answers until the standard input ends.

  Args:
    batches: makes a batch at each step and yields the number of its images; endless.
    replies: that of `claim_stdout`, called before anything could print.
    about: what to say of oneself: versions, what was tried.
    start: seconds of batches that are dropped before it is ready.

  Raises:
    RuntimeError: the process goes on working when no batch is asked of it.
    ValueError: a line is not `go SECONDS`.
  """
  measure(batches, seconds=0.0, warm=start)
  wait_until_quiet()
  print(json.dumps({"ready": True, **about}), file=replies)
  for line in sys.stdin:
    word, _, seconds = line.strip().partition(" ")
    if word != "go":
      raise ValueError(f"Expected a line `go SECONDS`. Received: {line!r}")
    count = measure(batches, seconds=float(seconds))
    wait_until_quiet()
    print(json.dumps(count._asdict()), file=replies)


def measure(
  batches: Iterator[int],
  *,
  seconds: float,
  warm: float = WARM_SECONDS,
  clock: Callable[[], float] = time.perf_counter,
) -> Count:
  """Counts what an iterator makes, after what lay in its buffers is gone.

  Args:
    batches: makes a batch at each step and yields the number of its images; endless.
    seconds: to measure for, at least; whole batches are counted.
    warm: seconds of batches that are dropped first; one batch at least.
    clock: seconds that have passed.
  """
  start = clock()
  next(batches)
  while clock() - start < warm:
    next(batches)
  images, taken = 0, 0.0
  cpu_seconds, start = _cpu_seconds(), clock()
  while taken < seconds:
    images += next(batches)
    taken = clock() - start
  return Count(images, taken, _cpu_seconds() - cpu_seconds)


def wait_until_quiet(
  *,
  limit: float = _QUIET_SECONDS,
  cpu_seconds: Callable[[], float] | None = None,
  sleep: Callable[[float], None] = time.sleep,
) -> None:
  """Returns once this process and its children use no processor any more.

  Args:
    limit: seconds to wait for that.
    cpu_seconds: processor time used so far; by default this process's and its children's.
    sleep: waits for so many seconds.

  Raises:
    RuntimeError: they still do after `limit`.
  """
  read = cpu_seconds or _cpu_seconds
  pause, waited, quiet = 0.1, 0.0, 0
  before = read()
  while quiet < 2:  # Twice: a thread may sleep for a moment between two pieces of work.
    if waited >= limit:
      raise RuntimeError(f"Still at work {limit:.0f} s after the last batch was asked for.")
    sleep(pause)
    waited += pause
    now = read()
    quiet = quiet + 1 if now - before <= 0.1 * pause else 0
    before = now


def _cpu_seconds() -> float:
  """Processor time of this process and of those that `multiprocessing` started from it."""
  total = time.process_time()
  for child in multiprocessing.active_children():
    try:
      stat = pathlib.Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8")
    except OSError:
      continue  # It has just ended.
    user, system = stat.rpartition(")")[2].split()[11:13]  # Fields 14 and 15 of proc(5).
    total += (int(user) + int(system)) / _TICKS
  return total
