"""How many steps fit into some minutes."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Generator

from sbae_tf.run_folder import write_aside
from tools.reproduction import clocks, hardware, recipe, training_time
from tools.reproduction.cells import Cell, Places
from tools.reproduction.processes import Command, WorkError

_SECONDS = 20.0  # Of the short run's steps, if these are no more than half of the cell's.


def steps(
  cell: Cell, places: Places, short_steps: int, say: Callable[[str], None]
) -> Generator[Command, int, int]:
  """The steps that fit into a cell's minutes on this machine, as a short run tells, once.

  The run is of the same command: the same photographs, batches, network and threads. What it told
  stands in `calibration.json` beside the folders of the method's seeds.

  Args:
    cell: whose method trains for some minutes.
    places: where photographs and runs are.
    short_steps: of the run.
    say: tells the user a line.
  """
  minutes = cell.method.minutes
  assert minutes is not None
  name = cell.method.name.rpartition("_")[0]
  method = dataclasses.replace(cell.method, name=name)
  short = dataclasses.replace(cell, method=method, seed=0)
  folder = pathlib.Path(short.folder(places)).with_name("calibration")
  file = folder.with_name("calibration.json")
  here = {
    "hardware": hardware.hardware(),
    "recipe": recipe.digest(recipe.deciding(cell.config(), timed=True), timed=True),
  }
  known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
  if not here.items() <= known.items():
    known = {**here, "step_seconds": (yield from _step_seconds(short, folder, places, short_steps))}
    write_aside(file, json.dumps(known).encode())
    say(f"{cell.dataset}/{name}: {1000 * known['step_seconds']:.1f} ms a step")
  return max(1, round(60 * minutes / known["step_seconds"]))


def _step_seconds(
  cell: Cell, folder: pathlib.Path, places: Places, count: int
) -> Generator[Command, int, float]:
  """Seconds of a step of a cell's method, by a run in a folder that is removed afterwards.

  Where its steps took too little time to tell, by a second one of more steps.
  """
  arguments = [a for a in cell.pretrain(places) if not a.startswith("--workdir=")]
  log = folder.with_name("calibration.log.txt")
  seconds = 0.0
  least = min(_SECONDS, 30 * (cell.method.minutes or 0.0))
  for _ in range(2):
    shutil.rmtree(folder, ignore_errors=True)
    more = (f"--steps={count}", "--log_seconds=2", f"--workdir={folder}")
    clock = clocks.Clock(folder.with_name("calibration.times.json"), log)
    yield from clocks.run("calibration", Command((*arguments, *more), log), clock)
    found = training_time.read(folder)
    seconds = found.step_seconds
    if not seconds:
      raise WorkError(f"The {count} steps in {folder} were not timed.")
    if found.seconds >= least / 2:
      break
    count = round(least / seconds)
  shutil.rmtree(folder)
  return seconds
