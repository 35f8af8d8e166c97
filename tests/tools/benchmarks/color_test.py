"""The benchmark of color on made-up clocks and numbers, and its steps on a small model."""

from __future__ import annotations

import argparse
import dataclasses
import json

import pytest
import tensorflow as tf

from tools.benchmarks import color

SETTING = {
  "command": "python -m tools.benchmark color",
  "date": "2026-01-02",
  "revision": "abc1234",
  "machine": "2 x Some Processor",
  "load": 0.1,
  "versions": {"tensorflow": "2.15.1"},
  "rounds": 3,
  "seconds": 2.0,
  "processors": 2,
}


class _Clock:
  """Time that passes only while steps run."""

  def __init__(self):
    self.now, self.ran = 0.0, []

  def step(self, key, seconds):
    def run():
      self.now += seconds
      self.ran.append(key)

    return run

  def __call__(self):
    return self.now


def test_steps_take_turns_and_every_second_round_goes_backwards():
  clock = _Clock()
  steps = {"a": clock.step("a", 0.5), "b": clock.step("b", 1.0)}
  taken, worked = color.measure(
    steps, rounds=3, seconds=2.0, clock=clock, cpu_clock=lambda: 1.5 * clock.now
  )
  assert taken == {"a": [0.5] * 3, "b": [1.0] * 3}
  assert worked == {"a": [0.75] * 3, "b": [1.5] * 3}
  turns = [key for i, key in enumerate(clock.ran) if i == 0 or clock.ran[i - 1] != key]
  assert turns == ["a", "b", "a", "b", "a", "b"]  # Warm: a, b; then ab, ba, ab.
  assert clock.ran[8:] == ["a"] * 4 + ["b"] * 2 + ["b"] * 2 + ["a"] * 4 + ["a"] * 4 + ["b"] * 2


def test_ratios_are_within_rounds():
  seconds = {"prepared": [1.0, 2.0, 4.0], "photographs": [1.5, 2.0, 5.0]}
  assert color.ratios(seconds, "photographs") == [1.5, 1.0, 1.25]


def test_the_table_has_ratios_and_goals():
  seconds = {
    "prepared": [0.2, 0.1, 0.2],
    "photographs": [0.21, 0.104, 0.22],
    "tfio": [0.3, 0.15, 0.2],
  }
  worked = {**seconds, "photographs": [0.3, 0.2, 0.3]}
  names = ("simplenet_lab", "resnet18_lab", "other")
  text = color.markdown([color.Result(name, seconds, worked) for name in names], SETTING)
  lines = text.splitlines()
  row = "photographs | 210.0 | 1.050 | 1.040 to 1.100 |"
  assert f"| simplenet_lab | {row} 1.06, met | 300.0 | 1.500 |" in lines
  assert f"| resnet18_lab | {row} 1.03, not met | 300.0 | 1.500 |" in lines
  assert f"| other | {row}  | 300.0 | 1.500 |" in lines
  assert any("tfio's conversion | 200.0 | 1.500 | 1.000 to 1.500 |  |" in line for line in lines)
  assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
  for what in ("abc1234", "Some Processor", "tensorflow 2.15.1", "3 rounds of about 2 s"):
    assert what in text


def test_a_machine_with_other_work_is_told():
  seconds = {key: [1.0] * 3 for key in color._TITLES}
  for worked, told in ((1.9, False), (1.0, True)):
    result = color.Result("x", seconds, {key: [worked] * 3 for key in seconds})
    assert ("no more than 50% of the processors" in color.markdown([result], SETTING)) == told


@pytest.fixture(name="small")
def _small(monkeypatch, small_config):
  monkeypatch.setattr(color, "_BATCH_SIZE", 4)
  monkeypatch.setattr(color, "_IMAGE_SIZE", 16)
  return small_config


def test_all_steps_compute_the_same(small):
  steps = color.contestants(small)
  assert list(steps) == list(color._TITLES)
  losses = {key: [step() for _ in range(3)] for key, step in steps.items()}
  for key in ("photographs", "tfio"):
    # A value at a bin's edge may fall to the other side.
    assert losses[key] == pytest.approx(losses["prepared"], rel=1e-2)
  assert losses["prepared"][2] < losses["prepared"][0]  # They train.


def test_steps_differ_in_what_they_compute(small, monkeypatch):
  made = []
  make = color._steps
  monkeypatch.setattr(color, "_steps", lambda *args: made.append(make(*args)) or made[-1])
  color.contestants(small)
  prepared, photographs, tfio = made
  assert not prepared.device_prepares and photographs.device_prepares and tfio.device_prepares
  assert photographs.model.encoder.color.encode_on_cpu is not None
  assert tfio.model.encoder.color.encode_on_cpu is None
  weights = [steps.model.trainable_variables[0] for steps in made]
  assert all(bool(tf.reduce_all(w == weights[0])) for w in weights)


@pytest.mark.slow
def test_writes_table_and_numbers(small, tmp_path, monkeypatch, capsys):
  from sbae_tf import presets

  preset = dataclasses.replace(presets.PRESETS["simplenet_lab"], config=small)
  monkeypatch.setattr(presets, "PRESETS", {"small": preset})
  out = tmp_path / "new" / "color.v2"
  color.run(argparse.Namespace(presets="small", rounds=2, seconds=0.01, out=out))
  raw = json.loads((tmp_path / "new" / "color.v2.json").read_text())
  assert raw["results"][0]["preset"] == "small"
  assert {key: len(value) for key, value in raw["results"][0]["seconds"].items()} == {
    "prepared": 2,
    "photographs": 2,
    "tfio": 2,
  }
  table = (tmp_path / "new" / "color.v2.md").read_text()
  assert "| small | photographs |" in table and table in capsys.readouterr().out


@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    ({"rounds": 0}, "--rounds of 1 or more"),
    ({"seconds": 0.0}, "--seconds above 0"),
    ({"presets": "nothing"}, "Unknown preset 'nothing'"),
  ],
)
def test_refuses_wrong_arguments(wrong, message, tmp_path):
  arguments = {"presets": "simplenet_lab", "rounds": 1, "seconds": 1.0, "out": tmp_path / "x"}
  with pytest.raises(ValueError, match=message):
    color.run(argparse.Namespace(**{**arguments, **wrong}))
