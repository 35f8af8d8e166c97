"""How far a command is through its photographs, a line every few seconds. Imports no TensorFlow."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Sized


class ProgressLine:
  """Says `1,200 of 6,900 photographs  830 photographs/s  0:00:07 left  3 skipped` on stderr."""

  def __init__(self, total: int, before: int, skipped: Sized, *, seconds: float) -> None:
    """Starts; says how many are there already, if any.

    Args:
      total: photographs.
      before: those of them that were done by an earlier run.
      skipped: of which the length is how many were left out so far.
      seconds: between two lines.
    """
    self._total, self._skipped, self._seconds = total, skipped, seconds
    self._done = before
    self._start: float | None = None  # The first batch's end: what comes before is tracing.
    self._first, self._told, self._told_of = before, time.monotonic(), before
    if before:
      say(f"{before:,} of {total:,} photographs are there already.")

  def add(self, count: int) -> None:
    """Counts photographs that are done or left out; says where it is time."""
    self._done += count
    if self._start is None:
      self._start, self._first = time.monotonic(), self._done
    elif time.monotonic() - self._told >= self._seconds:
      self._say()

  def end(self) -> None:
    """Says how far it is, unless it has."""
    if self._told_of != self._done:
      self._say()

  def _say(self) -> None:
    text = f"{self._done:,} of {self._total:,} photographs"
    if self._start is not None and self._done > self._first:
      speed = (self._done - self._first) / max(time.monotonic() - self._start, 1e-9)
      left = datetime.timedelta(seconds=round((self._total - self._done) / speed))
      text += f"  {speed:,.0f} photographs/s  {left} left"
    if len(self._skipped):
      text += f"  {len(self._skipped):,} skipped"
    say(text)
    self._told, self._told_of = time.monotonic(), self._done


def say(text: str) -> None:
  """Prints a line on stderr, after the time of day."""
  print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)
