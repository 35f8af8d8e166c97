"""A tiny version of everything: to try the machinery, not to measure."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import pathlib
from collections.abc import Mapping

from tools.reproduction.cells import CALTECH, DATASETS, IMAGENETTE, Places
from tools.reproduction.methods import OURS, RANDOM

# By name; few choices, epochs and draws.
PROTOCOLS: Mapping[str, str] = {
  "linear_probe": "linear_probe",
  "finetune": "finetune(epochs=1)",
  "few_shot": "few_shot(labels='1,2', draws=1, steps=3)",
}

_CLASSES = 3
_COUNTS = {"train": 16, "test": 6}  # Photographs of each class.
_SMALL = (
  "--backbone.width=0.25 --image_size=32 --batch_size=8 --steps=3 --data.heldout_limit=8 "
  "--panel_images=2"
)
_MINUTES = (0.0, 0.02)
_TABLES = (1, 2, 3, 4)  # Of photographs with classes, of which there is a subset.

# One cell of each kind; others differ in a few flags alone.
_CELLS = (
  *(
    f"{IMAGENETTE}/{name}"
    for name in (OURS, f"{OURS}_*min", RANDOM, "l_to_ab", "denoising_*", "simclr")
  ),
  f"{CALTECH}/{RANDOM}",
)


def shrink(flags: argparse.Namespace) -> None:
  """Makes the flags of the command line those of a tiny version."""
  flags.change = [*flags.change, f"*: {_SMALL}"]
  flags.seeds = flags.seeds[:1]
  flags.tables = [table for table in flags.tables if table in _TABLES]
  flags.minutes = _MINUTES
  flags.calibration_steps = 10
  flags.denoising = flags.denoising.split(",")[0]
  if flags.only is None:
    flags.only = ",".join(_CELLS)
  if flags.out is None and flags.runs is not None:
    flags.out = flags.runs / "results"  # Not among results that tell something.


def subset(places: Places) -> Places:
  """The same with lists of a few photographs of a few classes, in the folder of the runs."""
  return dataclasses.replace(
    places,
    train={name: _few(places.train[name], places.runs, name, "train") for name in DATASETS},
    test={name: _few(places.test[name], places.runs, name, "test") for name in DATASETS},
  )


def _few(path: str, runs: str, dataset: str, part: str) -> str:
  """Writes a list of photographs with their classes; gives its path."""
  folders = sorted(folder for folder in pathlib.Path(path).glob("*") if folder.is_dir())
  lines = [
    f"{photograph}\t{folder.name}\n"
    for folder in folders[:_CLASSES]
    for photograph in itertools.islice(sorted(folder.iterdir()), _COUNTS[part])
  ]
  file = pathlib.Path(runs, f"{dataset}_{part}.txt")
  file.parent.mkdir(parents=True, exist_ok=True)
  file.write_text("".join(lines), encoding="utf-8")
  return str(file)
