"""What the command lines share: flags, exit statuses, a line for every mistake.

Imports no TensorFlow, which takes seconds to start: flags are checked before it does.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from sbae_tf import runtime
from sbae_tf.config import DataConfig
from sbae_tf.failures import RunError
from sbae_tf.interrupts import Interrupted, Interrupts

CANNOT_GO_ON = 1
USAGE_ERROR = 2


class UsageError(ValueError):
  """A user's mistake; the message is a line for the user."""


class Parser(argparse.ArgumentParser):
  """Keeps the lines of its texts, takes no abbreviations, and raises where others would exit.

  Raises:
    UsageError: by `parse_args`, a flag is wrong.
  """

  def __init__(self, **options: Any) -> None:
    super().__init__(
      formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
    )

  def error(self, message: str) -> NoReturn:
    raise UsageError(f"{message[:1].upper()}{message[1:]}. See --help")


def add_photograph_flags(parser: argparse.ArgumentParser) -> None:
  """Adds what every command asks that reads photographs: `--max_pixels` and `--max_skipped`."""
  defaults = DataConfig()
  parser.add_argument(
    "--max_pixels",
    type=int,
    default=defaults.max_pixels,
    help="leave out photographs of more pixels; default: %(default)s",
  )
  parser.add_argument(
    "--max_skipped",
    type=float,
    default=defaults.max_skipped,
    help="end where more than this part of the photographs is left out; default: %(default)s",
  )


def check(flags: argparse.Namespace, *positive: str) -> None:
  """Checks numbers.

  Args:
    flags: those of `add_photograph_flags` among them.
    *positive: names of flags that must be 1 or more, where they were given.

  Raises:
    UsageError: a number is out of its range.
  """
  for name in (*positive, "max_pixels"):
    value = getattr(flags, name)
    if value is not None and value < 1:
      raise UsageError(f"Expected --{name} of 1 or more. Received: {value}")
  if not 0.0 <= flags.max_skipped <= 1.0:
    raise UsageError(f"Expected --max_skipped from 0 to 1. Received: {flags.max_skipped}")


def run(
  name: str,
  command: Callable[[Interrupts], None],
  *,
  interrupted: str = "The same command goes on.",
) -> int:
  """Runs a command, and says in one line why it ended early.

  Args:
    name: of the command, before that line.
    command: what it does. Signals raise `Interrupted` in it, unless it holds them back.
    interrupted: what to do after a signal.

  Returns:
    The exit status: 0; 1 where it cannot go on; 2 after a user's mistake; 128 and the signal's
    number after SIGINT or SIGTERM.

  Raises:
    Exception: a fault, with its traceback; so is a `ValueError` that no module of the package
      raised.
  """
  try:
    with Interrupts() as interrupts:
      command(interrupts)
  except UsageError as error:
    return _end(name, str(error), USAGE_ERROR)
  except ValueError as error:
    if not _raised_by_package(error):
      raise
    return _end(name, str(error), USAGE_ERROR)
  except RunError as error:
    return _end(name, str(error), CANNOT_GO_ON)
  except Interrupted as signal:
    return _end(name, f"Interrupted by {signal}. {interrupted}", signal.status)
  return 0


def start_tensorflow(interrupts: Interrupts, module: str) -> None:
  """Starts TensorFlow without noise, and imports a module that needs it.

  Args:
    interrupts: are held back meanwhile: an import that is cut short may fail in other ways than it
      was asked to.
    module: its full name.

  Raises:
    Interrupted: a signal came.
  """
  interrupts.hold()
  runtime.silence_tensorflow_logs()
  runtime.start_tensorflow()
  importlib.import_module(module)
  interrupts.release()


def leave(status: int) -> NoReturn:
  """Ends the process; after an error at once.

  TensorFlow's own end may take seconds, or wait for workers that are gone.
  """
  if status:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
  sys.exit(status)


def _end(name: str, message: str, status: int) -> int:
  print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
  return status


def _raised_by_package(error: ValueError) -> bool:
  """Whether the error is a mistake that the package found; one of TensorFlow's is a fault in it."""
  *_, (frame, _) = traceback.walk_tb(error.__traceback__)
  return str(frame.f_globals.get("__name__", "")).startswith("sbae_tf.")
