"""Runs the commands of several works at once, each work's one after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
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


# Processors, by their numbers; empty: those that this process may use.
Share = frozenset[int]

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


@contextlib.contextmanager
def _confined(share: Share) -> Iterator[None]:
  """What this thread starts within a block may use these processors alone."""
  if not share:
    yield
    return
  before = os.sched_getaffinity(0)
  os.sched_setaffinity(0, share)
  try:
    yield
  finally:
    os.sched_setaffinity(0, before)


Launch = Callable[[Command, Share], Process]


def launch(command: Command, share: Share) -> Process:
  """Starts a command by this interpreter, at the checkout's root.

  Args:
    command: to start.
    share: the processors that it may use.
  """
  command.log.parent.mkdir(parents=True, exist_ok=True)
  with command.log.open("ab") as log, _confined(share):
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
  launch: Launch = launch,
) -> None:
  """Runs works to their ends, or until a signal came; each on a share of the processors.

  Args:
    works: by their names, in their order.
    jobs: how many at once.
    failed: told a work's name and why it could not go on; the others go on.
    received: the signal that asks to end, None while there is none. The processes are sent it, and
      are waited for.
    launch: starts a process.
  """
  waiting = list(works.items())
  shares = _shares(jobs)
  running: dict[int, _Running] = {}  # By the job's number.
  stopping = False
  while running or (waiting and not stopping):
    number = received()
    if number is not None and not stopping:
      stopping = True
      for each in running.values():
        each.process.send_signal(number)
    for job, share in enumerate(shares):
      while job not in running and waiting and not stopping:
        name, work = waiting.pop(0)
        started = _resumed(name, work, None, failed, launch, share)
        running.update({} if started is None else {job: started})
    for job, each in list(running.items()):
      status = each.process.poll()
      if status is None:
        continue
      del running[job]
      if stopping:
        _stopped(each.work)
      else:
        resumed = _resumed(each.name, each.work, status, failed, launch, shares[job])
        running.update({} if resumed is None else {job: resumed})
    if running:
      time.sleep(_POLL_SECONDS)


def _shares(jobs: int) -> list[Share]:
  """Each job's processors. On all of them, the threads of one would be in the way of another's.

  Where jobs are more than processors, some share one.
  """
  if jobs == 1 or not hasattr(os, "sched_getaffinity"):  # Linux alone has it.
    return [frozenset()] * jobs
  found = sorted(os.sched_getaffinity(0))
  return [frozenset(found[job::jobs] or [found[job % len(found)]]) for job in range(jobs)]


def _resumed(
  name: str,
  work: Work,
  status: int | None,
  failed: Callable[[str, str], None],
  launch: Launch,
  share: Share,
) -> _Running | None:
  """Lets a work go on to its next command and starts that; None at its end."""
  try:
    command = next(work) if status is None else work.send(status)
    return _Running(name, work, launch(command, share))
  except StopIteration:
    return None
  except (WorkError, ValueError, OSError) as error:
    failed(name, str(error))
    return None


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
