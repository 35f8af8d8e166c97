"""What was measured: a line for each cell and protocol, in a file that may grow over days.

cells.jsonl    a JSON object a line, what everything else is made from
cells.csv      the same numbers, one a row
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import fcntl
import functools
import io
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sbae_tf.run_folder import write_aside
from tools.reproduction import recipe

Json = Any


@dataclasses.dataclass(frozen=True)
class Record:
  """What a protocol measured of a cell.

  Attributes:
    dataset: the cell's.
    method: the cell's method, by its name.
    title: what tables call it.
    seed: the cell's.
    minutes: that the method trains for; None where its flags say how long.
    config: what decided the weights, see `recipe.deciding`.
    protocol: its name and all of its options, defaults too, for these may change:
      `linear_probe(layers="", dimensions=9000)`.
    values: its numbers, as `report.json` has them.
    steps: that were trained.
    training_seconds: of these steps, without compilation, held-out losses and checkpoints.
    pretraining_seconds: of the whole pretraining process, or of all of them where it was resumed.
    evaluation_seconds: of the protocol's process.
    commands: that pretrained and measured, on any machine; the second is empty where pretraining
      has measured it.
    hardware: processors and accelerators.
    machine: the same with memory, system and Python.
    revision: of this package, by git.
    versions: of what it stands on.
    date: ISO, of the day.
  """

  dataset: str
  method: str
  title: str
  seed: int
  minutes: float | None
  config: Mapping[str, Json]
  protocol: str
  values: Mapping[str, Json]
  steps: int
  training_seconds: float
  pretraining_seconds: float
  evaluation_seconds: float
  commands: Sequence[str]
  hardware: str
  machine: str
  revision: str
  versions: Mapping[str, str]
  date: str

  @property
  def protocol_name(self) -> str:
    """Of the protocol, without options."""
    return self.protocol.partition("(")[0]

  @functools.cached_property
  def recipe(self) -> str:
    """The same for what was trained in the same way, but for the seed."""
    return recipe.digest(self.config, timed=self.minutes is not None)

  @property
  def identity(self) -> tuple[object, ...]:
    """What a later record with the same one takes the place of.

    What was trained for some minutes is another thing on another machine.
    """
    hardware = None if self.minutes is None else self.hardware
    return self.dataset, self.method, self.seed, self.recipe, self.protocol, hardware


class Records:
  """The file of the records; several processes may add to it."""

  def __init__(self, folder: pathlib.Path) -> None:
    """Reads nothing yet.

    Args:
      folder: where the file is, or will be.
    """
    self.file = folder / "cells.jsonl"

  def read(self) -> list[Record]:
    """All records, from the oldest to the newest; none where there is no file.

    Raises:
      ValueError: a line cannot be read; names it.
    """
    try:
      lines = self.file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
      return []
    except OSError as error:
      raise ValueError(f"Cannot read {self.file}: {error.strerror}.") from error
    found = []
    for number, line in enumerate(lines, start=1):
      try:
        found.append(Record(**json.loads(line)))
      except (TypeError, ValueError) as error:
        raise ValueError(f"Cannot read line {number} of {self.file}: {error}.") from error
    return found

  def add(self, record: Record) -> None:
    """Writes a record at the end, in place of one of the same identity.

    Raises:
      ValueError: what is there already cannot be read.
      OSError: it cannot be written.
    """
    with self._locked():
      others = [each for each in self.read() if each.identity != record.identity]
      lines = [json.dumps(dataclasses.asdict(each)) + "\n" for each in (*others, record)]
      write_aside(self.file, "".join(lines).encode())

  @contextlib.contextmanager
  def _locked(self) -> Iterator[None]:
    """Keeps other processes from adding for the length of a block."""
    self.file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(self.file.parent, os.O_RDONLY)
    try:
      with contextlib.suppress(OSError):  # Some network file systems have no locks.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
      yield
    finally:
      os.close(descriptor)


_FIRST = ("dataset", "method", "seed", "minutes", "protocol")
_LAST = (
  *("steps", "training_seconds", "pretraining_seconds", "evaluation_seconds", "recipe"),
  *("pretrain_command", "evaluate_command", "machine", "revision", "versions", "date"),
)


def to_csv(records: Sequence[Record]) -> str:
  """A row for each record.

  Args:
    records: in the order of the rows.

  Returns:
    CSV with a head. What was measured has a column of its own, numbers within others have dotted
    names: `layers.conv3.top1`. Lists are left out: the single draws of few labels.
  """
  found = [dict(_numbers(record.values)) for record in records]
  names = sorted({name for values in found for name in values})
  out = io.StringIO()
  writer = csv.writer(out, lineterminator="\n")
  writer.writerow([*_FIRST, *names, *_LAST])
  for record, values in zip(records, found):
    writer.writerow(
      [
        *(record.dataset, record.method, record.seed),
        "" if record.minutes is None else f"{record.minutes:g}",
        record.protocol,
        *(values.get(name, "") for name in names),
        *(record.steps, f"{record.training_seconds:.1f}", f"{record.pretraining_seconds:.1f}"),
        *(f"{record.evaluation_seconds:.1f}", record.recipe, *record.commands),
        *(record.machine, record.revision),
        "; ".join(f"{name} {version}" for name, version in record.versions.items()),
        record.date,
      ]
    )
  return out.getvalue()


def _numbers(values: Json, name: str = "") -> Iterator[tuple[str, Json]]:
  if isinstance(values, Mapping):
    for key, value in values.items():
      yield from _numbers(value, f"{name}.{key}" if name else str(key))
  elif not isinstance(values, (list, tuple)) and values is not None:
    yield name, values
