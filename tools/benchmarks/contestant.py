"""Starts contestants, and lets one at a time run: the other side of `protocol`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import subprocess
from collections.abc import Sequence
from typing import IO, Any, cast

ROOT = pathlib.Path(__file__).resolve().parents[2]

_READY_SECONDS = 1800.0  # DataLoaders first try several numbers of workers.
_GRACE_SECONDS = 180.0  # Beyond the measured time: to warm up, and to become quiet.


@dataclasses.dataclass(frozen=True)
class Contestant:
  """One way to make images.

  Attributes:
    key: its name in the raw numbers.
    title: its name in tables and plots.
    what: what it does, in a line of a table.
    command: starts it; the process speaks `protocol`.
    one_a_core: whether it is a single thread, of which each core gets its own process.
  """

  key: str
  title: str
  what: str
  command: tuple[str, ...]
  one_a_core: bool = False


class Running:
  """A contestant's processes, warm and waiting.

  A context manager: at its end the processes end.
  """

  def __init__(self, contestant: Contestant, *, cores: Sequence[int]) -> None:
    """Starts the processes and waits until they are ready.

    Args:
      contestant: to start.
      cores: the logical processors that it may use.

    Raises:
      RuntimeError: a process ended, is silent for too long, or says what is no reply.
    """
    self.contestant = contestant
    self._cores = tuple(cores)
    self._processes: list[subprocess.Popen[str]] = []
    sets = [{core} for core in cores] if contestant.one_a_core else [set(cores)]
    try:
      for number, allowed in enumerate(sets):
        self._processes.append(_start(contestant, number, allowed))
      self.about: dict[str, Any] = [self._reply(p, _READY_SECONDS) for p in self._processes][0]
    except BaseException:
      self.close()
      raise

  def go(self, seconds: float) -> tuple[float, float]:
    """Measures once.

    Args:
      seconds: to measure for.

    Returns:
      Images a second and core, and the part of the cores' time that was used for them, in [0, 1].

    Raises:
      RuntimeError: a process ended, is silent for too long, or says what is no reply.
    """
    for process in self._processes:
      try:
        print(f"go {seconds}", file=process.stdin, flush=True)
      except BrokenPipeError as error:
        raise RuntimeError(f"{self._name} ended. It may have said why above.") from error
    replies = [self._reply(process, seconds + _GRACE_SECONDS) for process in self._processes]
    rate, busy = (
      sum(reply[what] / reply["seconds"] for reply in replies) / len(self._cores)
      for what in ("images", "cpu_seconds")
    )
    return rate, busy

  def close(self) -> None:
    """Ends the processes."""
    for process in self._processes:
      if process.stdin:
        with contextlib.suppress(BrokenPipeError):  # It has ended, and not read its last line.
          process.stdin.close()
    for process in self._processes:
      try:
        process.wait(timeout=15)
      except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
      if process.stdout:
        process.stdout.close()

  def __enter__(self) -> Running:
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  @property
  def _name(self) -> str:
    return f"The contestant '{self.contestant.title}'"

  def _reply(self, process: subprocess.Popen[str], timeout: float) -> dict[str, Any]:
    output = cast(IO[str], process.stdout)  # It has one: see `_start`.
    # One line at a time is asked for, so none waits in the reader's own buffer.
    if not select.select([output], [], [], timeout)[0]:
      raise RuntimeError(f"{self._name} has been silent for {timeout:.0f} s.")
    line = output.readline()
    if not line:
      raise RuntimeError(f"{self._name} ended. It may have said why above.")
    try:
      return dict(json.loads(line))
    except (TypeError, ValueError) as error:
      raise RuntimeError(f"{self._name} said what is no reply: {line.strip()!r}") from error


def _start(contestant: Contestant, number: int, allowed: set[int]) -> subprocess.Popen[str]:
  # A process starts on the processors of the thread that starts it; TensorFlow, PyTorch and OpenCV
  # then make as many threads as there are of these.
  before = os.sched_getaffinity(0)
  os.sched_setaffinity(0, allowed)
  try:
    return subprocess.Popen(
      [*contestant.command, *([f"--number={number}"] if contestant.one_a_core else [])],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      cwd=ROOT,
      env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
      start_new_session=True,  # Ctrl-C reaches the parent alone, which ends them in order.
    )
  except OSError as error:
    raise RuntimeError(f"Cannot start {contestant.command[0]}: {error.strerror}") from error
  finally:
    os.sched_setaffinity(0, before)
