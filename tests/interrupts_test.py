"""SIGTERM and SIGINT: held back, echoed, repeated, ignored; and other threads."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from sbae_tf import interrupts
from sbae_tf.interrupts import SIGNALS, Interrupted, Interrupts

_ROOT = pathlib.Path(interrupts.__file__).parents[1]


def _send(number: int) -> None:
  """Sends this process a signal; Python's handler has run when this returns."""
  os.kill(os.getpid(), number)
  time.sleep(0.01)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_raises_once(number, status):
  with Interrupts() as watch:
    with pytest.raises(KeyboardInterrupt) as error:
      _send(number)
    assert isinstance(error.value, Interrupted)
    assert (error.value.signal, error.value.status) == (number, status)
    assert str(error.value) == signal.Signals(number).name
    _send(number)  # An echo: the work that ends is not disturbed.
    assert watch.received == number


def test_held_back_it_waits_for_a_check():
  with Interrupts() as watch:
    watch.hold()
    watch.check()
    _send(signal.SIGTERM)
    assert watch.received == signal.SIGTERM
    with pytest.raises(Interrupted, match="SIGTERM"):
      watch.check()
    with pytest.raises(Interrupted, match="SIGTERM"):
      watch.release()


def test_released_it_raises_again():
  with Interrupts() as watch:
    watch.hold()
    watch.release()
    with pytest.raises(Interrupted):
      _send(signal.SIGINT)


def test_everything_is_as_before_afterwards():
  before = [signal.getsignal(number) for number in SIGNALS]
  threads = threading.active_count()
  for _ in range(2):
    with Interrupts(), Interrupts():
      assert [signal.getsignal(number) for number in SIGNALS] != before
  assert [signal.getsignal(number) for number in SIGNALS] == before
  assert signal.set_wakeup_fd(-1) == -1
  assert threading.active_count() == threads
  with pytest.raises(KeyboardInterrupt) as error:  # Python's own.
    _send(signal.SIGINT)
  assert not isinstance(error.value, Interrupted)


def test_the_inner_of_two_has_the_signal():
  with Interrupts() as outer:
    with pytest.raises(Interrupted), Interrupts() as inner:
      inner.hold()
      _send(signal.SIGTERM)
      assert (inner.received, outer.received) == (signal.SIGTERM, None)
      inner.release()
    with pytest.raises(Interrupted):
      _send(signal.SIGTERM)


def test_another_thread_changes_nothing():
  before = [signal.getsignal(number) for number in SIGNALS]
  seen = []

  def enter() -> None:
    with Interrupts() as watch:
      watch.hold()
      seen.extend(signal.getsignal(number) for number in SIGNALS)
      watch.release()

  thread = threading.Thread(target=enter)
  thread.start()
  thread.join()
  assert seen == before


def test_an_ignored_signal_stays_ignored():
  previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
  try:
    with Interrupts() as watch:
      _send(signal.SIGINT)
      assert watch.received is None
      with pytest.raises(Interrupted):
        _send(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
  finally:
    signal.signal(signal.SIGINT, previous)


def _start(code: str, *prefix: str) -> subprocess.Popen[str]:
  """Starts a Python; returns once it has written a line."""
  process = subprocess.Popen(
    [*prefix, sys.executable, "-uc", textwrap.dedent(code)],
    env={**os.environ, "PYTHONPATH": str(_ROOT)},
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout is not None and process.stdout.readline() == "ready\n"
  return process


# Computes for minutes in native code, as TensorFlow may, without a look at Python's signals.
_BUSY = """
  import hashlib
  from sbae_tf.interrupts import Interrupts
  with Interrupts() as watch:
    watch.hold()
    print("ready")
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_at_once_whatever_runs(number, status):
  process = _start(_BUSY)
  try:
    process.send_signal(number)
    time.sleep(0.3)
    process.send_signal(number)  # An echo.
    time.sleep(1.2)
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(timeout=5) == status
  finally:
    process.kill()
    process.communicate()


def test_the_echo_of_timeout_is_no_second_signal():
  """It signals its child, and then the process group with the child in it."""
  process = _start(
    """
    import sys, time
    from sbae_tf.interrupts import Interrupted, Interrupts
    with Interrupts() as watch:
      watch.hold()
      print("ready")
      while watch.received is None:
        time.sleep(0.01)
      time.sleep(0.5)
      print("brought to safety")
    """,
    *("timeout", "1"),
  )
  assert process.communicate(timeout=30)[0] == "brought to safety\n"
  assert process.returncode == 124
