"""Training steps: this package's and PyTorch's of the same models, and the machine's peak.

In one run, in turn, in float32 and bfloat16; pretraining from files beside the bare step; XLA,
loops and TensorFlow's threads. Writes OUT.md, OUT.png and OUT.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tools.benchmarks import (
  crops,
  machine,
  step_lineup,
  step_report,
  step_results,
  step_rounds,
  torch_environment,
)
from tools.benchmarks.contestant import Contestant
from tools.benchmarks.step_results import Group

SUMMARY = "images/s of training steps: this package's and PyTorch's, and the machine's peak"
_TORCH = (2, 13)  # The oldest that is compared with.
_ASK_TORCH = "import torch; print(*torch.__version__.split('.')[:2])"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the subcommand's arguments."""
  add = parser.add_argument
  add("--data", type=pathlib.Path, help="folder of JPEG files of about 96 x 96")
  add("--seconds", type=float, default=1.0, help="of each contestant in each round; default: 1")
  add("--rounds", type=int, default=3, help="default: 3")
  add("--only", default="", help="patterns of GROUP/CONTESTANT, commas between them; default: all")
  add("--torch_python", type=pathlib.Path, help="an interpreter with PyTorch; default: made once")
  add("--out", type=pathlib.Path, default=pathlib.Path("tools/results/step"), help="without suffix")


def run(arguments: argparse.Namespace) -> None:
  """Measures and writes.

  Args:
    arguments: those of `add_arguments`.

  Raises:
    ValueError: an argument is wrong.
    RuntimeError: a contestant failed, or the contestants' models differ.
  """
  cores = sorted(os.sched_getaffinity(0))
  check(arguments, cores=len(cores))
  setting = machine.describe()
  torch_python = arguments.torch_python
  if torch_python is None and _needs(chosen(arguments, cores=len(cores)), "torch"):
    torch_python = torch_environment.python()
    check_torch(torch_python)
  if arguments.data:
    for path in crops.jpeg_files(arguments.data):  # Into the page cache.
      pathlib.Path(path).read_bytes()
  groups = []
  for name, contestants in chosen(arguments, torch_python, cores=len(cores)).items():
    print(f"{step_lineup.title(name)}:", flush=True)
    measurements = step_rounds.measure(
      contestants, cores=cores, rounds=arguments.rounds, seconds=arguments.seconds
    )
    group = Group(name, step_lineup.title(name), measurements)
    step_results.check_same_model(group)
    groups.append(group)
  versions = {
    package: version
    for group in groups
    for measurement in group.measurements
    for package, version in measurement.about.get("versions", {}).items()
  }
  setting.update(versions=versions, cores=cores, rounds=arguments.rounds, seconds=arguments.seconds)
  write(groups, setting, arguments.out)


def chosen(
  arguments: argparse.Namespace, torch_python: pathlib.Path | None = None, *, cores: int
) -> dict[str, list[Contestant]]:
  """The contestants of each group that `--only` leaves.

  Args:
    arguments: those of `add_arguments`.
    torch_python: the interpreter with PyTorch; None: the contestants are only to be looked at.
    cores: how many processors they will have.

  Raises:
    ValueError: `--only` names what there is not.
  """
  files = arguments.data.resolve() if arguments.data else ""
  groups = step_lineup.lineup(files=str(files), torch_python=torch_python or "", cores=cores)
  return step_lineup.chosen(groups, arguments.only)


def check(arguments: argparse.Namespace, *, cores: int) -> None:
  """Checks the arguments before any work.

  Args:
    arguments: those of `add_arguments`.
    cores: how many processors there are.

  Raises:
    ValueError: an argument is wrong, or something that is needed is not installed.
  """
  if arguments.rounds < 1 or arguments.seconds <= 0:
    raise ValueError(
      "Expected --rounds of 1 or more and --seconds above 0. "
      f"Received: {arguments.rounds} and {arguments.seconds:g}."
    )
  groups = chosen(arguments, cores=cores)
  if arguments.data:
    if not arguments.data.is_dir():
      raise ValueError(f"--data: no such folder: {arguments.data}")
    crops.jpeg_files(arguments.data)
  elif _needs(groups, "sbae_files"):
    raise ValueError("Expected --data=FOLDER of JPEG files, or --only without sbae_files.")
  if importlib.util.find_spec("matplotlib") is None:  # Not after minutes of measuring.
    raise ValueError("The plot needs matplotlib: pip install matplotlib")
  compiler = os.environ.get("CXX", "g++")
  if _needs(groups, "torch_compiled") and shutil.which(compiler) is None:
    raise ValueError(
      f"torch.compile needs a C++ compiler, and there is no {compiler}. Install it, name another "
      "one in CXX, or give --only without torch_compiled."
    )
  if arguments.torch_python and _needs(groups, "torch"):
    check_torch(arguments.torch_python)


def check_torch(python: pathlib.Path) -> None:
  """Looks for PyTorch.

  Args:
    python: the interpreter that should have it.

  Raises:
    ValueError: it is no interpreter, or has no PyTorch that is new enough.
  """
  if not os.access(python, os.X_OK) or python.is_dir():
    raise ValueError(f"--torch_python={python} is no program.")
  result = subprocess.run([str(python), "-c", _ASK_TORCH], capture_output=True, text=True)
  found = result.stdout.strip()
  if result.returncode or tuple(int(part) for part in found.split()) < _TORCH:
    wanted = ".".join(str(part) for part in _TORCH)
    raise ValueError(
      f"Expected PyTorch {wanted} or newer with --torch_python={python}. "
      f"Found: {found.replace(' ', '.') or 'none'}."
    )


def write(groups: Sequence[Group], setting: dict[str, Any], out: pathlib.Path) -> None:
  """Writes the table, the plot and the raw numbers, and prints the table.

  Args:
    groups: what was measured.
    setting: how, as `step_report.markdown` takes it.
    out: the files' path without suffix.
  """
  out.parent.mkdir(parents=True, exist_ok=True)
  raw = {**setting, "groups": [dataclasses.asdict(group) for group in groups]}
  out.with_name(out.name + ".json").write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
  text = step_report.markdown(groups, setting)
  out.with_name(out.name + ".md").write_text(text, encoding="utf-8")
  step_report.draw(
    groups,
    out.with_name(out.name + ".png"),
    cores=len(setting["cores"]),
    title=f"Training steps, {setting['machine']}",
  )
  print(text)


def _needs(groups: Mapping[str, Sequence[Contestant]], part: str) -> bool:
  return any(part in c.key for contestants in groups.values() for c in contestants)
