"""Contestants of the step's benchmark start, take turns and end. Made-up ones: nothing is timed."""

from __future__ import annotations

import os
import sys

import pytest

from tools.benchmarks import step_rounds
from tools.benchmarks.contestant import Contestant, Running

_SCRIPT = """
import json, sys
key, log = sys.argv[1:]
print(json.dumps({"detail": key}), flush=True)
for line in sys.stdin:
  print(key, line.split()[1], file=open(log, "a"))
  print(json.dumps({"images": 64, "seconds": 2.0, "cpu_seconds": 1.0}), flush=True)
"""
_CORES = sorted(os.sched_getaffinity(0))


def _fake(key, log, *, script=_SCRIPT):
  return Contestant(key, f"title {key}", "", (sys.executable, "-c", script, key, str(log)))


def test_contestants_take_turns_and_every_second_round_goes_backwards(tmp_path, capsys):
  keys = ["sbae", "gemm_torch", "torch_eager"]
  measurements = step_rounds.measure(
    [_fake(key, tmp_path / "log") for key in keys], cores=_CORES, rounds=3, seconds=1.5
  )
  turns = [*keys, *reversed(keys), *keys]
  assert (tmp_path / "log").read_text().splitlines() == [f"{key} 1.5" for key in turns]
  assert [m.key for m in measurements] == [m.about["detail"] for m in measurements] == keys
  for measurement in measurements:
    assert measurement.rates == pytest.approx([32 / len(_CORES)] * 3)
    assert measurement.busy == pytest.approx([0.5 / len(_CORES)] * 3)
  said = capsys.readouterr().out
  assert "Round 3 of 3: title sbae 32.0," in said and "title gemm_torch 0.0 GFLOP/s" in said
  assert said.index("Starting title gemm_torch") < said.index("Starting title sbae")


@pytest.mark.parametrize("broken", ["gemm_torch", "torch_eager"])
def test_all_end_where_one_fails(broken, tmp_path, monkeypatch):
  processes = []

  class Watched(Running):
    def __init__(self, *args, **kwargs):
      super().__init__(*args, **kwargs)
      processes.extend(self._processes)

  monkeypatch.setattr(step_rounds, "Running", Watched)
  contestants = [
    _fake(key, tmp_path / "log", script="" if key == broken else _SCRIPT)
    for key in ("gemm_tensorflow", "gemm_torch", "sbae", "torch_eager")
  ]
  with pytest.raises(RuntimeError, match=f"'title {broken}' ended"):
    step_rounds.measure(contestants, cores=_CORES, rounds=1, seconds=1.0)
  assert processes and all(process.returncode == 0 for process in processes)
