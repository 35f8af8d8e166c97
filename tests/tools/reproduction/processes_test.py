"""Several works at once: their order, their failures, and how they are stopped."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tools.reproduction import processes
from tools.reproduction.processes import Command, WorkError


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
  monkeypatch.setattr(processes, "_POLL_SECONDS", 0.001)


class _Machine:
  """Processes that run until they were looked at so often."""

  def __init__(self, looks: int = 3) -> None:
    self.looks = looks
    self.running: dict[str, _Machine._Process] = {}
    self.most = 0
    self.order: list[str] = []
    self.shares: dict[processes.Share, list[str]] = {}

  def launch(self, command: Command, share: processes.Share) -> _Machine._Process:
    name, status = command.arguments
    self.shares.setdefault(share, []).append(name)
    self.order.append(name)
    process = self._Process(self, name, int(status))
    self.running[name] = process
    self.most = max(self.most, len(self.running))
    return process

  class _Process:
    def __init__(self, machine, name, status) -> None:
      self.machine, self.name, self.status = machine, name, status
      self.looks, self.signals = machine.looks, []

    def poll(self) -> int | None:
      self.looks -= 1
      if self.looks > 0:
        return None
      self.machine.running.pop(self.name, None)
      return self.status

    def send_signal(self, sig) -> None:
      self.signals.append(sig)
      self.status = 128 + sig


def _work(name, statuses, tmp_path, ended=None):
  for number, status in enumerate(statuses):
    try:
      got = yield Command((f"{name}{number}", str(status)), tmp_path / "log")
    finally:
      if ended is not None:
        ended.append(f"{name}{number}")
    if got:
      raise WorkError(f"status {got}")


def _run(works, machine, jobs=2, received=lambda: None):
  failures = []
  processes.run(
    *(works,),
    jobs=jobs,
    failed=lambda name, reason: failures.append((name, reason)),
    received=received,
    launch=machine.launch,
  )
  return failures


def test_works_run_side_by_side_and_their_commands_in_turn(tmp_path):
  machine = _Machine()
  works = {name: _work(name, [0, 0], tmp_path) for name in "abc"}
  assert _run(works, machine) == []
  assert machine.most == 2 and not machine.running
  assert machine.order == ["a0", "b0", "a1", "b1", "c0", "c1"]


def test_one_job_runs_one_work_at_a_time(tmp_path):
  machine = _Machine()
  assert _run({name: _work(name, [0, 0], tmp_path) for name in "ab"}, machine, jobs=1) == []
  assert machine.most == 1 and machine.order == ["a0", "a1", "b0", "b1"]


def test_a_failure_is_told_and_the_others_go_on(tmp_path):
  machine = _Machine()
  works = {"a": _work("a", [0, 3, 0], tmp_path), "b": _work("b", [0, 0], tmp_path)}
  assert _run(works, machine, jobs=1) == [("a", "status 3")]
  assert machine.order == ["a0", "a1", "b0", "b1"]


def test_a_signal_is_passed_on_once_and_waited_for(tmp_path):
  machine, ended = _Machine(looks=6), []
  asked = iter([None, None, signal.SIGTERM, *[signal.SIGTERM] * 100])
  works = {name: _work(name, [0, 0], tmp_path, ended) for name in "abc"}
  seen = []
  launch = machine.launch
  machine.launch = lambda *given: seen.append(launch(*given)) or seen[-1]
  assert _run(works, machine, received=lambda: next(asked)) == []
  assert machine.order == ["a0", "b0"] and ended == ["a0", "b0"]
  assert [process.signals for process in seen] == [[signal.SIGTERM]] * 2
  assert not machine.running


def test_a_real_process_is_logged_and_stopped(tmp_path):
  log = tmp_path / "folder" / "log.txt"
  code = "import time; print('here I am'); time.sleep(60)"
  process = processes.launch(Command(("-c", code), log), frozenset())
  deadline = time.monotonic() + 30
  while "here I am\n" not in log.read_text() and time.monotonic() < deadline:
    time.sleep(0.02)
  process.send_signal(signal.SIGTERM)
  while process.poll() is None and time.monotonic() < deadline:
    time.sleep(0.02)
  assert process.poll() == -signal.SIGTERM
  assert log.read_text().startswith("\n$ python -c ") and sys.executable not in log.read_text()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux alone has it")
def test_a_job_keeps_to_its_share_of_the_processors(tmp_path, monkeypatch):
  mine = os.sched_getaffinity(0)
  log = tmp_path / "log.txt"
  code = "import os; print(sorted(os.sched_getaffinity(0)))"
  process = processes.launch(Command(("-c", code), log), frozenset([max(mine)]))
  assert process.wait(30) == 0 and os.sched_getaffinity(0) == mine
  assert log.read_text().endswith(f"\n[{max(mine)}]\n")

  def used(processors, jobs):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(processors))
    machine = _Machine()
    works = {name: _work(name, [0, 0], tmp_path) for name in "abcd"}
    assert _run(works, machine, jobs=jobs) == []
    return {tuple(sorted(share)): names for share, names in machine.shares.items()}

  assert used({1, 2, 5}, 2) == {(1, 5): ["a0", "a1", "c0", "c1"], (2,): ["b0", "b1", "d0", "d1"]}
  assert set(used({1, 2}, 3)) == {(1,), (2,)}
  assert set(used({1, 2}, 1)) == {()}  # It has them all.


def test_the_last_lines_of_a_log(tmp_path):
  log = tmp_path / "log.txt"
  assert processes.last_lines(log) == ""
  log.write_text("x" * 50_000 + "\n" + "".join(f"line {i}\n" for i in range(100)))
  lines = processes.last_lines(log).splitlines()
  assert lines == [f"    line {i}" for i in range(85, 100)]
