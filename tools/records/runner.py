"""Beam: its options, and the pipeline."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import NoReturn

import apache_beam as beam
import grpc
from apache_beam.internal import cloudpickle_pickler
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

import tools.records
from tools.records.plan import RecordsError
from tools.records.shard import WriteShards

# Those that mean "on this machine". Beam would choose a program for them that it downloads.
_DIRECT = (None, "DirectRunner", "SwitchingDirectRunner", "FnApiRunner")
_PROCESSES = "multi_processing"

# Workers elsewhere have the package, but not this tool: send it to them.
cloudpickle_pickler.cloudpickle.register_pickle_by_value(tools.records)  # type: ignore[attr-defined]


def parse_options(flags: Sequence[str]) -> PipelineOptions:
  """Reads Beam's own flags.

  Args:
    flags: such as `["--runner=DataflowRunner", "--project", "mine"]`.

  Returns:
    The options. On this machine, with a process for every core unless they say otherwise.

  Raises:
    RecordsError: a flag is not one of Beam's, or its value is wrong.
  """

  def check(parser: argparse.ArgumentParser) -> None:
    def fail(message: str) -> NoReturn:
      raise RecordsError(f"{message[:1].upper()}{message[1:]}. See --help")

    parser.error = fail  # type: ignore[method-assign]
    _, unknown = parser.parse_known_args(list(flags))
    if unknown:
      fail(f"neither flags of this tool nor of Apache Beam: {' '.join(unknown)}")

  PipelineOptions(flags).get_all_options(add_extra_args_fn=check)
  options = PipelineOptions(flags)
  if not is_direct(options):
    return options
  defaults = [f"--direct_running_mode={_PROCESSES}", f"--direct_num_workers={_cores()}"]
  return PipelineOptions([*defaults, *flags])


def is_direct(options: PipelineOptions) -> bool:
  """Whether the work is done on this machine."""
  return options.view_as(StandardOptions).runner in _DIRECT


def run(options: PipelineOptions, folder: str, *, shards: int) -> None:
  """Writes all shards that are not there, and waits for it.

  On this machine, ends the process where it is interrupted or a worker is killed: Beam would wait
  forever.

  Args:
    options: which runner, and its options.
    folder: the records' folder, with a plan.
    shards: S, how many there are.

  Raises:
    RecordsError: a worker failed; with its last line.
  """
  runner: PipelineRunner | None = None
  with contextlib.ExitStack() as stack:
    if is_direct(options):
      runner = _direct_runner(options)
      stack.enter_context(_ending_early())
    stack.enter_context(_beam_logs(shown=runner is None))
    _run(beam.Pipeline(runner, options=options), folder, shards=shards)


def _run(pipeline: beam.Pipeline, folder: str, *, shards: int) -> None:
  numbers = pipeline | "Shards" >> beam.Create(range(shards))
  numbers = numbers | "Spread" >> beam.Reshuffle()
  numbers | "Write" >> beam.ParDo(WriteShards(folder))
  try:
    pipeline.run().wait_until_finish()
  except Exception as error:  # Whatever the runner makes of what a worker raised.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    raise RecordsError(f"A worker failed: {last}. The same command goes on.") from error


@contextlib.contextmanager
def _beam_logs(*, shown: bool) -> Iterator[None]:
  """Shows what Beam says, or not: on this machine no more than the exception says."""
  root, handler = logging.getLogger(), logging.StreamHandler()
  level = root.level
  root.setLevel(logging.INFO if shown else logging.CRITICAL)
  if shown:
    root.addHandler(handler)
  try:
    yield
  finally:
    root.removeHandler(handler)
    root.setLevel(level)


def _direct_runner(options: PipelineOptions) -> PipelineRunner:
  """Beam's runner for this machine."""
  direct = options.view_as(DirectOptions)
  if direct.direct_running_mode != _PROCESSES:
    return FnApiRunner()
  direct.direct_running_mode = "in_memory"  # It would replace the environment by one of its own.
  command = f"exec {shlex.quote(sys.executable)} -m tools.records.local_worker"
  return FnApiRunner(SubprocessSDKEnvironment.from_command_string(command))


@contextlib.contextmanager
def _ending_early() -> Iterator[None]:
  """Ends this process when a signal asks for it or a worker has ended; the workers follow."""

  def end(status: int, message: str) -> NoReturn:
    print(f"make_records: {message} The same command goes on.", file=sys.stderr, flush=True)
    os._exit(status)

  def on_exception(arguments: threading.ExceptHookArgs) -> None:
    if "subprocess exited" in str(arguments.exc_value):
      end(2, f"A worker ended: {arguments.exc_value}. Was it killed for want of memory?")
    if not isinstance(arguments.exc_value, grpc.RpcError):  # A connection to one that has ended.
      hook(arguments)

  hook, threading.excepthook = threading.excepthook, on_exception
  handlers = {
    number: signal.signal(number, lambda number, _: end(128 + number, "Interrupted."))
    for number in (signal.SIGINT, signal.SIGTERM)
  }
  try:
    yield
  finally:
    threading.excepthook = hook
    for number, handler in handlers.items():
      signal.signal(number, handler)


def _cores() -> int:
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
