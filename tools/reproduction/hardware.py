"""What a measurement ran on."""

from __future__ import annotations

import collections
import functools
import importlib.metadata
import os
import subprocess

from tools.benchmarks import machine

_PACKAGES = ("tensorflow", "numpy", "scikit-learn")


@functools.cache
def accelerators() -> tuple[str, ...]:
  """The names of the GPUs that the driver shows, each as often as it is there."""
  command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
  try:
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
  except (OSError, subprocess.TimeoutExpired):
    return ()
  return tuple(result.stdout.splitlines()) if result.returncode == 0 else ()


def hardware() -> str:
  """Processors and accelerators, what decides how many steps fit into a minute."""
  counts = collections.Counter(accelerators())
  gpus = (f"{count} x {name}" for name, count in counts.items())
  return ", ".join([f"{os.cpu_count()} x {machine.processor()}", *gpus])


def description() -> str:
  """The whole machine in a line."""
  counts = collections.Counter(accelerators())
  return ", ".join([machine.machine(), *(f"{n} x {name}" for name, n in counts.items())])


def versions() -> dict[str, str]:
  """Of what decides the numbers."""
  return {name: importlib.metadata.version(name) for name in _PACKAGES}
