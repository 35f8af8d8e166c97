"""Measures how often photographs have each bin of color, for class rebalancing.

  python -m tools.color_prior --data=FOLDER --out=prior.json
  python -m sbae_tf.pretrain --data=FOLDER --branches='a,b->L; L->a,b:TASK'

where TASK is classification(quantizer=gamut, prior="prior.json").

Counts the pixels of the maps that a branch predicts: the central square of each photograph, its
channels averaged over squares of --stride pixels, and the nearest bin of each mean. Photographs of
a mixture count once each, whatever its weights. Those that cannot be read are left out.

The file has the counts, the bins, and what was counted; there is all of it or nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import sbae_tf
from sbae_tf import plugins, runtime, validation
from sbae_tf.config import Branch, Component, DataConfig, PretrainConfig
from sbae_tf.run_folder import write_aside

if TYPE_CHECKING:
  from sbae_tf.data.source import Source
  from sbae_tf.quantize.bin_prior import BinPrior

_USAGE_ERROR = 2
_INTERRUPTED = 130
_BATCH = 64
_SECONDS = 5.0  # Between two lines of progress.


class _UsageError(Exception):
  """A user's mistake; the message is a line for the user."""


class _Parser(argparse.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    raise _UsageError(f"{message[:1].upper()}{message[1:]}. See --help")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
  defaults = DataConfig()
  parser = _Parser(
    prog="python -m tools.color_prior",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    usage="%(prog)s --data=SPEC --out=PRIOR.json [flags]",
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("--data", required=True, metavar="SPEC", help="as sbae_tf.pretrain takes it")
  add("--out", required=True, metavar="PRIOR.json", help="the file to write, or to replace")
  add("--limit", type=int, help="photographs, evenly over all; default: all")
  add("--quantizer", default="gamut", help="whose bins, such as 'uniform(bins=20)'; default: gamut")
  add("--color", default="lab", help="color space; default: lab")
  add("--channels", default="a,b", help="of it, that the bins are of; default: a,b")
  add(
    "--image_size",
    type=int,
    default=defaults.image_size,
    help="side of the photographs in training; default: %(default)s",
  )
  add("--stride", type=int, default=8, help="of the backbone; default: 8")
  for name, kind, what in (
    ("max_pixels", int, "leave out photographs of more pixels"),
    ("max_skipped", float, "end where more than this part of the photographs is left out"),
  ):
    add(
      f"--{name}", type=kind, default=getattr(defaults, name), help=f"{what}; default: %(default)s"
    )
  flags = parser.parse_args(arguments)
  _check(flags)
  return flags


def _check(flags: argparse.Namespace) -> None:
  """Raises `_UsageError` where a value is wrong, before anything is read."""
  for name in ("limit", "image_size", "stride", "max_pixels"):
    value = getattr(flags, name)
    if value is not None and value < 1:
      raise _UsageError(f"Expected --{name} of 1 or more. Received: {value}")
  if flags.image_size % flags.stride:
    raise _UsageError(
      f"Expected --image_size to be a multiple of --stride={flags.stride}. "
      f"Received: {flags.image_size}"
    )
  if not 0.0 <= flags.max_skipped <= 1.0:
    raise _UsageError(f"Expected --max_skipped from 0 to 1. Received: {flags.max_skipped}")
  out = pathlib.Path(flags.out).expanduser()
  if not os.access(out.absolute().parent, os.W_OK) or out.is_dir():
    raise _UsageError(f"Cannot write --out={flags.out}: expected a file in a folder that is there.")
  try:
    channels = tuple(name.strip() for name in flags.channels.split(",") if name.strip())
    flags.channels = ",".join(channels)
    task = Component("classification", {"quantizer": flags.quantizer})
    branches = (Branch(channels, channels, task),)
    validation.validate(PretrainConfig(color=Component.parse(flags.color), branches=branches))
  except ValueError as error:
    raise _UsageError(str(error)) from error


def measure(source: Source, flags: argparse.Namespace) -> BinPrior:
  """Counts the bins of photographs.

  Args:
    source: the photographs.
    flags: as the command line has them.

  Raises:
    ValueError: the bins depend on the image; or too many photographs cannot be read.
  """
  import numpy as np
  import tensorflow as tf

  from sbae_tf.quantize.bin_prior import BinPrior

  names = tuple(flags.channels.split(","))
  color, quantizer = (Component.parse(text) for text in (flags.color, flags.quantizer))
  space = plugins.find("color", color.name).build(**color.options)
  bins = plugins.find("quantizer", quantizer.name).build(space.select(names), **quantizer.options)
  centers = bins.shared_centers(len(names))

  @tf.function(autograph=False, reduce_retracing=True)
  def count(images: tf.Tensor) -> tf.Tensor:
    small = tf.nn.avg_pool2d(space.encode(images), flags.stride, flags.stride, "VALID")
    ids = tf.reshape(bins.encode(space.slice(small, names)), [-1])
    return tf.math.bincount(ids, minlength=bins.bins, maxlength=bins.bins)

  counts, photographs = np.zeros(bins.bins, np.int64), 0
  for images in _batches(source, flags):
    counts += count(images).numpy()
    photographs += len(images)
  if not photographs:
    raise ValueError(f"Expected photographs to count: none of {source.description} can be read.")
  provenance = _provenance(source, flags, photographs)
  return BinPrior(f"{quantizer} of {flags.channels}", centers, counts, provenance)


def _provenance(source: Source, flags: argparse.Namespace, photographs: int) -> dict[str, Any]:
  """What was counted, and how; without a date: the same photographs give the same file."""
  versions = {name: importlib.metadata.version(name) for name in ("tensorflow", "tensorflow-io")}
  return {
    "data": flags.data,
    "photographs": photographs,
    "of": source.description,
    **{name: getattr(flags, name) for name in "color channels quantizer image_size stride".split()},
    "versions": {"sbae_tf": sbae_tf.__version__, **versions},
  }


def _batches(source: Source, flags: argparse.Namespace) -> Iterator[Any]:
  """(B, S, S, 3) uint8 of all photographs that can be read; tells about the progress."""
  import tensorflow as tf

  from sbae_tf.data.pipeline import evaluation_dataset
  from sbae_tf.data.skipped import Skipped

  ledger = Skipped(len(source), limit=flags.max_skipped)
  batches = iter(
    evaluation_dataset(
      source,
      batch_size=_BATCH,
      image_size=flags.image_size,
      skipped=ledger,
      max_pixels=flags.max_pixels,
    )
  )
  start = told = time.monotonic()
  done = 0
  while True:
    try:
      batch = next(batches, None)
    except tf.errors.OpError:
      ledger.check()  # Of what TensorFlow has made another error.
      raise
    if batch is None:
      break
    yield batch["image"]
    done += len(batch["image"])
    if time.monotonic() - told >= _SECONDS:
      told = time.monotonic()
      _say(f"{done:,} of {len(source):,} photographs, {done / (told - start):,.0f}/s")
  if len(ledger):
    names = ", ".join(list(ledger.entries)[:10])
    _say(f"{ledger}: {names}{' and others' if len(ledger) > 10 else ''}")


def _say(text: str) -> None:
  print(text, file=sys.stderr, flush=True)


def _open(flags: argparse.Namespace) -> Source:
  import numpy as np

  from sbae_tf.data.sources import open_source

  source = dataclasses.replace(open_source(flags.data), shares=())
  if flags.limit is None or flags.limit >= len(source):
    return source
  indices = np.unique(np.linspace(0, len(source) - 1, flags.limit).astype(np.int64))
  return source.subset(indices, f"{len(indices):,} of {source.description}")


def _summary(prior: BinPrior, flags: argparse.Namespace) -> str:
  """What is there, and how to train with it."""
  first = prior.counts.argmax()
  place = ", ".join(f"{value:g}" for value in prior.centers[first])
  task = f'classification(quantizer={flags.quantizer}, prior="{flags.out}")'
  return (
    f"{prior.counts.sum():,} pixels of {prior.provenance['photographs']:,} photographs in "
    f"{len(prior.counts)} bins, {(prior.counts == 0).sum()} of them empty; "
    f"{prior.probabilities[first]:.1%} in the one at {place}: {flags.out}\n"
    f"Rebalance by it:  --branches='...->{flags.channels}:{task}; ...'"
  )


def main(arguments: Sequence[str]) -> int:
  """Runs the command line.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status: 0; 2 after a mistake, said in one line; 130 after Ctrl-C.
  """
  try:
    flags = _parse(arguments)
    runtime.silence_tensorflow_logs()
    runtime.start_tensorflow()
    try:
      source = _open(flags)
      _say(source.description)
      prior = measure(source, flags)
      write_aside(pathlib.Path(flags.out).expanduser().absolute(), prior.dumps().encode())
    except ValueError as error:  # The ledger of what cannot be read knows pretraining's flag.
      message = str(error).replace("--data.max_skipped", "--max_skipped")
      raise _UsageError(message) from error
    except OSError as error:
      raise _UsageError(f"Cannot write --out={flags.out}: {error.strerror}.") from error
    print(_summary(prior, flags))
  except _UsageError as error:
    print(f"color_prior: {' '.join(str(error).split())}", file=sys.stderr)
    return _USAGE_ERROR
  except KeyboardInterrupt:
    print("color_prior: Interrupted. Nothing was written.", file=sys.stderr)
    return _INTERRUPTED
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
