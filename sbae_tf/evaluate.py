"""Measures what an encoder has learnt, by protocols.

  python -m sbae_tf.evaluate --encoder=runs/mine/encoder --data=TRAIN --test=TEST --out=REPORT

TRAIN and TEST have a folder for each class, or for segmentation masks; without --test a fifth of
every class of TRAIN is held out. REPORT then holds report.html, report.json and pictures.
Photographs that cannot be read are left out and named in skipped.tsv.

SIGTERM or SIGINT (Ctrl-C) ends the run. However it ended, the same command goes on with the first
protocol that is not there; so does one that names other protocols.
Exit status: 0 all is there; 1 it cannot go on: a full disk, a feature that is not finite, or a
fault; 2 a mistake in flags, photographs, encoder or folder, told in one line; 130, 143 SIGINT,
SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sbae_tf import command_line, protocol_flags
from sbae_tf.command_line import UsageError
from sbae_tf.config import Component
from sbae_tf.interrupts import Interrupts
from sbae_tf.progress_line import say

if TYPE_CHECKING:
  from sbae_tf.data.beside import Beside
  from sbae_tf.evaluation.labelled import Labelled
  from sbae_tf.evaluation.subject import Subject

_DEFAULT = "linear_probe,knn"
_HELD_OUT = 0.2  # Of every class, without --test.


def main(arguments: Sequence[str]) -> int:
  """Runs the command line.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status: 0; 1 where the run cannot go on and 2 after a user's mistake, both said in one
    line; 128 and the signal's number after SIGINT or SIGTERM.
  """

  def command(interrupts: Interrupts) -> None:
    flags, protocols = _parse(arguments)
    command_line.start_tensorflow(interrupts, "sbae_tf.evaluation.runner")
    _evaluate(flags, protocols, command=f"python -m sbae_tf.evaluate {shlex.join(arguments)}")

  return command_line.run("evaluate", command)


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[Component]]:
  protocols = protocol_flags.chosen(arguments, default=_DEFAULT)
  parser = command_line.Parser(
    prog="python -m sbae_tf.evaluate",
    description=__doc__,
    epilog=protocol_flags.help_text(),
    usage="%(prog)s --encoder=SAVED_MODEL --data=SPEC --out=FOLDER [flags]",
  )
  _add_flags(parser)
  protocol_flags.add_options(parser, protocols)
  flags = parser.parse_args(arguments)
  command_line.check(flags, "image_size", "batch_size")
  if flags.checkpoint is not None and flags.workdir is None:
    raise UsageError("--checkpoint is one of --workdir: a SavedModel has none")
  return flags, protocol_flags.components(flags, protocols)


def _add_flags(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  subject = parser.add_mutually_exclusive_group(required=True)
  subject.add_argument(
    "--encoder",
    metavar="SAVED_MODEL",
    help="its folder; of this package, or any other that takes uint8 photographs (B, H, W, 3) and "
    "returns features by name",
  )
  subject.add_argument(
    "--workdir", metavar="RUN", help="or the folder of a run; its encoder need not be exported"
  )
  add("--checkpoint", choices=("best", "newest"), help="of --workdir; default: best")
  add(
    "--data",
    required=True,
    metavar="SPEC",
    help="photographs with classes to train classifiers on, as sbae_tf.pretrain takes them: a "
    "folder of folders, list.txt, zip or tar, TFRecords, or tfds:NAME[:SPLIT]; several with ';' "
    "between them. For segmentation any photographs that lie as files, for each has a mask",
  )
  add(
    "--test",
    metavar="SPEC",
    help="photographs of the same classes to test them on; default: a fifth of every class of "
    "--data, the same one for every --seed",
  )
  add(
    "--beside",
    metavar="PATTERN",
    help="where the bands lie that the encoder takes beside photographs; default: as in training",
  )
  add("--out", required=True, metavar="FOLDER", help="a new folder, or one to go on with")
  add(
    "--protocol",
    default=_DEFAULT,
    metavar="NAMES",
    help="those below, with ',' between several; default: %(default)s",
  )
  add(
    "--signature",
    default="serving_default",
    help="of the SavedModel, such as L for one tower; default: %(default)s",
  )
  add(
    "--image_size",
    type=int,
    metavar="PIXELS",
    help="side of the photographs, their central squares; default: as the encoder says",
  )
  add("--seed", type=int, default=0, help="of splits, draws and weights; default: %(default)s")
  add(
    "--cache",
    metavar="FOLDER",
    help="of the features, which several runs may share; default: features in --out. It may be "
    "removed at any time",
  )
  add("--batch_size", type=int, default=256, help="of frozen features; default: %(default)s")
  command_line.add_photograph_flags(parser)


def _evaluate(flags: argparse.Namespace, protocols: Sequence[Component], *, command: str) -> None:
  """Runs what is not there yet, and tells what is."""
  from sbae_tf.evaluation import runner

  subject, beside = _subject(flags)
  train, test = _photographs(flags, beside, classes=runner.needs_classes(protocols))
  report = runner.evaluate(
    subject,
    train,
    test,
    protocols=protocols,
    folder=os.path.expanduser(flags.out),
    seed=flags.seed,
    cache=flags.cache,
    batch_size=flags.batch_size,
    max_pixels=flags.max_pixels,
    max_skipped=flags.max_skipped,
    command=command,
    say=say,
  )
  out = os.path.expanduser(flags.out)
  if report["skipped"]:
    print(f"Left out: {report['skipped']:,} photographs; listed in {out}/skipped.tsv")
  width = max(map(len, report["protocols"]))
  for name, found in report["protocols"].items():
    print(f"{name:<{width}}  {found['summary']}")
  print(f"Report: {out}/report.html")


def _subject(flags: argparse.Namespace) -> tuple[Subject, Beside | None]:
  """The encoder, and what it takes beside photographs."""
  from sbae_tf import pairing, trained
  from sbae_tf.evaluation import subject

  if flags.workdir is None:
    path = os.path.expanduser(flags.encoder)
    path = path if "://" in path else os.path.abspath(path)
    beside = pairing.beside_of_saved_model(path, pattern=flags.beside)
    planes = 3 if beside is None else 3 + beside.planes
    saved_model = subject.of_saved_model(
      path,
      name=flags.encoder,
      signature=flags.signature,
      image_size=flags.image_size,
      planes=planes,
    )
    return saved_model, beside
  if flags.signature != "serving_default":
    raise UsageError("--signature is one of --encoder: a run has none before it is exported")
  checkpoint = flags.checkpoint or "best"
  model, provenance = trained.load_model(os.path.expanduser(flags.workdir), checkpoint=checkpoint)
  name = f"{flags.workdir}, {checkpoint} checkpoint of step {provenance.steps:,}"
  live = subject.of_encoder(model.encoder, name=name, image_size=flags.image_size)
  return live, pairing.beside(model.config, pattern=flags.beside)


def _photographs(
  flags: argparse.Namespace, beside: Beside | None, *, classes: bool
) -> tuple[Labelled, Labelled]:
  """Those to train on and to test on."""
  from sbae_tf.evaluation.labelled import open_labelled, split

  data = open_labelled(flags.data, classes=classes, beside=beside)
  if flags.test is not None:
    test = open_labelled(flags.test, classes=classes, beside=beside)
    say(f"Training on {data.source.description}; testing on {test.source.description}")
    return data, test
  kept, held = split(data.labels, _HELD_OUT, seed=0)
  if not len(held):
    raise UsageError(f"Expected --test: every class has one photograph: {data.source.description}")
  part = "a fifth of every class" if classes else "a fifth"
  say(f"{data.source.description}: {len(held):,} of them, {part}, held out to test")
  return data.subset(kept), data.subset(held)


if __name__ == "__main__":
  command_line.leave(main(sys.argv[1:]))
