"""The benchmark on made-up numbers and made-up contestants: nothing here is timed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys

import pytest

pytest.importorskip("matplotlib")

from tools import benchmark
from tools.benchmarks import (
  crops,
  machine,
  memory,
  protocol,
  report,
  results,
  torch_environment,
)
from tools.benchmarks import input as input_benchmark
from tools.benchmarks.contestant import Contestant, Running

SETTING = {
  "command": "python -m tools.benchmark input --photos=x",
  "date": "2026-01-02",
  "revision": "abc1234",
  "machine": "2 x Some Processor",
  "load": 0.1,
  "versions": {"tensorflow": "2.15.1", "torch": "2.9"},
  "cores": [0, 1],
  "rounds": 3,
  "seconds": 5.0,
}


def _measurement(key, *rates, busy=1.0, **about):
  return results.Measurement(key, f"title {key}", f"does {key}", rates, (busy,) * len(rates), about)


@pytest.fixture(name="collections")
def _collections():
  photos = (
    _measurement("sbae_tf_files", 900, 1000, 400, busy=0.97),
    _measurement("sbae_tf_records", 1800, 500, 480),
    _measurement("torch_pillow", 300, 310, 320, detail="2 workers"),
    _measurement("torch_opencv", 300, 500, 400),
    _measurement("bare_sliced", 1000, 1000, 1000),
    _measurement("bare_cropped", 1000, 1250, 1600),
  )
  small = (_measurement("sbae_tf_files", 10.0, 30.0), _measurement("torch_pillow", 20.0, 10.0))
  return (
    results.Collection("photos", "some/photos", 150, photos),
    results.Collection("small", "some/small", 6900, small),
  )


def test_ratios_are_medians_within_rounds_to_the_best(collections):
  photos = collections[0].measurements
  torch, bare, records = (results.compare(ratio, photos) for ratio in results.RATIOS)
  assert torch == results.Comparison(2.0, 1.0, 3.0, "title torch_opencv")  # Of 3, 2 and 1.
  assert bare == results.Comparison(0.8, 0.25, 0.9, "title bare_cropped")
  assert records == results.Comparison(1.2, 0.5, 2.0, "title sbae_tf_files")


def test_what_was_not_measured_has_no_ratio(collections):
  small = collections[1].measurements
  torch, bare, records = (results.compare(ratio, small) for ratio in results.RATIOS)
  assert torch == results.Comparison(1.75, 0.5, 3.0, "title torch_pillow")
  assert bare is None and records is None


def test_every_ratio_names_contestants_and_collections_that_there_are():
  keys = {c.key for c in input_benchmark.lineup("f", records="r", torch_python="p", cores=2)}
  for ratio in results.RATIOS:
    assert {ratio.key, *ratio.others} <= keys
    assert set(ratio.goals) <= {"photos", "small"}


def test_the_table_has_medians_spread_ratios_and_goals(collections):
  lines = report.markdown(collections, SETTING).splitlines()
  row = "| title sbae_tf_files | 900 | 400 to 1,000 | 97% | 928 | does sbae_tf_files |"
  assert row in lines
  row = "| title torch_pillow | 310 | 300 to 320 | 100% | 310 | does torch_pillow (2 workers) |"
  assert row in lines
  torch, bare, records = (
    next(line for line in lines if line.startswith(f"| {ratio.title} |"))
    for ratio in results.RATIOS
  )
  assert "| **2.00** (1.00 to 3.00; title torch_opencv) | 2, met | **1.75** (" in torch
  assert "| **0.80** (0.25 to 0.90; title bare_cropped) | 0.85, not met | not measured |" in bare
  assert records.endswith("| not measured | 1 |")
  text = "\n".join(lines)
  for what in ("python -m tools.benchmark input", "2026-01-02", "abc1234", "Some Processor"):
    assert what in text
  assert "tensorflow 2.15.1, torch 2.9" in text and "3 rounds of 5 s" in text


def test_a_machine_with_other_work_is_no_measurement(collections):
  assert results.disturbance(collections) == 0.0
  assert "Not a measurement" not in report.markdown(collections, SETTING)
  bare = (_measurement("bare_whole", 5, 5, busy=0.5), _measurement("bare_sliced", 5, busy=1.0))
  disturbed = [collections[1], results.Collection("photos", "x", 150, (*bare,))]
  assert results.disturbance(disturbed) == pytest.approx(1 / 3)  # Of three rounds.
  assert "**Not a measurement: other work took 33%" in report.markdown(disturbed, SETTING)


def test_tables_have_as_many_cells_as_headings(collections):
  for chosen in (collections, collections[:1]):
    tables = report.markdown(chosen, SETTING).split("\n\n")
    tables = [t.splitlines() for t in tables if t.startswith("| ")]
    assert len(tables) == 1 + len(chosen)
    for table in tables:
      assert len({line.count("|") for line in table}) == 1


def test_draws_a_plot_a_collection(collections, tmp_path):
  from PIL import Image

  widths = []
  for chosen in (collections, collections[:1]):
    report.draw(chosen, tmp_path / "plot.png", title="Some")
    with Image.open(tmp_path / "plot.png") as picture:
      widths.append(picture.width)
      colors = {color for _, color in picture.convert("RGB").getcolors(2**24)}
    assert {(0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E), (0x7F, 0x7F, 0x7F)} <= colors
  assert widths == [1400, 700]


def test_raw_numbers_are_all_there(collections, tmp_path):
  input_benchmark.write(collections, SETTING, tmp_path / "new" / "input.v2")
  raw = json.loads((tmp_path / "new" / "input.v2.json").read_text())
  assert raw["command"] == SETTING["command"]
  assert raw["collections"][0]["measurements"][0]["rates"] == [900, 1000, 400]
  assert raw["collections"][0]["measurements"][2]["about"] == {"detail": "2 workers"}
  assert (tmp_path / "new" / "input.v2.md").read_text() == report.markdown(collections, SETTING)
  assert (tmp_path / "new" / "input.v2.png").is_file()


class _Pipeline:
  """A pipeline and a clock: some batches lie ready, each further one takes a quarter second."""

  def __init__(self, ready):
    self.now, self.ready = 100.0, ready

  def batches(self):
    while True:
      if self.ready:
        self.ready -= 1
        self.now += 0.001
      else:
        self.now += 0.25
      yield 64

  def clock(self):
    return self.now


@pytest.mark.parametrize("ready", [0, 50, 500])
def test_what_lay_in_buffers_is_not_counted(ready):
  pipeline = _Pipeline(ready)
  count = protocol.measure(pipeline.batches(), seconds=2.0, warm=1.0, clock=pipeline.clock)
  assert (count.images, count.seconds) == (8 * 64, 2.0)


def test_nothing_is_measured_for_no_seconds():
  pipeline = _Pipeline(0)
  count = protocol.measure(pipeline.batches(), seconds=0.0, warm=1.0, clock=pipeline.clock)
  assert count[:2] == (0, 0.0) and pipeline.now == 101.0


def test_quiet_is_twice_without_work():
  used = iter([0.0, 0.1, 0.1, 0.2, 0.2, 0.2, 9.0])
  pauses = []
  protocol.wait_until_quiet(cpu_seconds=lambda: next(used), sleep=pauses.append)
  assert len(pauses) == 5
  busy = iter(range(1000))
  with pytest.raises(RuntimeError, match="Still at work 3 s after"):
    protocol.wait_until_quiet(cpu_seconds=lambda: next(busy), sleep=pauses.append, limit=3.0)


SCRIPT = """
import json, os, sys
sys.path.insert(0, os.getcwd())
print(json.dumps({"ready": True, "versions": {"fake": "1"}, "detail": "some"}), flush=True)
for line in sys.stdin:
  seconds = float(line.split()[1])
  cores = sorted(os.sched_getaffinity(0))
  images = 100 * (1 + cores[0]) if "--number=0" in sys.argv else 60
  with open(sys.argv[1], "a") as log:
    print(sys.argv[2], len(cores), *[a for a in sys.argv if "number" in a], file=log)
  counted = {"images": images * seconds, "seconds": seconds, "cpu_seconds": seconds * 0.5}
  print(json.dumps(counted), flush=True)
"""


def _fake(key, log, *, script=SCRIPT, one_a_core=False):
  command = (sys.executable, "-c", script, str(log), key)
  return Contestant(key, f"title {key}", "is a fake", command, one_a_core)


def test_contestants_run_in_turn_on_the_same_cores(tmp_path, capsys):
  log, cores = tmp_path / "log", sorted(os.sched_getaffinity(0))
  measured = input_benchmark.measure(
    [_fake("a", log), _fake("b", log)], cores=cores, rounds=3, seconds=2.0
  )
  assert log.read_text().split("\n")[:-1] == [f"{key} {len(cores)}" for key in "abbaab"]
  assert [m.key for m in measured] == ["a", "b"]
  for measurement in measured:
    assert measurement.rates == pytest.approx([60 / len(cores)] * 3)
    assert measurement.busy == pytest.approx([0.5 / len(cores)] * 3)
    assert measurement.about["versions"] == {"fake": "1"}
  assert "Round 3 of 3: title b" in capsys.readouterr().out


def test_a_single_thread_gets_a_process_on_each_core(tmp_path):
  cores = sorted(os.sched_getaffinity(0))[:2]
  with Running(_fake("bare", tmp_path / "log", one_a_core=True), cores=cores) as running:
    rate, busy = running.go(2.0)
  assert sorted(os.sched_getaffinity(0))[:2] == cores  # This process stays on all of them.
  total = 100 * (1 + cores[0]) + 60 * (len(cores) - 1)  # The first, and those of other numbers.
  assert rate == pytest.approx(total / len(cores)) and busy == pytest.approx(0.5)
  lines = sorted((tmp_path / "log").read_text().split("\n")[:-1])
  assert lines == [f"bare 1 --number={i}" for i in range(len(cores))]


def test_processes_end_with_the_measurement(tmp_path):
  with Running(_fake("a", tmp_path / "log"), cores=[min(os.sched_getaffinity(0))]) as running:
    processes = running._processes
    assert [process.poll() for process in processes] == [None]
  assert [process.returncode for process in processes] == [0]


@pytest.mark.parametrize(
  ("script", "message"),
  [
    ("", "'title a' ended"),
    ("print('Hello')", "said what is no reply: 'Hello'"),
    ("print('7')", "said what is no reply: '7'"),
    ("print('{}', flush=True); input()", "'title a' ended"),
  ],
)
def test_a_contestant_that_fails_is_named(script, message, tmp_path):
  core = min(os.sched_getaffinity(0))
  with (
    pytest.raises(RuntimeError, match=message),
    Running(_fake("a", tmp_path, script=script), cores=[core]) as running,
  ):
    running.go(0.1)
    running.go(0.1)


def test_a_contestant_that_ended_while_others_ran_is_named(tmp_path):
  fake = _fake("a", tmp_path, script="print('{}')")
  with Running(fake, cores=[min(os.sched_getaffinity(0))]) as running:
    running._processes[0].wait()
    with pytest.raises(RuntimeError, match="'title a' ended"):
      running.go(0.1)


def test_the_protocols_two_sides_fit(tmp_path):
  script = """
from tools.benchmarks import protocol
replies = protocol.claim_stdout()
print("What a library says at import.")
def batches():
  while True:
    yield 64
protocol.WARM_SECONDS = 0.0
protocol.serve(batches(), replies, about={"detail": "some"}, start=0.0)
"""
  core = min(os.sched_getaffinity(0))
  with Running(_fake("a", tmp_path, script=script), cores=[core]) as running:
    assert running.about == {"ready": True, "detail": "some"}
    rate, busy = running.go(0.01)
  assert rate > 64 and 0 < busy < 1.5


def test_boxes_stay_inside_and_fill_the_area():
  generator = random.Random(0)
  areas = []
  for _ in range(300):
    top, left, height, width = crops.random_box(375, 500, generator)
    assert top >= 0 and left >= 0 and top + height <= 375 and left + width <= 500
    assert 0.74 < width / height < 1.35
    areas.append(height * width / (375 * 500))
  assert 0.24 < min(areas) < 0.3 and 0.8 < max(areas) <= 1.0
  assert crops.random_box(10, 1000, generator) == (0, 493, 10, 13)  # No try fits.


@pytest.mark.parametrize(("side", "reduction"), [(40, 1), (96, 1), (260, 2), (700, 4), (1600, 8)])
def test_cuts_are_reduced_as_far_as_the_crop_allows(side, reduction, monkeypatch):
  monkeypatch.setattr(crops, "AREA", (0.9, 1.0))
  cuts = [crops.plan_cut("x.jpg", side, side, random.Random(seed)) for seed in range(50)]
  assert statistics.mode(cut.reduction for cut in cuts) == reduction
  for cut in cuts:
    smallest = min(cut.box[2:])
    assert cut.reduction == 1 or smallest >= 96
    assert cut.box[0] + cut.box[2] <= side / cut.reduction


def test_jpeg_files_are_found_in_sub_folders(tmp_path):
  (tmp_path / "b").mkdir()
  for i in range(40):
    (tmp_path / f"{i:02d}.JPG").touch()
    (tmp_path / "b" / f"{i:02d}.jpeg").touch()
  (tmp_path / "x.png").touch()
  (tmp_path / ".hidden.jpg").touch()
  assert len(crops.jpeg_files(tmp_path)) == 80
  with pytest.raises(ValueError, match="Expected 64 JPEG files or more.*Found 40"):
    crops.jpeg_files(tmp_path / "b")


@pytest.mark.parametrize("broken", ["--index-url", "import"])
def test_an_environment_is_made_once_if_need_be_from_the_default_index(broken, tmp_path, capsys):
  ran = []

  def run(command):
    ran.append(" ".join(command))
    # Either the first index is out of reach, or what comes from it does not work.
    return not (broken in ran[-1] and not any(broken in line for line in ran[:-1]))

  python = torch_environment.python(tmp_path / "env", run=run)
  assert python == tmp_path / "env" / "bin" / "python"
  assert "-m venv" in ran[0] and "simplejpeg" in ran[1]
  attempts = [line for line in ran if "--upgrade" in line]
  assert ["--index-url" in line for line in attempts] == [True, False]
  assert all(line.endswith("torch torchvision") for line in attempts) and "import" in ran[-1]
  assert capsys.readouterr().out.startswith(f"Making {tmp_path / 'env'} with PyTorch")
  count = len(ran)
  assert torch_environment.python(tmp_path / "env", run=run) == python and len(ran) == count


@pytest.mark.parametrize("broken", ["venv", "simplejpeg", "torch"])
def test_an_environment_that_cannot_be_made_is_not_trusted(broken, tmp_path):
  for _ in range(2):
    with pytest.raises(RuntimeError, match="Cannot .*see .*install.log"):
      torch_environment.python(
        tmp_path / "other", run=lambda command: broken not in " ".join(command)
      )


def test_what_pip_says_is_kept(tmp_path):
  log = tmp_path / "log"
  assert torch_environment._succeeds([sys.executable, "-c", "print('one')"], log)
  assert not torch_environment._succeeds([sys.executable, "-c", "1 / 0"], log)
  assert "one" in log.read_text() and "ZeroDivisionError" in log.read_text()


def test_memory_is_told_above_the_start():
  stages = [
    {"stage": "the imports", "peak_bytes": 300 * 2**20, "bytes": 250 * 2**20, "seconds": 3.0},
    {"stage": "opening", "peak_bytes": 1000 * 2**20, "bytes": 900 * 2**20, "seconds": 9.25},
  ]
  setting = {**SETTING, "names": 10_000_000, "batches": 3, "file_bytes": 610_000_000}
  lines = memory.markdown(stages, setting).splitlines()
  assert "| opening | 1,000 | 700 | 73 | 900 | 9.2 |" in lines
  assert "# Memory: a text list of 10,000,000 names" in lines


def test_names_are_of_sixty_characters_and_differ():
  lines = list(memory.names(30_000))
  assert {len(line) for line in lines} == {61} and len(
    {line.split("/")[2] for line in lines}
  ) == 30_000


def test_resident_memory_grows_with_what_is_held():
  before = memory.resident()[1]
  held = b"x" * 50_000_000
  peak, now = memory.resident()
  assert now - before > 40_000_000 and peak >= now and held


def test_the_machine_is_described():
  described = machine.describe()
  assert (
    machine.processor() in described["machine"] and f"{os.cpu_count()} x" in described["machine"]
  )
  assert described["command"].startswith("python -m tools.benchmark")


@pytest.mark.parametrize(
  ("flags", "name"),
  [("fpu avx2", "A Chip"), ("fpu avx512f avx512bw", "A Chip with AVX-512")],
)
def test_processors_of_one_name_are_told_apart(flags, name, tmp_path, monkeypatch):
  cores = (f"processor\t: {core}\nmodel name\t: A Chip\nflags\t\t: {flags}\n" for core in range(2))
  file = tmp_path / "cpuinfo"
  file.write_text("\n".join(cores))
  monkeypatch.setattr(machine, "_CPUINFO", file)
  assert machine.processor() == name


def test_a_processor_without_a_name_is_told_by_its_architecture(tmp_path, monkeypatch):
  monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
  assert machine.processor() == platform.machine()


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["input"], "Expected --photos=FOLDER, --small=FOLDER or both."),
    (["input", "--photos=/none"], "No such folder: /none"),
    (["input", "--small={folder}", "--seconds=0"], "Expected --seconds above 0"),
    (["input", "--small={folder}", "--rounds=0"], "--rounds of 1 or more"),
    (["input", "--small={folder}", "--cores=9999"], "Expected --cores from 1 to"),
    (["input", "--small={folder}", "--torch_python=/none"], "--torch_python=/none is no program."),
    (["input", "--small={folder}", "--contestants=me"], "Expected --contestants from bare_cropped"),
    (["input", "--small={folder}"], "Expected 64 JPEG files or more"),
    (["memory", "--names=5"], "Expected --names of 64 or more"),
    (["memory", "--batches=0"], "--batches of 1 or more"),
  ],
)
def test_a_users_mistake_is_a_line_and_status_2(flags, message, tmp_path, monkeypatch, capsys):
  flags = [flag.format(folder=tmp_path) for flag in flags]
  monkeypatch.setattr(sys, "argv", ["benchmark", *flags])
  assert benchmark.main() == 2
  said = capsys.readouterr().err
  assert said.startswith(f"benchmark {flags[0]}: ") and message in said and said.count("\n") == 1


@pytest.mark.parametrize(
  ("error", "status", "message"),
  [
    (RuntimeError("The contestant 'x' ended."), 1, "benchmark input: The contestant 'x' ended.\n"),
    (KeyboardInterrupt(), 130, ""),
  ],
)
def test_what_stops_a_measurement_is_a_line_at_most(error, status, message, monkeypatch, capsys):
  def fail(_: argparse.Namespace) -> None:
    raise error

  monkeypatch.setattr(input_benchmark, "run", fail)
  monkeypatch.setattr(sys, "argv", ["benchmark", "input"])
  assert benchmark.main() == status
  assert capsys.readouterr().err == message


def test_the_command_line_starts_without_tensorflow():
  result = subprocess.run(
    [sys.executable, "-X", "importtime", "-m", "tools.benchmark", "input", "--help"],
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0 and "--torch_python" in result.stdout
  assert "tools.benchmarks.report" in result.stderr and "tensorflow" not in result.stderr
