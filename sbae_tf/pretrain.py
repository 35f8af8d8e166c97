"""Command line: `python -m sbae_tf.pretrain --data=FOLDER`."""

from __future__ import annotations

import logging as py_logging
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags as absl_flags
from absl import logging

from sbae_tf import cluster, command_line, flags
from sbae_tf.config import PretrainConfig
from sbae_tf.interrupts import Interrupts
from sbae_tf.run_folder import RunFolder

if TYPE_CHECKING:
  from sbae_tf.training import Result

_RESUMING = """
SIGTERM or SIGINT (Ctrl-C) makes a checkpoint and ends the run; a second one, a second later or
more, ends it at once. However a run ended, the same command resumes it.
Exit status:
  0                       the run is complete
  1                       it cannot go on: a full disk, a loss that is not finite, another worker
                          that ended; or a fault
  2                       a mistake in flags, photographs or folder, told in one line
  130, 143                SIGINT, SIGTERM
"""


def main(arguments: Sequence[str]) -> int:
  """Runs the command line.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status: 0; 1 where the run cannot go on and 2 after a user's mistake, both said in one
    line; 128 and the signal's number after SIGINT or SIGTERM.
  """
  if {"--help", "-h", "--helpfull", "--helpshort"} & set(arguments):
    print(flags.help_text() + _RESUMING, end="")
    return 0

  def command(interrupts: Interrupts) -> None:
    config, workdir = flags.parse(arguments)
    RunFolder(workdir).check(config)  # Before TensorFlow, which takes seconds to start.
    _pretrain(config, workdir, interrupts)

  again = "The same command resumes from the last checkpoint."
  return command_line.run("pretrain", command, interrupted=again)


def _pretrain(config: PretrainConfig, workdir: pathlib.Path, interrupts: Interrupts) -> None:
  absl_flags.FLAGS.mark_as_parsed()  # Absl's own flags stay as they are: ours are not among them.
  logging.use_absl_handler()
  worker = ""
  if config.strategy == "multi_worker_mirrored":
    worker = f"[{cluster.this_worker()}] "
    py_logging.getLogger("tensorflow").setLevel(py_logging.WARNING)  # It tells of every sum.
  logging.get_absl_handler().setFormatter(
    py_logging.Formatter(f"%(asctime)s {worker}%(message)s", "%H:%M:%S")
  )
  logging.set_verbosity(logging.INFO)
  command_line.start_tensorflow(interrupts, "sbae_tf.training")
  from sbae_tf import training

  result = training.train(config, workdir)
  print(_summary(config, result))


def _summary(config: PretrainConfig, result: Result) -> str:
  """What the run made, and what to try next."""
  folder = result.folder
  made = {
    folder.encoder: "the encoder, a SavedModel: uint8 photographs to features",
    folder.panel: "predictions on held-out photographs",
    folder.tensorboard: "losses, filters and panels",
    folder.checkpoints: "where the same command resumes",
    folder.config_file: "the resolved configuration",
    folder.metrics: "what was measured, a JSON object a line",
  }
  python = os.path.relpath(sys.executable)
  python = sys.executable if python.startswith("..") else python
  width = max(len(str(path)) for path in made)
  losses = ", ".join(f"{k} {v:.3f}" for k, v in result.heldout.items() if k != "total")
  lines = [
    "",
    f"Pretrained {config.backbone.name}, {result.parameters:,} parameters, {result.steps} steps: "
    + (f"held-out loss {losses}." if losses else "the run was complete already."),
    "",
    *(f"  {path!s:<{width}}  {text}" for path, text in made.items()),
    "",
    "Try next:",
    f"  {python} -m tensorboard.main --logdir={folder.tensorboard}",
    f"  {python} -m sbae_tf.pretrain --data=FOLDER_OF_PHOTOGRAPHS --workdir=runs/mine",
    f"  {python} -m sbae_tf.pretrain --help",
  ]
  return "\n".join(lines)


if __name__ == "__main__":
  command_line.leave(main(sys.argv[1:]))
