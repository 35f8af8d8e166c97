"""Fills the cells that are missing, and tells how far that is."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Sequence

from tools.reproduction import estimates, processes, work
from tools.reproduction.cells import SHOWN, Cell, Places, protocol_name, shown
from tools.reproduction.processes import Launch, Work
from tools.reproduction.records import Record, Records

# A cell, and the protocols that are missing.
Todo = Sequence[tuple[Cell, tuple[str, ...]]]


def missing(cells: Sequence[Cell], records: list[Record]) -> Todo:
  """The cells of which a protocol was not measured.

  Args:
    cells: that are wanted.
    records: of what was measured.
  """
  found = [(cell, work.missing(cell, records)) for cell in cells]
  return [(cell, protocols) for cell, protocols in found if protocols]


def plan(todo: Todo, wanted: int, records: Records, places: Places) -> str:
  """Lists cells, their commands, and about how long they take one after the other.

  Args:
    todo: the cells.
    wanted: how many there are with those that are done.
    records: of what was measured.
    places: where photographs and runs are.
  """
  known = records.read()
  lines = []
  total = 0.0
  for cell, protocols in todo:
    seconds = estimates.seconds(cell, protocols, known, places)
    total += seconds
    names = ", ".join(map(protocol_name, protocols))
    lines += [f"{cell.name}: {names}; about {_time(seconds)}"]
    lines += [f"  {shown(cell.pretrain(SHOWN))}" + _steps(cell)]
    measuring = [shown(cell.evaluate(SHOWN, protocol)) for protocol in protocols]
    lines += [f"  {command}" for command in measuring if command]
  lines.append(
    f"{len(todo)} of {wanted} cells are to be done; about {_time(total)} one after the other."
  )
  return "\n".join(lines)


def _steps(cell: Cell) -> str:
  minutes = cell.method.minutes
  return f"  # and --steps: as many as {minutes:g} min are" if minutes else ""


def _time(seconds: float) -> str:
  return str(datetime.timedelta(seconds=round(seconds)))


class _Meter:
  """Tells how many cells are done, the time used, and the time left."""

  def __init__(self, expected: dict[str, float], wanted: int, jobs: int) -> None:
    self._expected = dict(expected)  # Of cells that are not done: seconds, alone on the machine.
    self._all = sum(expected.values())
    self._wanted, self._jobs = wanted, jobs
    self._start = time.monotonic()

  def ended(self, name: str, how: str) -> None:
    """A cell is done, or failed."""
    self._expected.pop(name)
    used = time.monotonic() - self._start
    left = sum(self._expected.values())
    # As much slower or faster than expected as what is done was.
    ratio = used / (self._all - left) if self._all > left else 1 / self._jobs
    done = self._wanted - len(self._expected)
    tell(
      f"[{done}/{self._wanted}] {name} {how}; {_time(used)} used, about {_time(left * ratio)} left"
    )


def tell(text: str) -> None:
  """A line about the progress."""
  print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def fill(
  todo: Todo,
  wanted: int,
  records: Records,
  places: Places,
  *,
  jobs: int,
  calibration_steps: int,
  again: bool,
  received: Callable[[], int | None],
  launch: Launch = processes.launch,
) -> int:
  """Works on cells: first those that may share the machine, then those that may not.

  Args:
    todo: the cells.
    wanted: how many there are with those that are done.
    records: where the numbers go.
    places: where photographs and runs are.
    jobs: cells at once.
    calibration_steps: see `work.Bench`.
    again: see there.
    received: the signal that asks to end; None while there is none.
    launch: starts a process.

  Returns:
    How many cells failed. Each was told with its reason.
  """
  known = records.read()
  expected = {c.name: estimates.seconds(c, protocols, known, places) for c, protocols in todo}
  meter = _Meter(expected, wanted, jobs)
  bench = work.Bench(places, records, calibration_steps, again, tell)
  wrong: list[str] = []

  def failed(name: str, reason: str) -> None:
    wrong.append(name)
    tell(f"{name} FAILED: {reason}")
    meter.ended(name, "failed")

  tell(f"{len(todo)} of {wanted} cells are to be done.")
  for timed in (False, True):
    works = {
      cell.name: _metered(cell, work.work(cell, protocols, bench), meter)
      for cell, protocols in todo
      if (cell.method.minutes is not None) == timed
    }
    processes.run(
      *(works,), jobs=1 if timed else jobs, failed=failed, received=received, launch=launch
    )
  if wrong:
    tell(f"Failed: {', '.join(wrong)}. The same command tries them again.")
  return len(wrong)


def _metered(cell: Cell, inner: Work, meter: _Meter) -> Work:
  yield from inner
  meter.ended(cell.name, "done")
