"""The tool that starts a tf.data service, as the process that a user starts."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import tensorflow as tf

from sbae_tf.data import data_service
from tools import data_service as tool

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(name="start")
def _start():
  """Starts the tool in a process group of its own; nothing of it is left at the end."""
  with contextlib.ExitStack() as stack:

    def start(*arguments: str) -> subprocess.Popen:
      process = subprocess.Popen(
        [sys.executable, "-m", "tools.data_service", *arguments],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
      )
      stack.callback(_kill, process)
      return process

    yield start


def _kill(process: subprocess.Popen) -> None:
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, signal.SIGKILL)
  with contextlib.suppress(ValueError):  # Read to the end and closed already.
    process.communicate()


def _address(process: subprocess.Popen) -> str:
  """The address in the one line that the tool prints."""
  line = process.stdout.readline()
  ready = re.fullmatch(r"Ready: --data_service=(grpc://\S+:\d+)\n", line)
  assert ready, line + process.stderr.read()
  return ready[1]


def _assert_ends(process: subprocess.Popen, status: int) -> str:
  """What it says last. All of its processes have ended then: each holds an end of the pipes."""
  output, errors = process.communicate(timeout=60)
  assert process.returncode == status and output == "", errors
  return errors


def _squares(number: tf.Tensor) -> tf.Tensor:
  return number * number


@pytest.mark.parametrize("stop", ["terminate", pytest.param("ctrl_c", marks=pytest.mark.slow)])
def test_serves_until_it_is_stopped(start, stop):
  process = start("--port=0", "--workers=2")
  address = _address(process)
  assert address.startswith("grpc://localhost:")
  dataset = data_service.distribute(_squares, address, first_chunk=3)
  assert list(dataset.take(20).as_numpy_iterator()) == [n * n for n in range(3, 23)]
  if stop == "terminate":
    process.terminate()
  else:  # To all of its processes, as a terminal does.
    for child in _children(process):
      os.kill(child, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):  # They wait for the first to stop them.
      process.wait(timeout=0.5)
    process.send_signal(signal.SIGINT)
  assert _assert_ends(process, 0) == ""


@pytest.mark.slow
def test_the_workers_end_with_a_tool_that_is_killed(start):
  process = start("--port=0")
  _address(process)
  process.kill()
  _assert_ends(process, -signal.SIGKILL)


@pytest.mark.slow
def test_workers_join_from_elsewhere(start):
  first = start("--port=0")
  address = _address(first)
  others = start(f"--dispatcher={address}", "--workers=2")
  assert _address(others) == address
  dataset = data_service.distribute(_squares, address)
  assert list(dataset.take(20).as_numpy_iterator()) == [n * n for n in range(20)]
  others.terminate()
  assert _assert_ends(others, 0) == ""
  assert first.poll() is None


@pytest.mark.slow
def test_ends_when_one_of_its_processes_does(start):
  process = start("--port=0")
  _address(process)
  os.kill(max(_children(process)), signal.SIGKILL)
  assert _assert_ends(process, 2) == (
    "data_service: A process of the service has ended; so it has stopped the others.\n"
  )


def _children(process: subprocess.Popen) -> list[int]:
  if not pathlib.Path("/proc/self/task").is_dir():
    pytest.skip("needs /proc")
  children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
  return [int(child) for child in children.split()]


def test_workers_forget_runs_that_have_ended(monkeypatch, keep_server):
  monkeypatch.setattr(tool, "_FORGET_MS", 300)
  with contextlib.ExitStack() as stack:
    dispatcher = tool.start_dispatcher(0)
    stack.callback(dispatcher.stop)
    config = tf.data.experimental.service.WorkerConfig(
      dispatcher.target.split("://")[1], heartbeat_interval_ms=100
    )
    worker = tf.data.experimental.service.WorkerServer(config)
    keep_server(dispatcher)
    keep_server(worker)
    stack.callback(worker.stop)  # Before the dispatcher, for which it would wait an hour.
    dataset = data_service.distribute(_squares, dispatcher.target)
    running = iter(dataset)
    assert next(running) == 0
    assert list(dataset.take(3).as_numpy_iterator()) == [0, 1, 4]
    assert worker._num_tasks() == 2
    end = time.monotonic() + 10
    while worker._num_tasks() > 1 and time.monotonic() < end:
      time.sleep(0.05)
    assert worker._num_tasks() == 1
    assert next(running) == 1
    del running


def test_mistakes_are_said_in_a_line(start):
  with socket.create_server(("", 0)) as server:
    port = server.getsockname()[1]
    for arguments, message in {
      ("--workers=0",): "Expected --workers of 1 or more. Received: 0",
      (f"--port={port}",): f"Cannot listen on --port={port}: .*Address already in use.*",
      ("--port=99999",): "Cannot listen on --port=99999: .*",
      ("--dispatcher=localhost",): "Expected --dispatcher=grpc://host:port, .*: localhost",
    }.items():
      errors = _assert_ends(start(*arguments), 2)
      assert re.fullmatch(f"data_service: {message}\n", errors), errors


def test_help_shows_the_commands(start):
  output, errors = start("--help").communicate(timeout=30)
  assert "\n  python -m tools.data_service --port=5050 --workers=2\n" in output
  assert "--dispatcher" in output and errors == ""
