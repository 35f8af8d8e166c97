"""Calls SavedModels' signatures and tells how long each call took: a process of `serving`.

  python serving_process.py FOLDER MODEL,MODEL BATCH,BATCH ROUNDS SECONDS

FOLDER holds the SavedModels, of each its photographs as MODEL.npy, (B, H, W, 3) uint8, and the same
as JPEG files. Has TensorFlow and refuses this package. Writes a JSON
list of an object a model, signature and batch: `model`, `signature`, `batch`, and `seconds`, a list
of each request's a round.
"""

from __future__ import annotations

import importlib.abc
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Before TensorFlow is imported.
if __name__ == "__main__":
  sys.path.pop(0)  # This folder: its modules have names that others may have as well.

import numpy as np
import tensorflow as tf

_WARM_CALLS = 3  # The first ones optimize the graph and reserve memory.
_LEAST_CALLS = 4  # In a round, however slow.


class NotHere(importlib.abc.MetaPathFinder):
  """Refuses the package: what is measured is the SavedModel alone."""

  def find_spec(self, name: str, path: object = None, target: object = None) -> None:
    """Raises for the package and its modules; of others others know."""
    if name.partition(".")[0] == "sbae_tf":
      raise ImportError(f"{name} is not to be used here")


def measure(
  calls: Sequence[Callable[[], object]],
  *,
  rounds: int,
  seconds: float,
  clock: Callable[[], float] = time.perf_counter,
) -> list[list[list[float]]]:
  """Times functions in turn, round after round, call by call.

  Args:
    calls: what to time.
    rounds: how many; every second one goes backwards.
    seconds: of each function in each round, at least.
    clock: tells seconds.

  Returns:
    By function and round, the seconds of each call.
  """
  for call in calls:
    for _ in range(_WARM_CALLS):
      call()
  taken: list[list[list[float]]] = [[] for _ in calls]
  for number in range(rounds):
    places = range(len(calls))
    for place in places if number % 2 == 0 else reversed(places):
      turn: list[float] = []
      while len(turn) < _LEAST_CALLS or sum(turn) < seconds:
        start = clock()
        calls[place]()
        turn.append(clock() - start)
      taken[place].append(turn)
    print(f"Round {number + 1} of {rounds}", file=sys.stderr, flush=True)
  return taken


def requests(
  folder: pathlib.Path, models: Sequence[str], batches: Sequence[int]
) -> dict[tuple[str, str, int], Callable[[], np.ndarray]]:
  """Makes what to time.

  Args:
    folder: holds the SavedModels, their photographs as arrays, and the JPEG files.
    models: the SavedModels' names.
    batches: photographs a request; no more than there are files.

  Returns:
    By model, signature and batch a function that makes a request and waits for the embeddings.
  """
  files = np.array([path.read_bytes() for path in sorted(folder.glob("*.jpg"))], object)
  made = {}
  for model in models:
    loaded = tf.saved_model.load(str(folder / model))
    given = {
      "serving_default": ("images", np.load(folder / f"{model}.npy")),
      "from_bytes": ("encoded", files),
    }
    for signature, (name, values) in given.items():
      for batch in batches:
        made[model, signature, batch] = _request(loaded, signature, {name: values[:batch]})
  return made


def _request(
  loaded: Any, signature: str, values: dict[str, np.ndarray]
) -> Callable[[], np.ndarray]:
  # By `loaded` at each call: its variables live as long as it does.
  return lambda: loaded.signatures[signature](
    **{name: tf.constant(value) for name, value in values.items()}
  )["embedding"].numpy()


def main() -> None:
  """Runs the command line."""
  sys.meta_path.insert(0, NotHere())
  folder, models, batches, rounds, seconds = sys.argv[1:]
  made = requests(pathlib.Path(folder), models.split(","), [int(b) for b in batches.split(",")])
  taken = measure(list(made.values()), rounds=int(rounds), seconds=float(seconds))
  results = [
    {"model": model, "signature": signature, "batch": batch, "seconds": seconds_by_round}
    for (model, signature, batch), seconds_by_round in zip(made, taken)
  ]
  print(json.dumps(results))


if __name__ == "__main__":
  main()
