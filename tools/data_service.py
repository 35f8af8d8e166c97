"""Starts a tf.data service, whose workers read and decode the photographs of training runs.

  python -m tools.data_service --port=5050 --workers=2
  python -m sbae_tf.pretrain --data=FOLDER --data_service=grpc://localhost:5050

Other machines can help; each must see the photographs under the same path. On one machine, then on
each of the others:

  python -m tools.data_service --port=5050 --host=NAME_OF_THIS_MACHINE
  python -m tools.data_service --dispatcher=grpc://NAME_OF_THAT_MACHINE:5050

Whoever reaches the ports can have the workers run anything: for trusted networks only. Ctrl-C or
SIGTERM stops the service. A training run that reads from it then ends with an error and can be
resumed.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.context
import os
import signal
import socket
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

from sbae_tf import runtime

# After this time workers forget a run that has ended, and the list of paths that it sent them.
_FORGET_MS = 10_000

_STOP = (signal.SIGINT, signal.SIGTERM)

_Process = multiprocessing.context.ForkProcess

# A function that starts a server, and its arguments.
_Start = tuple[Callable[..., Any], tuple[Any, ...]]


class _ServiceError(Exception):
  """The service cannot start or go on; the message is a line for the user."""


def start_dispatcher(port: int) -> Any:
  """Starts a dispatcher in this process.

  Args:
    port: to listen on.

  Returns:
    The server, which runs for as long as something refers to it.
  """
  import tensorflow as tf
  from tensorflow.core.protobuf import service_config_pb2

  # The message that TensorFlow makes of its `DispatcherConfig`, which lacks the last field. Without
  # that, workers never forget a run whose chunks are dealt out dynamically.
  config = service_config_pb2.DispatcherConfig(
    port=port,
    protocol="grpc",
    job_gc_check_interval_ms=_FORGET_MS,
    job_gc_timeout_ms=_FORGET_MS,
    gc_dynamic_sharding_jobs=True,
  )
  return tf.data.experimental.service.DispatchServer(config)


def start_worker(dispatcher: str, host: str | None) -> Any:
  """Starts a worker in this process and registers it with the dispatcher.

  Args:
    dispatcher: the dispatcher's address, `grpc://host:port`.
    host: the name by which training runs reach this machine; None for the address by which the
      dispatcher sees it.

  Returns:
    The server, which runs for as long as something refers to it.

  Raises:
    ValueError: `dispatcher` has another form, or does not answer.
  """
  import tensorflow as tf

  from sbae_tf.data import data_service

  data_service.check_address(dispatcher, flag="--dispatcher", wait=30.0)  # It may be starting, too.
  where = urllib.parse.urlsplit(dispatcher)
  if host is None:
    with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
      host = connection.getsockname()[0]
  address = f"{host}:%port%"  # Any free one.
  config = tf.data.experimental.service.WorkerConfig(
    where.netloc,
    worker_address=address,
    data_transfer_address=address,
    heartbeat_interval_ms=5_000,  # And not 30 s, after which it would hear that a run is over.
  )
  return tf.data.experimental.service.WorkerServer(config)


def _serve(start: _Start, report: multiprocessing.connection.Connection) -> None:
  """A process of the service: reports None or an error, then runs until it is terminated."""
  signal.signal(signal.SIGTERM, signal.SIG_DFL)
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes to all; the parent stops the others.
  os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # The GPU's memory is for training.
  runtime.silence_tensorflow_logs()
  runtime.import_quietly("tensorflow")
  function, arguments = start
  try:
    server = function(*arguments)
  except Exception as error:  # Of any kind: the parent says it in a line.
    report.send(" ".join(str(error).split()))
    return
  report.send(None)
  parent = multiprocessing.parent_process()
  if parent is not None:  # For the type; a process started here has one.
    parent.join()  # It may be killed before it can stop this one.
  del server


@contextlib.contextmanager
def _running(starts: list[_Start]) -> Iterator[list[_Process]]:
  """Runs each server in a process of its own, and stops all of them at the end."""
  context = multiprocessing.get_context("fork")  # This process has no threads: no TensorFlow.
  processes: list[_Process] = []
  reports = []
  try:
    for start in starts:
      report, other_end = context.Pipe(duplex=False)
      process = context.Process(target=_serve, args=(start, other_end), daemon=True)
      process.start()
      other_end.close()
      processes.append(process)
      reports.append(report)
    for report in reports:
      try:
        error = report.recv()
      except EOFError:
        error = "A process of the service ended while it started."
      if error is not None:
        raise _ServiceError(error)
    yield processes
  finally:
    for signal_number in _STOP:
      signal.signal(signal_number, signal.SIG_IGN)
    for process in processes:
      process.terminate()
    for process in processes:
      process.join()


def _free_port(port: int) -> int:
  """The port, or any free one for 0. TensorFlow would silently share one that is taken."""
  try:
    with socket.create_server(("", port)) as probe:
      return probe.getsockname()[1]
  except (OSError, OverflowError) as error:
    raise _ServiceError(f"Cannot listen on --port={port}: {error}. Choose another.") from error


def _run(arguments: argparse.Namespace) -> None:
  """Starts what the arguments ask for, and waits until a process ends."""
  if arguments.workers < 1:
    raise _ServiceError(f"Expected --workers of 1 or more. Received: {arguments.workers}")
  starts: list[_Start] = []
  if arguments.dispatcher:
    dispatcher = arguments.dispatcher
    starts += [(start_worker, (dispatcher, arguments.host))] * arguments.workers
  else:
    host = arguments.host or "localhost"
    port = _free_port(arguments.port)
    dispatcher = f"grpc://{host}:{port}"
    starts.append((start_dispatcher, (port,)))
    starts += [(start_worker, (f"grpc://localhost:{port}", host))] * arguments.workers
  with _running(starts) as processes:
    print(f"Ready: --data_service={dispatcher}", flush=True)
    multiprocessing.connection.wait([process.sentinel for process in processes])
  raise _ServiceError("A process of the service has ended; so it has stopped the others.")


def main() -> int:
  """Runs the command line; 2 after a mistake or the end of a process, said in one line."""
  parser = argparse.ArgumentParser(
    prog="python -m tools.data_service",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    "--port", type=int, default=5050, help="of the dispatcher; 0 for any free one; default: 5050"
  )
  parser.add_argument(
    "--workers", type=int, default=1, help="processes that decode, each on all cores; default: 1"
  )
  parser.add_argument(
    "--host",
    help="the name by which other machines reach this one; default: localhost, for training on "
    "this machine; with --dispatcher: the address that the dispatcher sees",
  )
  parser.add_argument(
    "--dispatcher",
    metavar="grpc://HOST:PORT",
    help="of the service on another machine: starts workers that join it, and no dispatcher",
  )
  arguments = parser.parse_args()
  for signal_number in _STOP:  # Also SIGINT, which a shell has background processes ignore.
    signal.signal(signal_number, signal.default_int_handler)
  try:
    _run(arguments)
  except KeyboardInterrupt:
    return 0
  except _ServiceError as error:
    print(f"data_service: {error}", file=sys.stderr)
  return 2


if __name__ == "__main__":
  sys.exit(main())
