"""Where and when a measurement was made."""

from __future__ import annotations

import datetime
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from typing import Any

from tools.benchmarks.contestant import ROOT

_CPUINFO = pathlib.Path("/proc/cpuinfo")


def describe() -> dict[str, Any]:
  """The command, the date, the revision and the machine, as JSON has them."""
  return {
    "command": command(),
    "date": datetime.date.today().isoformat(),
    "revision": revision(),
    "machine": machine(),
    "load": round(os.getloadavg()[0], 1),
  }


def command() -> str:
  """The command line of this process, as it was typed from the checkout's root."""
  return shlex.join(["python", "-m", "tools.benchmark", *sys.argv[1:]])


def machine() -> str:
  """Its processors, memory, system and Python, in a line."""
  memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
  return (
    f"{os.cpu_count()} x {processor()}, {memory:.0f} GiB, {platform.system()} "
    f"{platform.release().partition('-')[0]}, Python {platform.python_version()}"
  )


def processor() -> str:
  """The processor's model, or its architecture where the system does not say.

  With a word on AVX-512, for a rented machine's model may be no more than its maker's name.
  """
  try:
    lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
  except OSError:
    return platform.machine()
  fields = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
  name = fields.get("model name", platform.machine())
  return f"{name} with AVX-512" if "avx512f" in fields.get("flags", "").split() else name


def revision() -> str:
  """What git calls the checkout's state, such as `1a2b3c4-dirty`; "unknown" without git."""
  try:
    result = subprocess.run(
      ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
  except OSError:
    return "unknown"
  return result.stdout.strip() or "unknown"
