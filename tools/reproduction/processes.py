"""Runs the commands of several works at once, each work's one after the other."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from typing import Protocol

from tools.benchmarks.contestant import ROOT

_POLL_SECONDS = 0.2
_LAST_LINES = 15
_LAST_BYTES = 20_000

# Unless the environment has them: several processes share a GPU; lines come as they are written.
_ENVIRONMENT = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "PYTHONUNBUFFERED": "1"}


@dataclasses.dataclass(frozen=True)
class Command:
  """A process to run.

  Attributes:
    arguments: what follows the interpreter's name.
    log: where its output is appended.
  """

  arguments: tuple[str, ...]
  log: pathlib.Path


# Yields commands and is sent their exit statuses; raises WorkError where it cannot go on.
Work = Generator[Command, int, None]


class WorkError(Exception):
  """A work cannot go on; the message tells why."""


class Process(Protocol):
  """What is needed of a process."""

  def poll(self) -> int | None:
    """Its exit status, None while it runs."""

  def send_signal(self, sig: int, /) -> None:
    """Sends it a signal, if it still runs."""


def launch(command: Command) -> Process:
  """Starts a command by this interpreter, at the checkout's root."""
  command.log.parent.mkdir(parents=True, exist_ok=True)
  with command.log.open("ab") as log:
    log.write(f"\n$ python {' '.join(command.arguments)}\n".encode())
    log.flush()
    return subprocess.Popen(
      [sys.executable, *command.arguments],
      cwd=ROOT,
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=subprocess.STDOUT,
      env={**_ENVIRONMENT, **os.environ},
    )


@dataclasses.dataclass
class _Running:
  name: str
  work: Work
  process: Process


def run(
  works: Mapping[str, Work],
  *,
  jobs: int,
  failed: Callable[[str, str], None],
  received: Callable[[], int | None],
  launch: Callable[[Command], Process] = launch,
) -> None:
  """Runs works to their ends, or until a signal came.

  Args:
    works: by their names, in their order.
    jobs: how many at once.
    failed: told a work's name and why it could not go on; the others go on.
    received: the signal that asks to end, None while there is none. The processes are sent it, and
      are waited for.
    launch: starts a process.
  """
  waiting = list(works.items())
  running: list[_Running] = []
  stopping = False
  while running or (waiting and not stopping):
    number = received()
    if number is not None and not stopping:
      stopping = True
      for each in running:
        each.process.send_signal(number)
    while waiting and len(running) < jobs and not stopping:
      name, work = waiting.pop(0)
      running += _resumed(name, work, None, failed, launch)
    still = []
    for each in running:
      status = each.process.poll()
      if status is None:
        still.append(each)
      elif stopping:
        _stopped(each.work)
      else:
        still += _resumed(each.name, each.work, status, failed, launch)
    running = still
    if running:
      time.sleep(_POLL_SECONDS)


def _resumed(
  name: str,
  work: Work,
  status: int | None,
  failed: Callable[[str, str], None],
  launch: Callable[[Command], Process],
) -> list[_Running]:
  """Lets a work go on to its next command and starts that; none at its end."""
  try:
    command = next(work) if status is None else work.send(status)
    return [_Running(name, work, launch(command))]
  except StopIteration:
    return []
  except (WorkError, ValueError, OSError) as error:
    failed(name, str(error))
    return []


def _stopped(work: Work) -> None:
  """Ends a work whose process was stopped: the time until then counts."""
  work.close()


def last_lines(log: pathlib.Path) -> str:
  """The last lines of a log, indented."""
  try:
    with log.open("rb") as file:
      file.seek(0, os.SEEK_END)
      file.seek(max(0, file.tell() - _LAST_BYTES))
      lines = file.read().decode(errors="replace").splitlines()
  except OSError:
    return ""
  return "\n".join(f"    {line}" for line in lines[-_LAST_LINES:])
