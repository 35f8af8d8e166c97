"""Watches how a folder of records fills: says how far it is, and stops what cannot end well."""

from __future__ import annotations

import contextlib
import datetime
import sys
import threading
import time
import types

import tensorflow as tf

from tools.records.folder import Folder, Ledger
from tools.records.plan import Plan


class Watcher:
  """A thread that looks at a folder; a context manager."""

  def __init__(
    self, folder: Folder, plan: Plan, *, max_skipped: float, shown: bool, seconds: float = 5.0
  ) -> None:
    """Prepares the thread.

    Args:
      folder: the records'.
      plan: what is to be done.
      max_skipped: workers begin no other shard when more than this part of all images is left out.
      shown: whether to print how far it is.
      seconds: between two looks.
    """
    self._folder, self._plan = folder, plan
    self._limit = max_skipped * plan.images
    self._shown, self._seconds = shown, seconds
    self._ledger = Ledger(folder)
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._watch, daemon=True)

  def __enter__(self) -> Watcher:
    self._ledger.refresh()
    self._before, self._start = self._ledger.images, time.monotonic()
    if self._before:
      _say(f"{self._before:,} of {self._plan.images:,} images are there already.")
    self._thread.start()
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: types.TracebackType | None,
  ) -> None:
    self._ended.set()
    self._thread.join()

  def _watch(self) -> None:
    while not self._ended.wait(self._seconds):
      # What is wrong with the folder, workers say.
      with contextlib.suppress(tf.errors.OpError):
        self._ledger.refresh()
        if self._ledger.images == self._before:
          self._start = time.monotonic()  # Workers are starting: not to count in the speed.
        if self._shown:
          _say(self.line())
        if len(self._ledger.skipped) > self._limit:
          self._folder.stop()

  def line(self) -> str:
    """How far it is: `1,200 of 6,900 images  830 images/s  0:00:07 left`."""
    images, total = self._ledger.images, self._plan.images
    text = f"{images:,} of {total:,} images"
    if images == self._before:
      return text
    speed = (images - self._before) / (time.monotonic() - self._start)
    left = datetime.timedelta(seconds=round((total - images) / speed))
    return f"{text}  {speed:.0f} images/s  {left} left"


def _say(text: str) -> None:
  print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)
