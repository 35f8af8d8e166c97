"""The benchmark of steps on made-up numbers and made-up contestants: nothing here is timed."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest

pytest.importorskip("matplotlib")

from tools import benchmark
from tools.benchmarks import step, step_lineup, step_report, step_results
from tools.benchmarks.contestant import Contestant
from tools.benchmarks.results import Comparison, Measurement

SETTING = {
  "command": "python -m tools.benchmark step --data=x",
  "date": "2026-01-02",
  "revision": "abc1234",
  "machine": "2 x Some Processor",
  "load": 0.1,
  "versions": {"tensorflow": "2.15.1", "torch": "2.13.0"},
  "cores": [0, 1],
  "rounds": 3,
  "seconds": 1.0,
}
_ABOUT = {"parameters": 706_040, "flop_per_image": 500_000_000}


def _measurement(key, *rates, busy=1.0, **about):
  return Measurement(key, f"title {key}", f"does {key}", rates, (busy,) * len(rates), about)


def _group(name="simplenet_float32", *more, busy=1.0):
  return step_results.Group(
    name,
    step_lineup.title(name),
    (
      _measurement("gemm_tensorflow", 80e9, 80e9, 80e9, busy=busy, detail="2048 x 2048"),
      _measurement("gemm_torch", 100e9, 200e9, 100e9, busy=busy),
      _measurement("sbae", 150, 160, 140, busy=0.97, **_ABOUT),
      _measurement("sbae_files", 144, 144, 144, **_ABOUT),
      _measurement("torch_eager", 100, 100, 100, **_ABOUT),
      _measurement("torch_compiled", 120, 80, 140, **_ABOUT),
      *more,
    ),
  )


def _threads():
  measurements = (_measurement("threads", 150, **_ABOUT), _measurement("threads_2_1", 9, **_ABOUT))
  return step_results.Group("threads_float32", step_lineup.title("threads_float32"), measurements)


@pytest.fixture(name="lineup")
def _lineup():
  return step_lineup.lineup(files="some/files", torch_python="/torch/python", cores=2)


def test_every_model_and_precision_has_a_group(lineup):
  assert list(lineup) == [
    *("simplenet_float32", "simplenet_bfloat16", "resnet18_float32", "resnet18_bfloat16"),
    *("threads_float32", "threads_bfloat16"),
  ]
  for name, contestants in lineup.items():
    model, precision = name.split("_")
    keys = [contestant.key for contestant in contestants]
    assert len(set(keys)) == len(keys)
    for contestant in contestants:
      assert f"--precision={precision}" in contestant.command
      is_torch = contestant.key in ("gemm_torch", "torch_eager", "torch_compiled")
      assert (contestant.command[0] == "/torch/python") == is_torch
      if not contestant.key.startswith("gemm"):
        model_of_threads = "simplenet" if model == "threads" else model
        assert f"--model={model_of_threads}" in contestant.command


def test_contestants_differ_in_what_they_are_named_for(lineup):
  commands = {c.key: set(c.command) for c in lineup["simplenet_bfloat16"]}
  plain = commands["sbae"]
  more = {key: command - plain for key, command in commands.items() if key.startswith("sbae_")}
  assert more == {
    "sbae_files": {"--files=some/files"},
    "sbae_eigen": {"env", "TF_ENABLE_ONEDNN_OPTS=0"},
    "sbae_xla": {'--settings={"jit_compile": "true"}'},
    "sbae_loop": {'--settings={"steps_per_execution": 5}'},
  }
  assert commands["torch_compiled"] - commands["torch_eager"] == {"--compiled"}
  commands = [set(c.command) for c in lineup["threads_float32"]]
  assert [command - commands[0] for command in commands] == [
    set(),
    {"--intra=2", "--inter=1"},
    {"--intra=1", "--inter=2"},
    {"--intra=2", "--inter=2"},
  ]


def test_ratios_name_contestants_and_groups_that_there_are(lineup):
  keys = {c.key for c in lineup["simplenet_float32"]}
  for ratio in step_results.RATIOS:
    assert {ratio.key, *ratio.others} <= keys and set(ratio.goals) <= set(lineup)
  assert step_results.RATIOS[0].goals == {
    "simplenet_float32": 1.25,
    "simplenet_bfloat16": 1.1,
    "resnet18_float32": 1.05,
    "resnet18_bfloat16": 1.0,
  }
  assert set(step_results.RATIOS[1].goals.values()) == {0.95}


def test_patterns_choose(lineup):
  left = step_lineup.chosen(lineup, "simplenet_*/sbae, */gemm_torch")
  assert {name: [c.key for c in contestants] for name, contestants in left.items()} == {
    "simplenet_float32": ["gemm_torch", "sbae"],
    "simplenet_bfloat16": ["gemm_torch", "sbae"],
    "resnet18_float32": ["gemm_torch"],
    "resnet18_bfloat16": ["gemm_torch"],
  }
  assert step_lineup.chosen(lineup, "") == lineup
  with pytest.raises(ValueError, match="'sbae' fits no contestant.*simplenet_float32/sbae"):
    step_lineup.chosen(lineup, "simplenet_*/*,sbae")


def test_ratios_are_medians_within_rounds_to_the_best():
  torch, files, xla, loop, _ = (
    step_results.comparison(ratio, _group()) for ratio in step_results.RATIOS
  )
  # To the one of the higher median, 120 of 100: 150 / 120, 160 / 80, 140 / 140.
  assert torch == Comparison(1.25, 1.0, 2.0, "title torch_compiled")
  assert files == Comparison(0.96, 0.9, 144 / 140, "title sbae")
  assert xla is None and loop is None


def test_the_fraction_is_of_the_faster_librarys_products_in_the_same_round():
  group = _group()
  by_key = {measurement.key: measurement for measurement in group.measurements}
  # 150 images/s of half a GFLOP of 100 GFLOP/s; 160 of 200; 140 of 100.
  fraction = step_results.fraction_of_peak(by_key["sbae"], group)
  assert fraction == pytest.approx(140 * 0.5 / 100)  # The median of 0.75, 0.4 and 0.7.
  assert step_results.fraction_of_peak(_threads().measurements[0], _threads()) is None


def test_models_that_differ_are_no_comparison():
  step_results.check_same_model(_group())
  for what in _ABOUT:
    other = _measurement("other", 1, 1, 1, **{**_ABOUT, what: 7})
    with pytest.raises(RuntimeError, match=f"SimpleNet, float32 differ in their {what}.*other 7"):
      step_results.check_same_model(_group("simplenet_float32", other))


def test_the_table_has_medians_fractions_ratios_and_goals():
  groups = [_group(), _group("resnet18_bfloat16"), _threads()]
  lines = step_report.markdown(groups, SETTING).splitlines()
  row = (
    "| title gemm_torch | 200 GFLOP/s | 200 GFLOP/s to 400 GFLOP/s |  | 100% | does gemm_torch |"
  )
  assert row in lines
  assert "| title sbae | 300 | 280 to 320 | 70% | 97% | does sbae |" in lines
  assert "| title threads_2_1 | 18.0 | 18.0 to 18.0 |  | 100% | does threads_2_1 |" in lines
  assert any(line.endswith("does gemm_tensorflow (2048 x 2048) |") for line in lines)
  torch, files, xla, loop, eigen = (
    next(line for line in lines if line.startswith(f"| {ratio.title} |"))
    for ratio in step_results.RATIOS
  )
  cell = "| **1.25** (1.00 to 2.00; title torch_compiled) |"
  assert f"{cell} 1.25, met {cell} 1, met |" in torch
  assert files.count(" **0.96** (0.90 to 1.03) | 0.95, met |") == 2
  assert all(line.count("not measured") == 2 for line in (xla, loop, eigen))
  text = "\n".join(lines)
  for what in (SETTING["command"], "2026-01-02", "abc1234", "Some Processor", "torch 2.13.0"):
    assert what in text
  assert "706,040 parameters" in text and "0.500 GFLOP" in text and "3 rounds of 1 s" in text


def test_what_falls_short_of_a_goal_is_told():
  slow = step_results.Group(
    "simplenet_float32",
    "x",
    (_measurement("sbae", 1.24, **_ABOUT), _measurement("torch_eager", 1.0, **_ABOUT)),
  )
  assert "| 1.25, not met |" in step_report.markdown([slow], SETTING)


def test_tables_have_as_many_cells_as_headings():
  for groups in ([_group(), _threads()], [_threads()]):
    tables = [
      part.splitlines()
      for part in step_report.markdown(groups, SETTING).split("\n\n")
      if part.startswith("|")
    ]
    assert len(tables) == len(groups) + (len(groups) > 1)
    for table in tables:
      assert len({line.count("|") for line in table}) == 1


def test_a_machine_with_other_work_is_no_measurement():
  assert step_results.disturbance([_group()]) == 0.0
  assert step_results.disturbance([_threads()]) is None
  disturbed = [_group(), _group("simplenet_bfloat16", busy=0.6)]
  assert step_results.disturbance(disturbed) == pytest.approx(0.4)
  assert "Not a measurement: other work took 40%" in step_report.markdown(disturbed, SETTING)
  assert "Not a measurement" not in step_report.markdown([_group(), _threads()], SETTING)


def test_raw_numbers_table_and_plot_are_written(tmp_path):
  from PIL import Image

  groups = [_group(), _group("resnet18_bfloat16"), _threads()]
  out = tmp_path / "new" / "step.v2"
  step.write(groups, dict(SETTING), out)
  raw = json.loads((tmp_path / "new" / "step.v2.json").read_text())
  assert raw["groups"][0]["measurements"][2]["rates"] == [150, 160, 140]
  assert raw["command"] == SETTING["command"]
  table = (tmp_path / "new" / "step.v2.md").read_text()
  assert table == step_report.markdown(groups, SETTING)
  with Image.open(tmp_path / "new" / "step.v2.png") as picture:
    assert picture.width == 1400
    colors = {color for _, color in picture.convert("RGB").getcolors(2**24)}
  assert {(0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)} <= colors


SCRIPT = """
import json, sys
key, parameters = sys.argv[1:]
about = {"versions": {key: "1"}, "flop_per_image": 5, "parameters": int(parameters)}
print(json.dumps(about), flush=True)
for line in sys.stdin:
  print(json.dumps({"images": 640, "seconds": 2.0, "cpu_seconds": 1.0}), flush=True)
"""


def _fakes(second_parameters):
  return {
    "simplenet_float32": [
      Contestant(key, f"title {key}", "is a fake", (sys.executable, "-c", SCRIPT, key, parameters))
      for key, parameters in (("sbae", "7"), ("sbae_xla", second_parameters))
    ]
  }


@pytest.mark.parametrize("parameters", ["7", "8"])
def test_runs_from_the_command_line(parameters, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(step_lineup, "lineup", lambda **_: _fakes(parameters))
  out = tmp_path / "step"
  monkeypatch.setattr(sys, "argv", ["benchmark", "step", "--rounds=2", f"--out={out}"])
  status = benchmark.main()
  said = capsys.readouterr()
  if parameters == "8":
    assert status == 1 and "differ in their parameters" in said.err and not out.exists()
    return
  assert status == 0 and "Round 2 of 2: title sbae" in said.out
  raw = json.loads((tmp_path / "step.json").read_text())
  assert raw["versions"] == {"sbae": "1", "sbae_xla": "1"} and raw["rounds"] == 2
  rates = raw["groups"][0]["measurements"][0]["rates"]
  assert rates == pytest.approx([320 / len(os.sched_getaffinity(0))] * 2)
  assert "| title sbae | 320 |" in (tmp_path / "step.md").read_text()


_BARE = "--only=*/sbae"


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ([], "Expected --data=FOLDER of JPEG files"),
    (["--data=/none"], "--data: no such folder: /none"),
    (["--data={folder}"], "Expected 64 JPEG files or more"),
    ([_BARE, "--rounds=0"], "Expected --rounds of 1 or more"),
    ([_BARE, "--seconds=0"], "--seconds above 0"),
    (["--only=me"], "--only: 'me' fits no contestant. Expected"),
    (["--only=*/torch*", "--torch_python=/none"], "--torch_python=/none is no program."),
    (["--only=*/torch*", "--torch_python={folder}"], "is no program."),
    (["--only=*/gemm_torch", "--torch_python={old}"], "PyTorch 2.13 or newer with .*: 2.12."),
    (["--only=*/gemm_torch", "--torch_python={bare}"], "PyTorch 2.13 or newer with .*: none."),
  ],
)
def test_a_users_mistake_is_a_line_and_status_2(flags, message, tmp_path, monkeypatch, capsys):
  paths = {"folder": tmp_path, "old": tmp_path / "old", "bare": tmp_path / "bare"}
  for name, script in (("old", "echo 2 12"), ("bare", "exit 1")):
    paths[name].write_text(f"#!/bin/sh\n{script}\n")
    paths[name].chmod(0o755)
  flags = [flag.format(**paths) for flag in flags]
  monkeypatch.setattr(sys, "argv", ["benchmark", "step", *flags])
  assert benchmark.main() == 2
  said = capsys.readouterr().err
  assert said.startswith("benchmark step: ") and said.count("\n") == 1
  assert message in said or re.search(message, said)


def test_torch_is_looked_for_where_it_is_needed(tmp_path):
  new = tmp_path / "new"
  new.write_text("#!/bin/sh\necho 2 13\n")
  new.chmod(0o755)
  step.check_torch(new)


def test_a_compiler_is_needed_where_something_is_compiled(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv("CXX", "no-such-compiler")
  monkeypatch.setattr(sys, "argv", ["benchmark", "step", "--only=*/torch_compiled"])
  assert benchmark.main() == 2
  assert "there is no no-such-compiler" in capsys.readouterr().err
