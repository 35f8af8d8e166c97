"""How long a run's steps took, told by its metrics."""

from __future__ import annotations

import dataclasses
import json
import pathlib

from sbae_tf.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class TrainingTime:
  """Of a run.

  Attributes:
    steps: that were trained.
    seconds: of these steps alone: no compilation, no held-out losses, no checkpoints.
    step_seconds: of a step, the mean; 0 where none was timed.
  """

  steps: int
  seconds: float
  step_seconds: float


def read(run: str | pathlib.Path) -> TrainingTime:
  """Reads a run's metrics.

  A process's first step compiles, and is taken to have lasted as long as the others. A run that was
  interrupted tells every step once.

  Args:
    run: the run's folder; of a run without a step, no metrics are there.

  Raises:
    ValueError: a file cannot be read.
  """
  folder = RunFolder(run)
  if not folder.metrics.exists():
    return TrainingTime(0, 0.0, 0.0)
  try:
    batch_size = json.loads(folder.config_file.read_text(encoding="utf-8"))["batch_size"]
    lines = [json.loads(line) for line in folder.metrics.read_text(encoding="utf-8").splitlines()]
  except (OSError, KeyError, ValueError) as error:
    raise ValueError(f"Cannot read what the run in {run} measured: {error}.") from error
  done, timed, seconds = 0, 0, 0.0
  for line in lines:
    if "loss/total" not in line:
      continue  # Held-out losses, and others.
    count, done = line["step"] - done, line["step"]
    if "images_per_second" in line:
      timed += count
      seconds += count * batch_size / line["images_per_second"]
  step_seconds = seconds / timed if timed else 0.0
  return TrainingTime(done, seconds + (done - timed) * step_seconds, step_seconds)
