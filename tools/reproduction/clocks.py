"""The time that the stages of a cell take."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Generator

from sbae_tf.run_folder import write_aside
from tools.reproduction.processes import Command, WorkError, last_lines


class Clock:
  """How long the stages of a cell took, over all processes that worked on each.

  Kept in a file beside the run's folder, with when each process started and ended: where the end
  is missing, it was killed together with the one that waited for it, and the log's last line tells.
  """

  def __init__(self, file: pathlib.Path, log: pathlib.Path) -> None:
    """Reads what is there.

    Args:
      file: of the times, a JSON object.
      log: of the processes.
    """
    self._file, self._log = file, log
    self._times: dict[str, list[list[float]]] = {}
    if file.exists():
      self._times = json.loads(file.read_text(encoding="utf-8"))
    for times in self._times.values():
      for each in times:
        if len(each) == 1:
          last = log.stat().st_mtime if log.exists() else each[0]
          each.append(max(last, each[0]))

  def start(self, stage: str) -> None:
    """Now a process for a stage starts."""
    self._times.setdefault(stage, []).append([time.time()])
    self._write()

  def end(self, stage: str) -> None:
    """Now it has ended."""
    self._times[stage][-1].append(time.time())
    self._write()

  def seconds(self, stage: str) -> float:
    """Of a stage, over all of its processes."""
    return sum(end - start for start, end in self._times.get(stage, []))

  def forget(self, stage: str) -> None:
    """A stage is done anew."""
    self._times.pop(stage, None)

  def _write(self) -> None:
    self._file.parent.mkdir(parents=True, exist_ok=True)
    write_aside(self._file, json.dumps(self._times).encode())


def run(stage: str, command: Command, clock: Clock) -> Generator[Command, int, None]:
  """A process of a stage; its time counts however it ends."""
  clock.start(stage)
  try:
    status = yield command
  finally:
    clock.end(stage)
  if status:
    raise WorkError(
      f"{stage} ended with exit status {status}. The last lines of {command.log}:\n"
      + last_lines(command.log)
    )
