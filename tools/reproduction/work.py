"""What is to be done for a cell: pretrain, measure by each protocol, write down."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import shutil
from collections.abc import Callable, Generator, Mapping
from typing import Any

from sbae_tf import flags
from sbae_tf.run_folder import RunFolder
from tools.benchmarks import machine
from tools.reproduction import calibration, clocks, hardware, held_out, recipe, training_time
from tools.reproduction.cells import HELD_OUT, SHOWN, Cell, Places, complete, protocol_name, shown
from tools.reproduction.processes import Command, Work, WorkError
from tools.reproduction.records import Record, Records

_PRETRAINING = "pretraining"


@dataclasses.dataclass(frozen=True)
class Bench:
  """What works on cells have in common.

  Attributes:
    places: where photographs and runs are.
    records: where the numbers go.
    calibration_steps: of the runs that tell how fast a method trains on this machine.
    again: whether to measure anew what was measured.
    say: tells the user a line.
  """

  places: Places
  records: Records
  calibration_steps: int
  again: bool
  say: Callable[[str], None]


def missing(cell: Cell, records: list[Record]) -> tuple[str, ...]:
  """The protocols of a cell that no record is of.

  Args:
    cell: to be measured.
    records: of measurements.
  """
  timed = cell.method.minutes is not None
  wanted = recipe.digest(recipe.deciding(cell.config(), timed=timed), timed=timed)
  here = hardware.hardware() if timed else None
  there = {record.identity for record in records}
  return tuple(
    protocol
    for protocol in cell.protocols
    if (cell.dataset, cell.method.name, cell.seed, wanted, complete(protocol), here) not in there
  )


def work(cell: Cell, protocols: tuple[str, ...], bench: Bench) -> Work:
  """Pretrains a cell, if that is not done, and measures it.

  Args:
    cell: to work on.
    protocols: those that are missing.
    bench: what works have in common.

  Raises:
    WorkError: a process failed; shows the end of its log. After a protocol that failed, the others
      were tried.
  """
  folder = pathlib.Path(cell.folder(bench.places))
  log = folder.with_name(f"{folder.name}.log.txt")
  clock = clocks.Clock(folder.with_name(f"{folder.name}.times.json"), log)
  steps = None
  if cell.method.minutes:
    steps = yield from calibration.steps(cell, bench.places, bench.calibration_steps, bench.say)
  command = Command(cell.pretrain(bench.places, steps=steps), log)
  config = flags.parse(command.arguments[2:])[0]
  RunFolder(folder).check(config)  # What lies there may be of a preset that was changed since.
  if not (folder / "encoder").exists():
    yield from clocks.run(_PRETRAINING, command, clock)
    RunFolder(folder).check(config)  # It may have been changed since this process started.
  trained = training_time.read(folder)
  bench.say(f"{cell.name}: pretrained in {_minutes(clock.seconds(_PRETRAINING))}")
  wrong = []
  for protocol in protocols:
    name = protocol_name(protocol)
    try:
      values = yield from _measured(cell, protocol, log, bench, clock)
    except WorkError as error:
      clock.forget(name)
      wrong.append(str(error))
      continue
    bench.records.add(_record(cell, protocol, values, trained, steps, clock))
    bench.say(f"{cell.name}: {name} {_brief(values)}in {_minutes(clock.seconds(name))}")
  if wrong:
    raise WorkError("\n".join(wrong))
  shutil.rmtree(folder / "features", ignore_errors=True)


def _minutes(seconds: float) -> str:
  return f"{seconds / 60:.1f} min"


def _brief(values: Mapping[str, Any]) -> str:
  return f"{values['top1']:.1%} " if isinstance(values.get("top1"), float) else ""


def _measured(
  cell: Cell, protocol: str, log: pathlib.Path, bench: Bench, clock: clocks.Clock
) -> Generator[Command, int, dict[str, Any]]:
  """The numbers that a protocol's process leaves."""
  name = protocol_name(protocol)
  if name == HELD_OUT:
    return held_out.read(cell.folder(bench.places))
  folder = pathlib.Path(cell.folder(bench.places), "evaluation", name)
  if bench.again:
    shutil.rmtree(folder, ignore_errors=True)
    clock.forget(name)
  yield from clocks.run(name, Command(cell.evaluate(bench.places, protocol), log), clock)
  report = folder / "report.json"
  try:
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["protocols"][name]
    return dict(found["values"])
  except (OSError, KeyError, TypeError, ValueError) as error:
    raise WorkError(f"{name} left no numbers in {report}: {error!r}.") from error


def _record(
  cell: Cell,
  protocol: str,
  values: dict[str, Any],
  trained: training_time.TrainingTime,
  steps: int | None,
  clock: clocks.Clock,
) -> Record:
  commands = (shown(cell.pretrain(SHOWN, steps=steps)), shown(cell.evaluate(SHOWN, protocol)))
  return Record(
    dataset=cell.dataset,
    method=cell.method.name,
    title=cell.method.title,
    seed=cell.seed,
    minutes=cell.method.minutes,
    config=recipe.deciding(cell.config(), timed=cell.method.minutes is not None),
    protocol=complete(protocol),
    values=values,
    steps=trained.steps,
    training_seconds=round(trained.seconds, 2),
    pretraining_seconds=round(clock.seconds(_PRETRAINING), 2),
    evaluation_seconds=round(clock.seconds(protocol_name(protocol)), 2),
    commands=commands,
    hardware=hardware.hardware(),
    machine=hardware.description(),
    revision=machine.revision(),
    versions=hardware.versions(),
    date=datetime.date.today().isoformat(),
  )
