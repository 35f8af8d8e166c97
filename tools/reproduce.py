"""Runs the tables that compare ways to pretrain, and makes pages and plots of them.

  python -m tools.reproduce --data=DATA --runs=RUNS

DATA holds imagenette96/{train,test} and caltech101_96/{train,test}, a folder for each class;
camvid/{train,test} with masks in {train,test}annot; rgbd/rgb with depth in rgbd/depth_mm. Each
cell, a method, a data set and a seed, is a run's folder RUNS/DATASET/METHOD/seedN, made by
sbae_tf.pretrain and measured by sbae_tf.evaluate; their output is in seedN.log.txt beside it.

  Table 1    SimpleNet and ResNet18 on RGB, Lab and re-scaled Lab, AlexNet for a few steps, and
             baselines: linear probe and fine-tuning, on both data sets
  Table 2    accuracy against labels a class
  Table 3    linear probe on conv1 to conv5
  Table 4    equal wall-clock: the default preset, SimCLR and a denoising autoencoder. These cells
             run one at a time, after all others
  Table 5    a class for every pixel: mean intersection over union on CamVid, from the default
             preset's weights and from random ones
  Table 6    photographs with depth: held-out losses

Each number is written to OUT/cells.jsonl at once. What is there is not measured again, unless its
preset, its flags or a protocol's options have changed since, defaults too: so the tables can be
filled on several days and machines. From that file the pages, the plots and OUT/cells.csv are made,
at the end or by --report_only alone.

SIGTERM or SIGINT (Ctrl-C) stops the processes, which make checkpoints; the same command goes on.
Exit status: 0 all is there; 1 some cells failed, each told with the end of its log; 2 a mistake in
the flags, told in one line; 130, 143 SIGINT, SIGTERM.
"""

from __future__ import annotations

import argparse
import pathlib
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from sbae_tf.command_line import USAGE_ERROR, Parser, UsageError
from sbae_tf.interrupts import Interrupts
from tools.benchmarks.contestant import ROOT
from tools.reproduction import cells, filling, pages, smoke
from tools.reproduction.cells import Cell, Places
from tools.reproduction.methods import Change, Lineup, lineup, parse_denoising
from tools.reproduction.records import Records

_OUT = "tools/results/reproduction"


def _numbers(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
  def parse(text: str) -> tuple[Any, ...]:
    values = tuple(kind(part) for part in text.split(","))
    if len(set(values)) < len(values) or any(value < 0 for value in values):
      raise ValueError
    return values

  parse.__name__ = "list of different numbers"
  return parse


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
  parser = Parser(
    prog="python -m tools.reproduce",
    description=__doc__,
    usage="%(prog)s --data=DATA --runs=RUNS [flags]",
  )
  add = parser.add_argument
  add("--data", type=pathlib.Path, help="the folder above the data sets")
  add("--runs", type=pathlib.Path, help="the folder of the runs; new, or to go on with")
  add("--out", type=pathlib.Path, help=f"of the results; default: {_OUT}, of --smoke RUNS/results")
  add("--tables", type=_numbers(int), default=cells.TABLES, help="default: all")
  add("--seeds", type=_numbers(int), default=(0, 1, 2), help="default: 0,1,2")
  add(
    "--epochs",
    type=int,
    default=24,
    help="of pretraining; 0: as the presets say, of which the default has more than what it is "
    "compared with; default: %(default)s",
  )
  add(
    "--minutes",
    type=_numbers(float),
    default=(0.0, 1.0, 3.0, 10.0),
    help="of table 4, each a run of its own, 0 of nothing trained; default: 0,1,3,10",
  )
  add(
    "--denoising",
    metavar="NOISE:AMOUNT,...",
    default="masking:0.1",
    help="denoising autoencoders of table 1, the first one of tables 2 and 4, too, such as "
    "masking:0.1,gaussian:0.1,salt_and_pepper:0.1; 'all': each noise at 5, 10, 20 and 50%%; "
    "default: %(default)s",
  )
  add(
    "--change",
    metavar="'METHODS: --FLAG=VALUE ...'",
    action="append",
    default=[],
    help="flags of sbae_tf.pretrain for the methods that a pattern fits, such as "
    "'resnet18_*: --epochs=6'; may be given several times",
  )
  add(
    "--protocol",
    metavar="'NAME(OPTION=VALUE, ...)'",
    action="append",
    default=[],
    help="other options of a protocol that measures, beside those that the tables give it: "
    "'linear_probe(dimensions=2304)' or 'few_shot(draws=2)' is sooner done; may be given several "
    "times",
  )
  add(
    "--calibration_steps",
    type=int,
    default=200,
    help="of the runs that tell how many steps fit into a minute; default: %(default)s",
  )
  add(
    "--only",
    metavar="PATTERNS",
    help="cells of these data sets, methods, or both, with ',' between them, such as "
    "'imagenette96/simplenet_*'",
  )
  add(
    "--without",
    metavar="PROTOCOLS",
    help="protocols to leave for another time, such as 'finetune,few_shot', which take longest",
  )
  add(
    "--jobs",
    type=int,
    default=1,
    help="cells at once, but for table 4, each on its share of the processors; default: "
    "%(default)s",
  )
  add("--again", action="store_true", help="measure what was measured, too")
  add("--dry_run", action="store_true", help="list cells, commands and about how long they take")
  add("--report_only", action="store_true", help="pages and plots of what was measured")
  add("--smoke", action="store_true", help="a few steps, photographs and cells: to try it all")
  flags = parser.parse_args(arguments)
  if flags.epochs < 0:
    raise UsageError(f"Expected --epochs of 0 or more. Received: {flags.epochs}")
  for name in ("jobs", "calibration_steps"):
    if getattr(flags, name) < 1:
      raise UsageError(f"Expected --{name} of 1 or more. Received: {getattr(flags, name)}")
  if not set(flags.tables) <= set(cells.TABLES):
    raise UsageError(f"Expected --tables of 1 to 6. Received: {flags.tables}")
  if not flags.report_only and (flags.data is None or flags.runs is None):
    raise UsageError("Expected --data=FOLDER and --runs=FOLDER, or --report_only. See --help")
  return flags


def _cells(flags: argparse.Namespace, methods: Lineup) -> list[Cell]:
  protocols, timed = cells.PROTOCOLS, cells.TIMED_PROTOCOLS
  if flags.smoke:
    protocols = timed = smoke.PROTOCOLS
  found = cells.of_tables(
    flags.tables,
    methods,
    seeds=flags.seeds,
    minutes=flags.minutes,
    protocols=cells.with_options(protocols, flags.protocol),
    timed_protocols=cells.with_options(timed, flags.protocol),
  )
  found = cells.matching(found, flags.only.split(",") if flags.only else [])
  found = cells.without(found, flags.without.split(",") if flags.without else [])
  for cell in found:
    cell.config()  # Raises what is wrong with the flags.
  return found


def _places(flags: argparse.Namespace, found: Sequence[Cell]) -> Places:
  data, runs = (path.expanduser().resolve() for path in (flags.data, flags.runs))
  cells.data_folders(data, found)
  places = Places.of(str(data), str(runs))
  return smoke.subset(places) if flags.smoke else places


def _reproduce(flags: argparse.Namespace, command: str) -> int:
  """Fills cells and makes the pages; returns the exit status."""
  if flags.smoke:
    smoke.shrink(flags)
  methods = lineup(
    epochs=flags.epochs,
    denoising=parse_denoising(flags.denoising),
    changes=[*map(Change.parse, flags.change)],
  )
  records = Records((flags.out or ROOT / _OUT).expanduser())
  if not flags.dry_run:
    pages.check(records)
  failed, signal = 0, None
  if not flags.report_only:
    wanted = _cells(flags, methods)
    places = _places(flags, wanted)
    todo = filling.missing(wanted, [] if flags.again else records.read())
    if flags.dry_run:
      print(filling.plan(todo, len(wanted), records, places))
      return 0
    with Interrupts() as interrupts:
      interrupts.hold()  # The processes are stopped first.
      failed = filling.fill(
        todo,
        len(wanted),
        records,
        places,
        jobs=flags.jobs,
        calibration_steps=flags.calibration_steps,
        again=flags.again,
        received=lambda: interrupts.received,
      )
      signal = interrupts.received
  pages.write(records, methods, minutes=flags.minutes, command=command)
  print(f"Tables and plots: {records.file.parent / 'README.md'}")
  if signal is not None:
    print("reproduce: Interrupted. The same command goes on.", file=sys.stderr)
    return 128 + signal
  return 1 if failed else 0


def _shown(arguments: Sequence[str]) -> str:
  """The command, whatever this machine's folders are called."""
  words = {"--data": "--data=DATA", "--runs": "--runs=RUNS", "--out": ""}
  found = ["python", "-m", "tools.reproduce"]
  rest = iter(arguments)
  for argument in rest:
    name, equals, _ = argument.partition("=")
    if name in words and not equals:
      next(rest, None)  # Its value.
    found.append(words.get(name, argument))
  return shlex.join(word for word in found if word)


def main(arguments: Sequence[str]) -> int:
  """Runs the tool.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status, see the module's text.
  """
  try:
    return _reproduce(_parse(arguments), _shown(arguments))
  except ValueError as error:
    print(f"reproduce: {' '.join(str(error).split())}", file=sys.stderr)
    return USAGE_ERROR


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
