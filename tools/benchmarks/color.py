"""What color conversion and quantization add to a training step: with them, and without.

The step on uint8 photographs, the step on inputs and targets that were prepared before, and the
step on photographs by tensorflow-io's conversion, in turn in one process. Writes OUT.md and
OUT.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tools.benchmarks import machine

if TYPE_CHECKING:  # They import TensorFlow.
  import tensorflow as tf

  from sbae_tf.config import PretrainConfig
  from sbae_tf.steps import Steps

SUMMARY = "what color conversion and quantization add to a training step"

# The most that a step on photographs may take of one on prepared tensors.
_GOALS = {"simplenet_lab": 1.06, "resnet18_lab": 1.03}
_BATCH_SIZE = 64
_IMAGE_SIZE = 96
_WARM_STEPS = 3
_BUSY = 0.9  # Of the processors' time; on a free machine these steps use more of it.

# Of the steps, by their keys.
_PREPARED, _PHOTOGRAPHS, _TFIO = "prepared", "photographs", "tfio"
_TITLES = {
  _PREPARED: "prepared tensors",
  _PHOTOGRAPHS: "photographs",
  _TFIO: "photographs, by tfio's conversion",
}


@dataclasses.dataclass(frozen=True)
class Result:
  """What was measured of one preset.

  Attributes:
    preset: its name.
    seconds: a step's time, by the step's key, one a round.
    processor_seconds: the same, of the time that processors worked for this process.
  """

  preset: str
  seconds: Mapping[str, Sequence[float]]
  processor_seconds: Mapping[str, Sequence[float]]


def ratios(seconds: Mapping[str, Sequence[float]], key: str) -> list[float]:
  """How long a step takes, over the time on prepared tensors in the same round.

  Other work on a machine changes over minutes and meets a whole round: within a round a ratio is
  steadier than the times are.

  Args:
    seconds: a step's time, by the step's key, one a round.
    key: of the step.
  """
  return [ours / plain for ours, plain in zip(seconds[key], seconds[_PREPARED])]


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the subcommand's arguments."""
  add = parser.add_argument
  add("--presets", default=",".join(_GOALS), help=f"default: {','.join(_GOALS)}")
  add("--rounds", type=int, default=15, help="default: 15")
  add("--seconds", type=float, default=2.0, help="of each step in each round; default: 2")
  add(
    "--out", type=pathlib.Path, default=pathlib.Path("tools/results/color"), help="without suffix"
  )


def run(arguments: argparse.Namespace) -> None:
  """Measures and writes.

  Args:
    arguments: those of `add_arguments`.

  Raises:
    ValueError: an argument is wrong.
  """
  from sbae_tf import presets, runtime

  if arguments.rounds < 1 or arguments.seconds <= 0:
    raise ValueError(
      "Expected --rounds of 1 or more and --seconds above 0. "
      f"Received: {arguments.rounds} and {arguments.seconds:g}."
    )
  names = [name.strip() for name in arguments.presets.split(",")]
  configs = {name: presets.preset(name) for name in names}
  setting = {**machine.describe(), "rounds": arguments.rounds, "seconds": arguments.seconds}
  setting["processors"] = runtime.processors()
  runtime.silence_tensorflow_logs()
  runtime.start_tensorflow()
  setting["versions"] = {
    name: metadata.version(name) for name in ("tensorflow", "tensorflow-io", "numpy")
  }
  results = []
  for name, config in configs.items():
    print(f"Building {name} ...", flush=True)
    timed = measure(contestants(config), rounds=arguments.rounds, seconds=arguments.seconds)
    results.append(Result(name, *timed))
  out = arguments.out
  out.parent.mkdir(parents=True, exist_ok=True)
  raw = json.dumps({**setting, "results": [dataclasses.asdict(r) for r in results]}, indent=2)
  out.with_name(out.name + ".json").write_text(raw + "\n", encoding="utf-8")
  text = markdown(results, setting)
  out.with_name(out.name + ".md").write_text(text, encoding="utf-8")
  print(text)


def contestants(config: PretrainConfig) -> dict[str, Callable[[], object]]:
  """The steps to compare: each key's function makes one, and waits for it.

  Args:
    config: of the models; each step has its own, with the same weights.
  """
  import tensorflow as tf

  config = dataclasses.replace(
    config,
    data=dataclasses.replace(config.data, image_size=_IMAGE_SIZE),
    batch_size=_BATCH_SIZE,
    precision="float32",
  )
  size = (_BATCH_SIZE, _IMAGE_SIZE, _IMAGE_SIZE, 3)
  images = tf.random.stateless_uniform(size, seed=(0, 0), maxval=256, dtype=tf.int32)
  images = tf.cast(images, tf.uint8)
  prepared = _steps(config, "pipeline")
  photographs, tfio = _steps(config, "device"), _steps(config, "device")
  color = tfio.model.encoder.color
  tfio.model.encoder.color = dataclasses.replace(color, encode_on_cpu=None)
  batch = prepared.model.prepare(images)
  return {
    _PREPARED: lambda: _step(prepared, batch),
    _PHOTOGRAPHS: lambda: _step(photographs, images),
    _TFIO: lambda: _step(tfio, images),
  }


def measure(
  steps: Mapping[str, Callable[[], object]],
  *,
  rounds: int,
  seconds: float,
  clock: Callable[[], float] = time.perf_counter,
  cpu_clock: Callable[[], float] = time.process_time,
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
  """Times functions in turn, round after round.

  Args:
    steps: what to time.
    rounds: how many; every second one goes backwards.
    seconds: of each function in each round, at least; in every round it runs as often.
    clock: tells seconds.
    cpu_clock: tells this process's processor seconds.

  Returns:
    The seconds of one run of each function, and its processor seconds; one a round.
  """
  counts = {}
  for key, step in steps.items():
    for _ in range(_WARM_STEPS):
      step()
    start = clock()
    step()
    counts[key] = max(1, round(seconds / max(clock() - start, 1e-9)))
  taken: dict[str, list[float]] = {key: [] for key in steps}
  worked: dict[str, list[float]] = {key: [] for key in steps}
  for number in range(rounds):
    for key in steps if number % 2 == 0 else reversed(list(steps)):
      start, cpu_start = clock(), cpu_clock()
      for _ in range(counts[key]):
        steps[key]()
      taken[key].append((clock() - start) / counts[key])
      worked[key].append((cpu_clock() - cpu_start) / counts[key])
    times = ", ".join(f"{key} {1e3 * taken[key][-1]:.1f} ms" for key in steps)
    print(f"Round {number + 1} of {rounds}: {times}", flush=True)
  return taken, worked


def markdown(results: Sequence[Result], setting: Mapping[str, Any]) -> str:
  """Tells a run.

  Args:
    results: one a preset.
    setting: how: `command`, `date`, `revision`, `machine`, `load`, `versions`, `rounds`,
      `seconds` and `processors`.
  """
  versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
  lines = [
    "# Color and quantization in a training step",
    "",
    f"`{setting['command']}`, {setting['date']}, sbae_tf {setting['revision']}.",
    f"{setting['machine']}. {versions}. Load before the start: {setting['load']} processes.",
    "",
    f"Training steps of {_BATCH_SIZE} photographs of {_IMAGE_SIZE} x {_IMAGE_SIZE}, random uint8, "
    f"float32, in turn in one process: {setting['rounds']} rounds of about {setting['seconds']:g} "
    "s each. A ratio is to the step on prepared tensors, within the round: the median, and the "
    "lowest and highest round.",
    "",
    *_warning(results, setting["processors"]),
    "| preset | step on | ms, median | ratio | lowest to highest | goal | processor ms | ratio |",
    "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: |",
  ]
  for result in results:
    for key, title in _TITLES.items():
      values = ratios(result.seconds, key)
      median = statistics.median(values)
      goal = _GOALS.get(result.preset) if key == _PHOTOGRAPHS else None
      met = "" if goal is None else f"{goal:.2f}, {'met' if median <= goal else 'not met'}"
      lines.append(
        f"| {result.preset} | {title} | {1e3 * statistics.median(result.seconds[key]):.1f} | "
        f"{median:.3f} | {min(values):.3f} to {max(values):.3f} | {met} | "
        f"{1e3 * statistics.median(result.processor_seconds[key]):.1f} | "
        f"{statistics.median(ratios(result.processor_seconds, key)):.3f} |"
      )
  return "\n".join(lines) + "\n"


def _warning(results: Sequence[Result], processors: int) -> list[str]:
  used = min(
    statistics.median(result.processor_seconds[key])
    / statistics.median(result.seconds[key])
    / processors
    for result in results
    for key in _TITLES
  )
  if used >= _BUSY:
    return []
  return [
    f"**Preliminary: a step got no more than {used:.0%} of the processors, for the machine had "
    "other work. Measure again on one that is free; ratios of processor time are disturbed less.**",
    "",
  ]


def _steps(config: PretrainConfig, placement: str) -> Steps:
  import tensorflow as tf

  from sbae_tf.steps import Steps

  config = dataclasses.replace(config, color_placement=placement)
  return Steps(config, tf.distribute.get_strategy(), steps_per_epoch=100, steps=1000)


def _step(steps: Steps, batch: tf.Tensor | tuple[Any, ...]) -> float:
  return float(steps.train(batch)["total"])
