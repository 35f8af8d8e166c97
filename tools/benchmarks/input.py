"""Images a second and core: this package's pipeline, PyTorch's DataLoader, bare decoding.

All in one run, in turn and on the same processors. Writes OUT.md, OUT.png and OUT.json.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import pathlib
import sys
from collections.abc import Sequence

from tools.benchmarks import crops, machine, report, torch_environment
from tools.benchmarks.contestant import Contestant, Running
from tools.benchmarks.results import Collection, Measurement

SUMMARY = "images/s of the input pipeline, PyTorch's DataLoader, and bare decoding"
_COLLECTIONS = ("photos", "small")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the subcommand's arguments."""
  add = parser.add_argument
  add("--photos", type=pathlib.Path, help="folder of photographs of usual size, JPEG")
  add("--small", type=pathlib.Path, help="folder of JPEG files of about 96 x 96")
  add("--photos_records", default="", help="the same photographs as TFRecord, as --data takes it")
  add("--small_records", default="", help="the same small files as TFRecord, as --data takes it")
  add("--seconds", type=float, default=5.0, help="of each contestant in each round; default: 5")
  add("--rounds", type=int, default=7, help="default: 7")
  add("--cores", type=int, default=0, help="logical processors to use; default: all")
  add("--contestants", default="", help="keys, with commas between them; default: all")
  add("--torch_python", type=pathlib.Path, help="an interpreter with PyTorch; default: made once")
  add(
    "--out", type=pathlib.Path, default=pathlib.Path("tools/results/input"), help="without suffix"
  )


def run(arguments: argparse.Namespace) -> None:
  """Measures and writes.

  Args:
    arguments: those of `add_arguments`.

  Raises:
    ValueError: an argument is wrong.
    RuntimeError: a contestant failed.
  """
  cores = check(arguments)
  folders = {name: getattr(arguments, name) for name in _COLLECTIONS if getattr(arguments, name)}
  files = {name: crops.jpeg_files(folder) for name, folder in folders.items()}
  setting = machine.describe()
  torch_python = arguments.torch_python or torch_environment.python()
  collections = []
  for name, folder in folders.items():
    _read_once(files[name])
    contestants = lineup(
      folder.resolve(),
      records=getattr(arguments, f"{name}_records"),
      torch_python=torch_python,
      cores=len(cores),
    )
    measurements = measure(
      _chosen(contestants, arguments.contestants),
      cores=cores,
      rounds=arguments.rounds,
      seconds=arguments.seconds,
    )
    collections.append(Collection(name, str(folder), len(files[name]), tuple(measurements)))
  versions = {
    package: version
    for collection in collections
    for measurement in collection.measurements
    for package, version in measurement.about.get("versions", {}).items()
  }
  setting.update(versions=versions, cores=cores, rounds=arguments.rounds, seconds=arguments.seconds)
  write(collections, setting, arguments.out)


def check(arguments: argparse.Namespace) -> list[int]:
  """Checks the arguments before any work.

  Args:
    arguments: those of `add_arguments`.

  Returns:
    The logical processors to use.

  Raises:
    ValueError: an argument is wrong.
  """
  folders = [folder for folder in (arguments.photos, arguments.small) if folder]
  if not folders:
    raise ValueError("Expected --photos=FOLDER, --small=FOLDER or both.")
  for folder in folders:
    if not folder.is_dir():
      raise ValueError(f"No such folder: {folder}")
  if arguments.seconds <= 0 or arguments.rounds < 1:
    raise ValueError(
      "Expected --seconds above 0 and --rounds of 1 or more. "
      f"Received: {arguments.seconds:g} and {arguments.rounds}."
    )
  available = sorted(os.sched_getaffinity(0))
  if not 0 <= arguments.cores <= len(available):
    raise ValueError(f"Expected --cores from 1 to {len(available)}. Received: {arguments.cores}.")
  if arguments.torch_python and not os.access(arguments.torch_python, os.X_OK):
    raise ValueError(f"--torch_python={arguments.torch_python} is no program.")
  _chosen(lineup(pathlib.Path(), records="x", torch_python="", cores=1), arguments.contestants)
  if importlib.util.find_spec("matplotlib") is None:  # Not after minutes of measuring.
    raise ValueError("The plot needs matplotlib: pip install matplotlib")
  return available[: arguments.cores or None]


def lineup(
  folder: pathlib.Path, *, records: str, torch_python: pathlib.Path | str, cores: int
) -> list[Contestant]:
  """The contestants on a collection.

  Args:
    folder: of JPEG files.
    records: the same images as TFRecord, as `--data` takes it; empty: leaves that one out.
    torch_python: the interpreter of the environment with PyTorch and simplejpeg.
    cores: how many processors they will have.
  """
  own = (sys.executable, "-m")
  pipeline = (*own, "tools.benchmarks.pipeline_loader")
  torch = (str(torch_python), "-m", "tools.benchmarks.torch_loader", str(folder))
  bare = ("-m", "tools.benchmarks.bare_decode", str(folder))
  contestants = [
    Contestant(
      "sbae_tf_files", "sbae_tf, files", "this package's pipeline", (*pipeline, str(folder))
    )
  ]
  if records:
    contestants.append(
      Contestant(
        "sbae_tf_records",
        "sbae_tf, TFRecord",
        "this package's pipeline; reads shards in place of files",
        (*pipeline, records, "--records"),
      )
    )
  for decoder, title, what in (
    ("pillow", "DataLoader, Pillow", "PyTorch's DataLoader with torchvision's transforms v2"),
    ("opencv", "DataLoader, OpenCV", "PyTorch's DataLoader with OpenCV"),
  ):
    loader = (*torch, f"--decoder={decoder}", f"--cores={cores}")
    contestants.append(Contestant(f"torch_{decoder}", title, what, loader))
  for decode, title, what in (
    ("whole", "bare (a): whole", "decodes the whole image; simplejpeg"),
    ("scaled", "bare (b): reduced", "the whole image, reduced while decoding; simplejpeg"),
    (
      "sliced",
      "bare (c): reduced, sliced",
      "as (b), then NumPy copies the crop: no binding of libjpeg-turbo decodes a region",
    ),
    (
      "cropped",
      "bare (c): reduced, cropped",
      "decodes the crop alone, reduced; `tf.image.decode_and_crop_jpeg`, one thread",
    ),
  ):
    interpreter = sys.executable if decode == "cropped" else str(torch_python)
    loop = (interpreter, *bare, f"--decode={decode}")
    contestants.append(Contestant(f"bare_{decode}", title, what, loop, one_a_core=True))
  return contestants


def measure(
  contestants: Sequence[Contestant], *, cores: Sequence[int], rounds: int, seconds: float
) -> list[Measurement]:
  """Lets the contestants run in turn, round after round.

  Args:
    contestants: all are started, one after another, before the first round.
    cores: the logical processors to use.
    rounds: how many; every second one goes backwards.
    seconds: of each contestant in each round.

  Returns:
    What was measured, in the order of `contestants`.

  Raises:
    RuntimeError: a contestant failed.
  """
  with contextlib.ExitStack() as stack:
    running = []
    for contestant in contestants:
      print(f"Starting {contestant.title} ...", flush=True)
      running.append(stack.enter_context(Running(contestant, cores=cores)))
    measured: dict[str, list[tuple[float, float]]] = {c.key: [] for c in contestants}
    for number in range(rounds):
      for entry in running if number % 2 == 0 else reversed(running):
        rate, busy = entry.go(seconds)
        measured[entry.contestant.key].append((rate, busy))
        print(
          f"Round {number + 1} of {rounds}: {entry.contestant.title} {rate:,.0f}, {busy:.0%} busy",
          flush=True,
        )
    return [
      Measurement(
        c.key,
        c.title,
        c.what,
        rates=tuple(rate for rate, _ in measured[c.key]),
        busy=tuple(busy for _, busy in measured[c.key]),
        about=entry.about,
      )
      for c, entry in zip(contestants, running)
    ]


def write(collections: Sequence[Collection], setting: dict[str, object], out: pathlib.Path) -> None:
  """Writes the table, the plot and the raw numbers, and prints the table.

  Args:
    collections: what was measured.
    setting: how, as `report.markdown` takes it.
    out: the files' path without suffix.
  """
  out.parent.mkdir(parents=True, exist_ok=True)
  raw = {**setting, "collections": [dataclasses.asdict(c) for c in collections]}
  out.with_name(out.name + ".json").write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
  text = report.markdown(collections, setting)
  out.with_name(out.name + ".md").write_text(text, encoding="utf-8")
  title = f"Input pipelines, {setting['machine']}"
  report.draw(collections, out.with_name(out.name + ".png"), title=title)
  print(text)


def _chosen(contestants: Sequence[Contestant], keys: str) -> list[Contestant]:
  if not keys:
    return list(contestants)
  wanted = {key.strip() for key in keys.split(",")}
  known = {contestant.key for contestant in contestants}
  if not wanted <= known:
    raise ValueError(f"Expected --contestants from {', '.join(sorted(known))}. Received: {keys}.")
  return [contestant for contestant in contestants if contestant.key in wanted]


def _read_once(files: Sequence[str]) -> None:
  """Brings the files into the page cache, from where all contestants read them."""
  for path in files:
    pathlib.Path(path).read_bytes()
