"""Who is compared in the step's benchmark: the contestants of each model and precision."""

from __future__ import annotations

import fnmatch
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence

from tools.benchmarks import step_setting
from tools.benchmarks.contestant import Contestant

_MODEL_TITLES = {"simplenet": "SimpleNet", "resnet18": "ResNet18"}
_STEPS_PER_EXECUTION = 5

Lineup = Mapping[str, Sequence[Contestant]]


def lineup(
  *, files: str, torch_python: pathlib.Path | str, cores: int
) -> dict[str, list[Contestant]]:
  """The contestants of each group, in which they take turns.

  Args:
    files: the folder of photographs.
    torch_python: the interpreter of the environment with PyTorch.
    cores: how many processors they will have.

  Returns:
    A group's name, such as `simplenet_float32` or `threads_bfloat16`, to its contestants.
  """
  groups = {
    f"{model}_{precision}": [
      *_peaks(precision, torch_python),
      *_steps(model, precision, files),
      *_torch_steps(model, precision, torch_python),
    ]
    for model in step_setting.MODELS
    for precision in step_setting.PRECISIONS
  }
  for precision in step_setting.PRECISIONS:
    groups[f"threads_{precision}"] = _threads(precision, cores)
  return groups


def title(group: str) -> str:
  """A group's name in tables and plots: `SimpleNet, float32`."""
  name, _, precision = group.rpartition("_")
  if name == "threads":
    return f"Threads of TensorFlow: SimpleNet, {precision}"
  return f"{_MODEL_TITLES[name]}, {precision}"


def chosen(groups: Lineup, patterns: str) -> dict[str, list[Contestant]]:
  """Those whose `GROUP/KEY` fits one of some patterns.

  Args:
    groups: as `lineup` gives them.
    patterns: shell patterns with commas between them; empty: all.

  Returns:
    The groups of which there is a contestant left.

  Raises:
    ValueError: a pattern fits nothing; lists what there is.
  """
  wanted = [pattern.strip() for pattern in patterns.split(",")] if patterns else ["*"]
  names = [f"{group}/{c.key}" for group, contestants in groups.items() for c in contestants]
  for pattern in wanted:
    if not fnmatch.filter(names, pattern):
      raise ValueError(
        f"--only: '{pattern}' fits no contestant. Expected patterns such as 'simplenet_*/sbae*' "
        f"for: {', '.join(names)}."
      )
  left = {
    group: [c for c in contestants if any(fnmatch.fnmatch(f"{group}/{c.key}", p) for p in wanted)]
    for group, contestants in groups.items()
  }
  return {group: contestants for group, contestants in left.items() if contestants}


def _peaks(precision: str, torch_python: pathlib.Path | str) -> list[Contestant]:
  return [
    Contestant(
      f"gemm_{library}",
      f"matrix product, {name}",
      "large square matrices",
      (str(interpreter), "-m", f"tools.benchmarks.gemm_{library}", f"--precision={precision}"),
    )
    for library, name, interpreter in (
      ("tensorflow", "TensorFlow", sys.executable),
      ("torch", "PyTorch", torch_python),
    )
  ]


def _steps(model: str, precision: str, files: str) -> list[Contestant]:
  command = _command(model, precision)
  contestants = [
    Contestant("sbae", "sbae_tf", "this package's step, as it is by default", command),
    Contestant(
      "sbae_files",
      "sbae_tf, from files",
      "reads, decodes and crops photographs beside it",
      (*command, f"--files={files}"),
    ),
    Contestant(
      "sbae_eigen",
      "sbae_tf, Eigen",
      "TF_ENABLE_ONEDNN_OPTS=0: Eigen's convolutions, not oneDNN's",
      ("env", "TF_ENABLE_ONEDNN_OPTS=0", *command),
    ),
  ]
  settings: dict[str, object] = {"jit_compile": "true"}
  choices = [("xla", "XLA", "compiled", settings)]
  if model == "simplenet":  # Beside a step of seconds a return to Python is nothing.
    what = f"{_STEPS_PER_EXECUTION} steps without a return to Python"
    choices.append(("loop", "loops", what, {"steps_per_execution": _STEPS_PER_EXECUTION}))
  for key, name, what, settings in choices:
    contestants.append(
      Contestant(
        f"sbae_{key}", f"sbae_tf, {name}", what, (*command, f"--settings={json.dumps(settings)}")
      )
    )
  return contestants


def _torch_steps(model: str, precision: str, torch_python: pathlib.Path | str) -> list[Contestant]:
  command = _command(model, precision, interpreter=torch_python, module="step_torch")
  return [
    Contestant("torch_eager", "PyTorch", "channels last", command),
    Contestant(
      "torch_compiled",
      "PyTorch, compiled",
      "channels last, torch.compile",
      (*command, "--compiled"),
    ),
  ]


def _threads(precision: str, cores: int) -> list[Contestant]:
  command = _command("simplenet", precision)
  contestants = [Contestant("threads", "default", "as TensorFlow chooses", command)]
  choices = ((cores, 1), (1, cores), (cores, 2))
  for intra, inter in dict.fromkeys(choices):
    contestants.append(
      Contestant(
        f"threads_{intra}_{inter}",
        f"intra-op {intra}, inter-op {inter}",
        "threads of an operation, operations at once",
        (*command, f"--intra={intra}", f"--inter={inter}"),
      )
    )
  return contestants


def _command(
  model: str,
  precision: str,
  *,
  interpreter: pathlib.Path | str = sys.executable,
  module: str = "step_sbae",
) -> tuple[str, ...]:
  arguments = (f"--model={model}", f"--precision={precision}")
  return (str(interpreter), "-m", f"tools.benchmarks.{module}", *arguments)
