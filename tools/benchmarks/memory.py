"""What a source of very many names takes: peak memory of a process that opens a text list.

Writes OUT.md and OUT.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tools.benchmarks import machine
from tools.benchmarks.contestant import ROOT

if TYPE_CHECKING:  # It imports TensorFlow.
  from sbae_tf.data.source import Source

SUMMARY = "peak memory of a text list of ten million names"
_BATCH_SIZE = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the subcommand's arguments."""
  add = parser.add_argument
  add("--names", type=int, default=10_000_000, help="names in the list; default: 10,000,000")
  add("--batches", type=int, default=10_000, help="of 64, drawn in random order; default: 10,000")
  add(
    "--out", type=pathlib.Path, default=pathlib.Path("tools/results/memory"), help="without suffix"
  )


def run(arguments: argparse.Namespace) -> None:
  """Measures and writes.

  Args:
    arguments: those of `add_arguments`.

  Raises:
    ValueError: an argument is wrong.
    RuntimeError: the process that opens the list failed.
  """
  if arguments.names < _BATCH_SIZE or arguments.batches < 1:
    raise ValueError(
      f"Expected --names of {_BATCH_SIZE} or more and --batches of 1 or more. "
      f"Received: {arguments.names} and {arguments.batches}."
    )
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "names.txt"
    with path.open("w", encoding="utf-8") as file:
      file.writelines(names(arguments.names))
    size = path.stat().st_size
    command = [sys.executable, "-m", "tools.benchmarks.memory", str(path), str(arguments.batches)]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
  if result.returncode:
    raise RuntimeError("The process that opens the list failed. It may have said why above.")
  measured = json.loads(result.stdout)
  setting = {**machine.describe(), "names": arguments.names, "batches": arguments.batches}
  setting["file_bytes"] = size
  out = arguments.out
  out.parent.mkdir(parents=True, exist_ok=True)
  raw = json.dumps({**setting, "stages": measured}, indent=2)
  out.with_name(out.name + ".json").write_text(raw + "\n", encoding="utf-8")
  text = markdown(measured, setting)
  out.with_name(out.name + ".md").write_text(text, encoding="utf-8")
  print(text)


def names(count: int) -> Iterator[str]:
  """Yields lines of 60 characters and a line feed, such as a large collection has.

  Args:
    count: how many; all differ.
  """
  for i in range(count):
    yield f"train/n{i % 21841:08d}/a_photograph_of_some_object__{i:010d}.jpeg\n"


def markdown(stages: list[dict[str, Any]], setting: dict[str, Any]) -> str:
  """Tells a run.

  Args:
    stages: what the process said: `stage`, `peak_bytes`, `bytes` and `seconds` of each.
    setting: how: `command`, `date`, `revision`, `machine`, `names`, `batches`, `file_bytes`.
  """
  before = stages[0]["peak_bytes"]
  lines = [
    f"# Memory: a text list of {setting['names']:,} names",
    "",
    f"`{setting['command']}`, {setting['date']}, sbae_tf {setting['revision']}.",
    f"{setting['machine']}. The file has {setting['file_bytes'] / 2**20:,.0f} MiB.",
    "",
    "| after | peak resident MiB | above the start | bytes a name | resident now, MiB | s |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
  ]
  for stage in stages:
    above = stage["peak_bytes"] - before
    lines.append(
      f"| {stage['stage']} | {stage['peak_bytes'] / 2**20:,.0f} | {above / 2**20:,.0f} | "
      f"{above / setting['names']:.0f} | {stage['bytes'] / 2**20:,.0f} | {stage['seconds']:.1f} |"
    )
  return "\n".join(lines) + "\n"


def open_list(path: str) -> Source:
  """Opens a text list as `--data` does."""
  from sbae_tf.data import sources

  return sources.open_source(path)


def draw(source: Source, batches: int) -> None:
  """Draws the indices of shuffled batches, as training does."""
  import tensorflow as tf

  from sbae_tf.data import order, pipeline

  per_epoch = pipeline.steps_per_epoch(source, _BATCH_SIZE) * _BATCH_SIZE
  places = tf.range(_BATCH_SIZE, dtype=tf.int64)
  starts = tf.data.Dataset.counter(tf.constant(0, tf.int64), _BATCH_SIZE)
  indices = starts.map(
    lambda start: order.image_at(source, start + places, per_epoch=per_epoch, seed=0)
  )
  for _ in indices.take(batches):
    pass


def resident() -> tuple[int, int]:
  """This process's resident memory in bytes: the highest so far, and now.

  Not `getrusage`'s: that starts from what the parent had when it started this process.
  """
  lines = pathlib.Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
  fields = dict(line.split(":", 1) for line in lines)
  peak, now = (int(fields[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS"))
  return peak, now


def main() -> None:
  """Opens a list in this process and draws; writes what it took as JSON."""
  from sbae_tf import runtime

  path, batches = sys.argv[1], int(sys.argv[2])
  stages: list[dict[str, Any]] = []
  start = time.perf_counter()

  def note(stage: str) -> None:
    peak, now = resident()
    seconds = time.perf_counter() - start - sum(s["seconds"] for s in stages)
    stages.append({"stage": stage, "peak_bytes": peak, "bytes": now, "seconds": seconds})

  runtime.silence_tensorflow_logs()
  runtime.start_tensorflow()
  importlib.import_module("sbae_tf.data.pipeline")
  importlib.import_module("sbae_tf.data.sources")
  note("the imports")
  source = open_list(path)
  note("opening the list")
  draw(source, batches)
  note(f"drawing {batches:,} batches of {_BATCH_SIZE}")
  print(json.dumps(stages))


if __name__ == "__main__":
  main()
