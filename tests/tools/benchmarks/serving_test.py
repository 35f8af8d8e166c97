"""The benchmark of serving on made-up clocks and numbers, and its process on a small model."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import presets
from tools.benchmarks import serving, serving_process

SETTING = {
  "command": "python -m tools.benchmark serving",
  "date": "2026-01-02",
  "revision": "abc1234",
  "machine": "2 x Some Processor",
  "load": 0.1,
  "versions": {"tensorflow": "2.15.1"},
  "rounds": 2,
  "seconds": 2.0,
  "photographs": "2 photographs, of 640 x 427 and 160 kB (medians)",
}


class _Clock:
  """Time that passes only while calls run."""

  def __init__(self):
    self.now, self.ran = 0.0, []

  def call(self, key, seconds):
    def run():
      self.now += seconds
      self.ran.append(key)

    return run

  def __call__(self):
    return self.now


def test_calls_take_turns_and_every_second_round_goes_backwards():
  clock = _Clock()
  calls = [clock.call("a", 0.25), clock.call("b", 2.0)]
  taken = serving_process.measure(calls, rounds=3, seconds=2.0, clock=clock)
  assert taken == [[[0.25] * 8] * 3, [[2.0] * 4] * 3]  # Four at least, however slow.
  warm = ["a"] * 3 + ["b"] * 3
  one, other = ["a"] * 8, ["b"] * 4
  assert clock.ran == warm + one + other + other + one + one + other


def test_the_table_has_medians_percentiles_and_rates():
  slow = tuple(0.001 * i for i in range(1, 101))
  result = serving.Result("simplenet_lab", "from_bytes", 8, (slow, (0.02, 0.02)))
  lines = serving.markdown([result], SETTING).splitlines()
  # 102 requests: the 97th of them; 800 photographs in 5.05 s, 16 in 0.04 s.
  row = "| simplenet_lab | `from_bytes` | 8 | 49.5 | 95.0 | 279 | 158 to 400 | 102 |"
  assert row in lines
  text = "\n".join(lines)
  for what in ("abc1234", "Some Processor", "tensorflow 2.15.1", "2 rounds of about 2 s", "160 kB"):
    assert what in text
  assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


@pytest.mark.parametrize(
  ("count", "percent", "expected"), [(100, 95, 95), (10, 95, 10), (20, 50, 10), (1, 95, 1)]
)
def test_a_percentile_is_one_of_the_values(count, percent, expected):
  assert serving.percentile(list(range(1, count + 1)), percent) == expected


def test_photographs_take_turns(tmp_path):
  assert len(set(serving.photographs(None, count=5))) == 2
  assert serving.describe(serving.photographs(None, count=5)).startswith("2 photographs, of 640 x")
  (tmp_path / "sub").mkdir()
  for i in range(3):
    (tmp_path / "sub" / f"{i}.JPG").write_bytes(b"%d" % i)
  (tmp_path / "0.png").write_bytes(b"x")
  assert serving.photographs(tmp_path, count=5) == [b"0", b"1", b"2", b"0", b"1"]
  assert serving.photographs(tmp_path, count=2) == [b"0", b"1"]


@pytest.mark.slow
def test_writes_table_and_numbers(small_config, tmp_path, monkeypatch, capsys):
  config = dataclasses.replace(
    small_config, data=dataclasses.replace(small_config.data, image_size=16)
  )
  preset = dataclasses.replace(presets.PRESETS["simplenet_lab"], config=config)
  monkeypatch.setattr(presets, "PRESETS", {"small": preset})
  out = tmp_path / "new" / "serving.v2"
  serving.run(
    argparse.Namespace(presets="small", batches="1,3", photos=None, rounds=2, seconds=0.01, out=out)
  )
  raw = json.loads((tmp_path / "new" / "serving.v2.json").read_text())
  found = [(r["model"], r["signature"], r["batch"]) for r in raw["results"]]
  signatures = ("serving_default", "from_bytes")
  assert found == [("small", name, batch) for name in signatures for batch in (1, 3)]
  for result in raw["results"]:
    assert [len(turn) >= 4 and min(turn) > 0 for turn in result["seconds"]] == [True, True]
  table = (tmp_path / "new" / "serving.v2.md").read_text()
  assert "| small | `from_bytes` | 3 |" in table and table in capsys.readouterr().out


@pytest.mark.slow
def test_requests_are_of_their_size_and_the_same_photographs(small_config, tmp_path):
  files = serving.photographs(None, count=3)
  serving.prepare(tmp_path, {"small": small_config}, files)
  made = serving_process.requests(tmp_path, ["small"], [1, 3])
  found = {key: request() for key, request in made.items()}
  assert {key: len(value) for key, value in found.items()} == {
    ("small", name, batch): batch for name in ("serving_default", "from_bytes") for batch in (1, 3)
  }
  loaded = tf.saved_model.load(str(tmp_path / "small"))
  expected = loaded.signatures["from_bytes"](encoded=tf.constant(files))["embedding"]
  for name in ("serving_default", "from_bytes"):
    np.testing.assert_allclose(found["small", name, 3], expected, rtol=1e-4, atol=1e-6)


def test_the_process_refuses_the_package():
  script = """
import sys
from tools.benchmarks import serving_process
sys.meta_path.insert(0, serving_process.NotHere())
import sbae_tf
"""
  done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
  assert "sbae_tf is not to be used here" in done.stderr


def test_a_process_that_fails_is_told(tmp_path):
  with pytest.raises(RuntimeError, match="process that serves failed"):
    serving.measure(tmp_path, ["nothing"], [1], rounds=1, seconds=0.1)


@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    ({"rounds": 0}, "--rounds of 1 or more"),
    ({"seconds": 0.0}, "--seconds above 0"),
    ({"presets": "nothing"}, "Unknown preset 'nothing'"),
    ({"batches": "1,x"}, "--batches of numbers above 0"),
    ({"batches": "0"}, "--batches of numbers above 0"),
  ],
)
def test_refuses_wrong_arguments(wrong, message, tmp_path):
  arguments = {"presets": "simplenet_lab", "batches": "1", "rounds": 1, "seconds": 1.0}
  arguments |= {"photos": tmp_path, "out": tmp_path / "x"}
  with pytest.raises(ValueError, match=message):
    serving.run(argparse.Namespace(**{**arguments, **wrong}))


def test_a_folder_without_photographs_is_named(tmp_path):
  with pytest.raises(ValueError, match="--photos to be a folder of JPEG files"):
    serving.photographs(tmp_path, count=1)
