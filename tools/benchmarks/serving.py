"""What an exported encoder takes to serve: latency and throughput by batch, of each signature.

In a process that has TensorFlow and not this package, one request after another. Writes OUT.md and
OUT.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata, util
from typing import TYPE_CHECKING, Any

from tools.benchmarks import machine

if TYPE_CHECKING:
  from sbae_tf.config import PretrainConfig

SUMMARY = "latency and throughput of exported encoders"

_PRESETS = "simplenet_lab,resnet18_lab"
_BATCHES = "1,8,64"
_PROCESS = pathlib.Path(__file__).with_name("serving_process.py")


@dataclasses.dataclass(frozen=True)
class Result:
  """What was measured of one signature at one batch size.

  Attributes:
    model: the preset's name.
    signature: its name.
    batch: photographs a request.
    seconds: each request's, one tuple a round.
  """

  model: str
  signature: str
  batch: int
  seconds: tuple[tuple[float, ...], ...]

  @property
  def requests(self) -> list[float]:
    """The seconds of all requests, the shortest first."""
    return sorted(s for turn in self.seconds for s in turn)

  @property
  def rates(self) -> list[float]:
    """Photographs a second, one a round."""
    return [self.batch * len(turn) / sum(turn) for turn in self.seconds]


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the subcommand's arguments."""
  add = parser.add_argument
  add("--presets", default=_PRESETS, help=f"default: {_PRESETS}; with fresh weights")
  add("--batches", default=_BATCHES, help=f"photographs a request; default: {_BATCHES}")
  add("--photos", type=pathlib.Path, help="folder of JPEG files; default: two of scikit-learn's")
  add("--rounds", type=int, default=5, help="default: 5")
  add("--seconds", type=float, default=2.0, help="of each line in each round; default: 2")
  add(
    "--out", type=pathlib.Path, default=pathlib.Path("tools/results/serving"), help="without suffix"
  )


def run(arguments: argparse.Namespace) -> None:
  """Measures and writes.

  Args:
    arguments: those of `add_arguments`.

  Raises:
    ValueError: an argument is wrong.
    RuntimeError: the process that serves failed.
  """
  from sbae_tf import presets, runtime

  if arguments.rounds < 1 or arguments.seconds <= 0:
    raise ValueError(
      "Expected --rounds of 1 or more and --seconds above 0. "
      f"Received: {arguments.rounds} and {arguments.seconds:g}."
    )
  batches = parse_batches(arguments.batches)
  names = [name.strip() for name in arguments.presets.split(",")]
  configs = {name: presets.preset(name) for name in names}
  files = photographs(arguments.photos, count=max(batches))
  setting = {**machine.describe(), "rounds": arguments.rounds, "seconds": arguments.seconds}
  setting["photographs"] = describe(files)
  setting["versions"] = {"tensorflow": metadata.version("tensorflow")}
  runtime.silence_tensorflow_logs()
  runtime.start_tensorflow()
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    prepare(folder, configs, files)
    results = measure(folder, names, batches, rounds=arguments.rounds, seconds=arguments.seconds)
  out = arguments.out
  out.parent.mkdir(parents=True, exist_ok=True)
  raw = json.dumps({**setting, "results": [dataclasses.asdict(r) for r in results]}, indent=2)
  out.with_name(out.name + ".json").write_text(raw + "\n", encoding="utf-8")
  text = markdown(results, setting)
  out.with_name(out.name + ".md").write_text(text, encoding="utf-8")
  print(text)


def parse_batches(text: str) -> list[int]:
  """Reads `--batches`.

  Raises:
    ValueError: it is no list of numbers above 0.
  """
  try:
    batches = [int(part) for part in text.split(",")]
  except ValueError:
    batches = []
  if not batches or min(batches) < 1:
    raise ValueError(f"Expected --batches of numbers above 0, such as {_BATCHES}. Received: {text}")
  return batches


def photographs(folder: pathlib.Path | None, *, count: int) -> list[bytes]:
  """Reads JPEG files.

  Args:
    folder: where they lie, in sub-folders too; None: those that scikit-learn brings along.
    count: how many; fewer files take turns.

  Raises:
    ValueError: there is no JPEG file.
  """
  if folder is None:
    spec = util.find_spec("sklearn")
    if spec is None or spec.origin is None:
      raise ValueError("The photographs need scikit-learn: pip install scikit-learn, or --photos.")
    folder = pathlib.Path(spec.origin).parent / "datasets" / "images"
  paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
  if not paths:
    raise ValueError(f"Expected --photos to be a folder of JPEG files. There is none in {folder}.")
  files = [path.read_bytes() for path in paths[:count]]
  return [files[i % len(files)] for i in range(count)]


def describe(files: Sequence[bytes]) -> str:
  """How large they are, in a line."""
  import io

  from PIL import Image

  sizes = [Image.open(io.BytesIO(file)).size for file in files]
  width, height = (statistics.median(size[axis] for size in sizes) for axis in (0, 1))
  kilobytes = statistics.median(len(file) for file in files) / 1000
  return (
    f"{len(set(files))} photographs, of {width:g} x {height:g} and {kilobytes:.0f} kB (medians)"
  )


def prepare(
  folder: pathlib.Path, configs: Mapping[str, PretrainConfig], files: Sequence[bytes]
) -> None:
  """Writes what the process reads.

  Args:
    folder: gets a SavedModel a configuration, the photographs as it takes them, and the files.
    configs: by the SavedModel's name; their weights are fresh.
    files: JPEG files.
  """
  import numpy as np

  from sbae_tf.encoded_images import decode_central
  from sbae_tf.encoder import Encoder
  from sbae_tf.export import export_encoder

  for name, config in configs.items():
    print(f"Exporting {name} ...", flush=True)
    export_encoder(Encoder(config), folder / name)
    data = config.data
    images = decode_central(files, image_size=data.image_size, max_pixels=data.max_pixels)
    np.save(folder / f"{name}.npy", images.numpy())
  for i, file in enumerate(files):
    (folder / f"{i:04d}.jpg").write_bytes(file)


def measure(
  folder: pathlib.Path,
  models: Sequence[str],
  batches: Sequence[int],
  *,
  rounds: int,
  seconds: float,
) -> list[Result]:
  """Lets the process serve.

  Args:
    folder: what `prepare` wrote.
    models: the names.
    batches: photographs a request.
    rounds: how many; every second one goes backwards.
    seconds: of each model, signature and batch in each round.

  Raises:
    RuntimeError: the process failed.
  """
  command = [sys.executable, str(_PROCESS), str(folder), ",".join(models)]
  command += [",".join(map(str, batches)), str(rounds), str(seconds)]
  done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
  if done.returncode:
    raise RuntimeError("The process that serves failed. It may have said why above.")
  return [
    Result(**{**entry, "seconds": tuple(map(tuple, entry["seconds"]))})
    for entry in json.loads(done.stdout)
  ]


def markdown(results: Sequence[Result], setting: Mapping[str, Any]) -> str:
  """Tells a run.

  Args:
    results: what was measured.
    setting: how: `command`, `date`, `revision`, `machine`, `load`, `versions`, `rounds`,
      `seconds` and `photographs`.
  """
  versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
  lines = [
    "# Serving: latency and throughput of exported encoders",
    "",
    f"`{setting['command']}`, {setting['date']}, sbae_tf {setting['revision']}.",
    f"{setting['machine']}. {versions}. Load before the start: {setting['load']} processes.",
    "",
    "A process with TensorFlow and without this package calls the signatures of a SavedModel, one "
    "request after another, from arrays to `embedding` as an array; no network is in between. "
    "`serving_default` takes uint8 photographs of the size that the preset trains on, `from_bytes` "
    f"the same photographs as files: {setting['photographs']}. {setting['rounds']} rounds of about "
    f"{setting['seconds']:g} s each, in turn. Latency is over all requests; throughput is the "
    "median round, and the lowest and highest.",
    "",
    "| model | signature | batch | latency, ms: median | p95 | images/s | lowest to highest | "
    "requests |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
  ]
  for result in results:
    requests, rates = result.requests, result.rates
    lines.append(
      f"| {result.model} | `{result.signature}` | {result.batch} | "
      f"{_milliseconds(statistics.median(requests))} | {_milliseconds(percentile(requests, 95))} | "
      f"{_rate(statistics.median(rates))} | {_rate(min(rates))} to {_rate(max(rates))} | "
      f"{len(requests):,} |"
    )
  return "\n".join(lines) + "\n"


def percentile(values: Sequence[float], percent: float) -> float:
  """The least of some sorted values that so many percent of them do not exceed."""
  place = -(-len(values) * percent // 100)  # Rounded up.
  return values[max(0, int(place) - 1)]


def _milliseconds(seconds: float) -> str:
  return f"{1e3 * seconds:,.1f}"


def _rate(rate: float) -> str:
  return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
