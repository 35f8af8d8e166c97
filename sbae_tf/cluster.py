"""Which worker of a cluster this process is, as its environment says. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

_EXAMPLE = (
  'TF_CONFIG=\'{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
  '"task": {"type": "worker", "index": 0}}\''
)


@dataclasses.dataclass(frozen=True)
class Worker:
  """This process among the workers.

  Attributes:
    index: its number; 0 is the chief, the one that writes.
    count: of all workers.
  """

  index: int
  count: int

  @property
  def is_chief(self) -> bool:
    """Whether this worker writes the run's folder."""
    return self.index == 0

  def __str__(self) -> str:
    """Such as `worker 0 of 2, chief`."""
    return f"worker {self.index} of {self.count}{', chief' if self.is_chief else ''}"


ALONE = Worker(0, 1)


def is_slurm(environ: Mapping[str, str] = os.environ) -> bool:
  """Whether the workers are the tasks of a SLURM step: where there is no `TF_CONFIG`."""
  return not environ.get("TF_CONFIG") and "SLURM_PROCID" in environ


def this_worker(environ: Mapping[str, str] = os.environ) -> Worker:
  """Reads `TF_CONFIG`, or where that is not set SLURM's variables.

  Args:
    environ: the environment's variables.

  Returns:
    The worker that this process is.

  Raises:
    ValueError: there is no description of a cluster, or it is wrong; names the variable.
  """
  if is_slurm(environ):
    names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    try:
      index, count = (int(environ[name]) for name in names)
    except (KeyError, ValueError):
      raise ValueError(
        "Expected SLURM_PROCID and SLURM_STEP_NUM_TASKS, which srun sets. Start the workers by "
        f"srun, or set {_EXAMPLE}."
      ) from None
    return Worker(index, count)
  text = environ.get("TF_CONFIG")
  if not text:
    raise ValueError(
      "Expected with --strategy=multi_worker_mirrored the workers' addresses in the environment of "
      f"each: {_EXAMPLE}; or a start by srun."
    )
  try:
    config = json.loads(text)
    jobs, task = config["cluster"], config["task"]
    workers = [*_tasks(jobs, "chief"), *_tasks(jobs, "worker")]
    kind, index = task["type"], int(task["index"])
    index += len(_tasks(jobs, "chief")) if kind == "worker" else 0
    if kind not in ("chief", "worker") or not 0 <= index < len(workers):
      raise ValueError(f"there is no task {task['index']} of type '{kind}'")
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ValueError(
      f"Expected TF_CONFIG of the form {_EXAMPLE} ({type(error).__name__}: {error}). "
      f"Received: {text}"
    ) from error
  return Worker(index, len(workers))


def _tasks(jobs: Mapping[str, Any], job: str) -> list[str]:
  tasks = jobs.get(job, [])
  if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
    raise ValueError(f"'{job}' is no list of addresses")
  return tasks
