"""The held-out losses of a run, told by its metrics."""

from __future__ import annotations

import json
import pathlib

from sbae_tf.run_folder import RunFolder

_PREFIX = "heldout/"


def read(run: str | pathlib.Path) -> dict[str, float]:
  """Reads the newest held-out losses.

  Args:
    run: the run's folder.

  Returns:
    Each branch's name and `total` to its loss.

  Raises:
    ValueError: the file cannot be read, or has none.
  """
  file = RunFolder(run).metrics
  try:
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
  except (OSError, ValueError) as error:
    raise ValueError(f"Cannot read {file}: {error}.") from error
  found = [line for line in lines if f"{_PREFIX}total" in line]
  if not found:
    raise ValueError(f"{file} has no held-out loss: the run has not ended.")
  return {
    name[len(_PREFIX) :]: value for name, value in found[-1].items() if name.startswith(_PREFIX)
  }
