"""What ends a command, in one line and with which status; and whose fault an error is."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import textwrap
import types
from typing import Any

import pytest

from sbae_tf import command_line
from sbae_tf.command_line import Parser, UsageError
from sbae_tf.failures import WriteError

_RAISE = "def fault(*_): raise ValueError('Cannot read\\n  a.png.')\n"


def _module(name: str, source: str = _RAISE, **names: Any) -> types.ModuleType:
  module = types.ModuleType(name)
  vars(module).update(names)
  exec(compile(source, f"{name}.py", "exec"), vars(module))
  return module


def _raises(error: BaseException) -> Any:
  def raises(*_: Any) -> None:
    raise error

  return raises


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("sbae_tf.somewhere", True),
    ("sbae_tf.data.files", True),
    ("tensorflow.python", False),
    ("sbae_tf_extras.files", False),
    ("my_package.sbae_tf.files", False),
    ("json.decoder", False),
  ],
)
def test_a_mistake_is_what_the_package_found(name: str, expected: bool, capsys) -> None:
  fault = _module(name).fault
  if expected:
    assert command_line.run("try", fault) == 2
    assert capsys.readouterr() == ("", "try: Cannot read a.png.\n")
  else:
    with pytest.raises(ValueError, match="Cannot read"):
      command_line.run("try", fault)
    assert capsys.readouterr() == ("", "")


def test_the_innermost_frame_tells() -> None:
  calls = "def call(*_): fault()\n"
  through = _module("sbae_tf.model", calls, fault=_module("tensorflow.python").fault)
  with pytest.raises(ValueError, match="Cannot read"):
    command_line.run("try", through.call)
  back = _module("tensorflow.python", calls, fault=_module("sbae_tf.model").fault)
  assert command_line.run("try", back.call) == 2


def test_an_error_that_was_explained_is_a_mistake() -> None:
  explains = """
    def call(*_):
      try:
        fault()
      except ValueError as error:
        raise ValueError("explained") from error
  """
  module = _module("sbae_tf.x", textwrap.dedent(explains), fault=_module("numpy.x").fault)
  assert command_line.run("try", module.call) == 2


def test_other_ends(capsys) -> None:
  assert command_line.run("try", lambda _: None) == 0
  assert command_line.run("try", _raises(UsageError("no such\n flag"))) == 2
  assert command_line.run("try", _raises(WriteError("Cannot write x:\n full."))) == 1
  assert capsys.readouterr() == ("", "try: no such flag\ntry: Cannot write x: full.\n")
  with pytest.raises(RuntimeError, match="^deep$"):
    command_line.run("try", _raises(RuntimeError("deep")))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it(number: int, status: int, capsys) -> None:
  def command(_: object) -> None:
    os.kill(os.getpid(), number)

  assert command_line.run("try", command) == status
  name = signal.Signals(number).name
  assert capsys.readouterr().err == f"try: Interrupted by {name}. The same command goes on.\n"


def test_a_signal_waits_until_the_import_is_over(monkeypatch, tmp_path, capsys) -> None:
  (tmp_path / "slow_to_import.py").write_text("whole = True\n")
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setattr(
    command_line.runtime, "start_tensorflow", lambda: os.kill(os.getpid(), signal.SIGINT)
  )
  start = command_line.start_tensorflow
  assert command_line.run("try", lambda interrupts: start(interrupts, "slow_to_import")) == 130
  assert sys.modules.pop("slow_to_import").whole
  assert "Interrupted by SIGINT" in capsys.readouterr().err


def _flags(*arguments: str) -> argparse.Namespace:
  parser = Parser(prog="try")
  parser.add_argument("--size", type=int)
  command_line.add_photograph_flags(parser)
  flags = parser.parse_args(arguments)
  command_line.check(flags, "size")
  return flags


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--size=0", "Expected --size of 1 or more. Received: 0"),
    ("--size=x", "Argument --size: invalid int value: 'x'. See --help"),
    ("--max_pixels=-1", "Expected --max_pixels of 1 or more. Received: -1"),
    ("--max_skipped=2", "Expected --max_skipped from 0 to 1. Received: 2.0"),
    ("--max_skipped=nan", "Expected --max_skipped from 0 to 1. Received: nan"),
    ("--max_skip=0", "Unrecognized arguments: --max_skip=0. See --help"),
  ],
)
def test_flags_out_of_range(argument: str, message: str) -> None:
  with pytest.raises(UsageError) as error:
    _flags(argument)
  assert str(error.value) == message


def test_flags() -> None:
  flags = _flags("--max_skipped=1")
  assert (flags.size, flags.max_pixels, flags.max_skipped) == (None, 100_000_000, 1.0)
