"""How long cells will take: from earlier ones on this machine, or a guess."""

from __future__ import annotations

import functools
import os
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sbae_tf.config import Component
from tools.reproduction import hardware
from tools.reproduction.cells import HELD_OUT, Cell, Places, complete, protocol_name
from tools.reproduction.records import Record

_START_SECONDS = 20.0  # Of a process: TensorFlow, compilation, export.
_HELD_OUT = 0.1

# Seconds on two cores for ten thousand photographs and SimpleNet, until it was measured.
_PROTOCOL_SECONDS = {"linear_probe": 300.0, "finetune": 30.0, "few_shot": 40.0}
_FEW_SHOT_STEP_SECONDS = 0.25  # And of a step of its fine-tuning, with the test photographs' part.
_FINE_TUNING_RATE = 300.0  # And photographs a second that are fine-tuned.
# Of what does not depend on the photographs that were pretrained on.
_SECONDS = {"segmentation": 900.0, HELD_OUT: 0.0}
_PHOTOGRAPHS = 10_000
_SIMPLENET_RATE = 220.0
_SLOW = 100.0  # Photographs a second; what trains slower has a larger network.


def seconds(
  cell: Cell, protocols: Sequence[str], records: Sequence[Record], places: Places
) -> float:
  """About how long a cell will take alone on this machine.

  Args:
    cell: to pretrain, if its encoder is not there, and measure.
    protocols: that are missing.
    records: of what was measured, on this machine or others.
    places: where photographs and runs are.
  """
  here = [r for r in records if r.hardware == hardware.hardware() and r.dataset == cell.dataset]
  total = 0.0
  if not pathlib.Path(cell.folder(places), "encoder").exists():
    known = _mean(here, cell.method.name, lambda record: record.pretraining_seconds)
    total += _guessed_pretraining(cell, places) if known is None else known
  for protocol in protocols:
    same = [record for record in here if record.protocol == complete(protocol)]
    known = _mean(same, cell.method.name, lambda record: record.evaluation_seconds)
    total += _guessed_evaluation(cell, protocol, places) if known is None else known
  return total


def _mean(records: Sequence[Record], method: str, value: Callable[[Record], float]) -> float | None:
  found = [value(record) for record in records if record.method == method]
  return statistics.fmean(found) if found else None


def _guessed_pretraining(cell: Cell, places: Places) -> float:
  if cell.method.minutes is not None:
    return _START_SECONDS + 60 * cell.method.minutes
  if not cell.method.rate:
    return _START_SECONDS
  config = cell.config()
  images = config.steps * config.batch_size or config.epochs * (1 - _HELD_OUT) * _count(
    places.train[cell.dataset]
  )
  return _START_SECONDS + images / cell.method.rate


def _guessed_evaluation(cell: Cell, protocol: str, places: Places) -> float:
  if protocol_name(protocol) in _SECONDS:
    return _SECONDS[protocol_name(protocol)]
  photographs = _count(places.train[cell.dataset]) + _count(places.test[cell.dataset])
  slower = _SIMPLENET_RATE / cell.method.rate if 0 < cell.method.rate < _SLOW else 1.0
  guess = _PROTOCOL_SECONDS.get(protocol_name(protocol), 300.0) * photographs / _PHOTOGRAPHS
  if protocol_name(protocol) == "few_shot":
    guess += _FEW_SHOT_STEP_SECONDS * _few_shot_steps(_options(protocol))
  if protocol_name(protocol) == "finetune":
    guess += _fine_tuned(_options(protocol), places.train[cell.dataset]) / _FINE_TUNING_RATE
  return _START_SECONDS + guess * slower


def _options(protocol: str) -> Mapping[str, Any]:
  return Component.parse(complete(protocol)).options


def _few_shot_steps(options: Mapping[str, Any]) -> int:
  """Of fine-tuning, in all its draws."""
  if not options["finetune"]:
    return 0
  return len(str(options["labels"]).split(",")) * options["draws"] * options["steps"]


def _fine_tuned(options: Mapping[str, Any], photographs: str) -> float:
  """Photographs in all epochs, if none of them is spared by patience."""
  drawn = _count(photographs)
  if options["labels"] and os.path.isdir(photographs):
    drawn = min(drawn, options["labels"] * len(os.listdir(photographs)))
  return options["epochs"] * (1 - options["validation"]) * drawn


@functools.cache
def _count(photographs: str) -> int:
  """The files below a folder, or the lines of a list."""
  if os.path.isfile(photographs):
    return len(pathlib.Path(photographs).read_text(encoding="utf-8").splitlines())
  return sum(len(files) for _, _, files in os.walk(photographs))
