"""SIGTERM and SIGINT, held back until a loop has brought its work to safety."""

from __future__ import annotations

import os
import signal
import threading
import time
import types
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Seconds within which a second signal is the first one's echo: `timeout`, and others that stop a
# program together with its process group, send each signal twice.
_ECHO = 1.0


class Interrupted(KeyboardInterrupt):
  """A signal asked the process to end.

  Attributes:
    signal: which.
    status: the exit status that shells expect then: 143 for SIGTERM, 130 for SIGINT.
  """

  def __init__(self, number: int) -> None:
    self.signal = signal.Signals(number)
    self.status = 128 + number
    super().__init__(self.signal.name)


class Interrupts:
  """While entered, SIGTERM and SIGINT raise `Interrupted`; from `hold` to `release` only later.

  Held back, the first signal sets `received`, which the loop looks at. A second one, more than a
  second after it, ends the process at once, also while TensorFlow computes or waits for data: a
  thread looks out for it, for Python's own handlers run only between two steps of Python.

  Signals belong to the main thread: entered in another one, nothing is changed. A signal that is
  ignored, as `nohup` has it, stays so.

  Attributes:
    received: the first signal; None while there is none.
  """

  def __init__(self) -> None:
    self.received: int | None = None
    self._held = False
    self._raised = False
    self._previous: dict[signal.Signals, Any] = {}
    self._previous_fd = -1
    self._writer = -1
    self._watcher: threading.Thread | None = None

  def __enter__(self) -> Interrupts:
    if threading.current_thread() is not threading.main_thread():
      return self
    reader, self._writer = os.pipe()
    os.set_blocking(self._writer, False)
    self._watcher = threading.Thread(target=self._watch, args=(reader,), daemon=True)
    self._watcher.start()
    self._previous_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
    for number in SIGNALS:
      if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not Python's to change.
        self._previous[number] = signal.signal(number, self._handle)
    return self

  def take_back(self) -> None:
    """Takes the signals back from who took them since: TensorFlow does, to connect to workers."""
    for number in self._previous:
      signal.signal(number, self._handle)

  def __exit__(self, *_: object) -> None:
    if self._watcher is None:
      return
    for number, handler in self._previous.items():
      signal.signal(number, handler)
    signal.set_wakeup_fd(self._previous_fd)
    os.close(self._writer)
    self._watcher.join()

  def hold(self) -> None:
    """From here on a signal only sets `received`."""
    self._held = True

  def release(self) -> None:
    """From here on a signal raises again; one that came meanwhile does so now.

    Raises:
      Interrupted: one came.
    """
    self._held = False
    self.check()

  def receive(self, number: int) -> None:
    """As if a signal had come, unless one has: to another worker."""
    if self.received is None:
      self.received = number

  def check(self) -> None:
    """Raises what was held back.

    Raises:
      Interrupted: a signal came.
    """
    if self.received is not None:
      self._raised = True
      raise Interrupted(self.received)

  def _handle(self, number: int, _: types.FrameType | None) -> None:
    if self.received is None:
      self.received = number
    if not self._held and not self._raised:
      self.check()

  def _watch(self, reader: int) -> None:
    """Reads the numbers of signals from a pipe, to which they are written when they come."""
    first: float | None = None
    while numbers := os.read(reader, 1):
      if numbers[0] not in self._previous:
        continue
      now = time.monotonic()
      if first is None:
        first = now
      elif now - first > _ECHO:
        os._exit(128 + numbers[0])
    os.close(reader)
