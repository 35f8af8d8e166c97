"""Writes embeddings of photographs: what an encoder makes of each.

  python -m sbae_tf.embed --encoder=runs/mine/encoder --data=FOLDER --out=EMBEDDINGS

EMBEDDINGS then holds a shard for every 8,192 photographs, in their order, such as
embeddings-00000-of-00012.npy with names-00000-of-00012.txt, or both in Parquet or TFRecord; and
manifest.json, which tells how they were made. Photographs that cannot be read are left out and
named in skipped.tsv.

SIGTERM or SIGINT (Ctrl-C) ends the run after the batch in progress, a second one at once. However
it ended, the same command goes on with the first shard that is not there.
Exit status: 0 all is there; 1 it cannot go on: a full disk, a feature that is not finite, or a
fault; 2 a mistake in flags, photographs, encoder or folder, told in one line; 130, 143 SIGINT,
SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from sbae_tf import runtime
from sbae_tf.config import DataConfig
from sbae_tf.failures import RunError
from sbae_tf.interrupts import Interrupted, Interrupts

if TYPE_CHECKING:
  from sbae_tf.embedding_folder import EmbeddingFolder

_CANNOT_GO_ON = 1
_USAGE_ERROR = 2


class _UsageError(Exception):
  """A user's mistake; the message is a line for the user."""


class _Parser(argparse.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    raise _UsageError(f"{message[:1].upper()}{message[1:]}. See --help")


def main(arguments: Sequence[str]) -> int:
  """Runs the command line.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status: 0; 1 where the run cannot go on and 2 after a user's mistake, both said in one
    line; 128 and the signal's number after SIGINT or SIGTERM.
  """
  try:
    with Interrupts() as interrupts:
      flags = _parse(arguments)
      interrupts.hold()  # An import that is cut short may fail in other ways than it was asked to.
      runtime.silence_tensorflow_logs()
      runtime.start_tensorflow()
      from sbae_tf import embedder  # noqa: F401 - here, for it imports TensorFlow.

      interrupts.release()
      _embed(flags, interrupts)
  except _UsageError as error:
    return _end(str(error), _USAGE_ERROR)
  except RunError as error:
    return _end(str(error), _CANNOT_GO_ON)
  except Interrupted as interrupted:
    return _end(f"Interrupted by {interrupted}. The same command goes on.", interrupted.status)
  return 0


def _end(message: str, status: int) -> int:
  print(f"embed: {' '.join(message.split())}", file=sys.stderr)
  return status


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
  parser = _Parser(
    prog="python -m sbae_tf.embed",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    usage="%(prog)s --encoder=SAVED_MODEL --data=SPEC --out=FOLDER [flags]",
    allow_abbrev=False,
  )
  add = parser.add_argument
  add(
    "--encoder",
    required=True,
    metavar="SAVED_MODEL",
    help="its folder; of this package, or any other that takes uint8 photographs (B, H, W, 3) and "
    "returns features by name",
  )
  add(
    "--data",
    required=True,
    metavar="SPEC",
    help="as sbae_tf.pretrain takes it: a folder, glob, list.txt of paths, zip or tar, TFRecords, "
    "or tfds:NAME[:SPLIT]; several with ';' between them",
  )
  add(
    "--beside",
    metavar="PATTERN",
    help="where the bands lie that the encoder takes beside photographs; default: as in training",
  )
  add("--out", required=True, metavar="FOLDER", help="a new folder, or one to go on with")
  add(
    "--features",
    default="embedding",
    help="of the SavedModel, with ',' between several, such as embedding,conv3; of maps the mean "
    "over their pixels is taken; default: %(default)s",
  )
  add("--maps", action="store_true", help="whole maps, not their means")
  add(
    "--signature",
    default="serving_default",
    help="of the SavedModel, such as L for one tower; default: %(default)s",
  )
  add(
    "--image_size",
    type=int,
    metavar="PIXELS",
    help="side of the photographs, their central squares; default: as the SavedModel says",
  )
  add("--dtype", choices=("float32", "float16"), default="float32", help="default: %(default)s")
  add(
    "--format",
    choices=("npy", "parquet", "tfrecord"),
    default="npy",
    help="default: %(default)s; parquet needs pyarrow: pip install '.[parquet]'",
  )
  add("--labels", action="store_true", help="keep labels, too")
  add("--batch_size", type=int, default=256, help="default: %(default)s")
  add("--shard_size", type=int, default=8192, help="photographs of a shard; default: %(default)s")
  defaults = DataConfig()
  add(
    "--max_pixels",
    type=int,
    default=defaults.max_pixels,
    help="leave out photographs of more pixels; default: %(default)s",
  )
  add(
    "--max_skipped",
    type=float,
    default=defaults.max_skipped,
    help="end where more than this part of the photographs is left out; default: %(default)s",
  )
  flags = parser.parse_args(arguments)
  for name in ("image_size", "batch_size", "shard_size", "max_pixels"):
    value = getattr(flags, name)
    if value is not None and value < 1:
      raise _UsageError(f"Expected --{name} of 1 or more. Received: {value}")
  if not 0.0 <= flags.max_skipped <= 1.0:
    raise _UsageError(f"Expected --max_skipped from 0 to 1. Received: {flags.max_skipped}")
  return flags


def _embed(flags: argparse.Namespace, interrupts: Interrupts) -> None:
  """Writes what is not there yet, and tells what is."""
  from sbae_tf import embedder, embedding_formats
  from sbae_tf.data.skipped import TooManySkippedError
  from sbae_tf.data.sources import open_source
  from sbae_tf.embedding_folder import EmbeddingFolder
  from sbae_tf.embedding_manifest import FolderError
  from sbae_tf.feature_extractor import FeatureExtractor
  from sbae_tf.pairing import beside_of_saved_model

  encoder = os.path.expanduser(flags.encoder)
  encoder = encoder if "://" in encoder else os.path.abspath(encoder)
  folder = EmbeddingFolder(flags.out)
  try:
    beside = beside_of_saved_model(encoder, pattern=flags.beside)
    extractor = FeatureExtractor(
      encoder,
      features=[name for name in flags.features.split(",") if name],
      maps=flags.maps,
      dtype=flags.dtype,
      signature=flags.signature,
      image_size=flags.image_size,
      planes=3 if beside is None else 3 + beside.planes,
    )
    source = open_source(flags.data, labels=flags.labels, beside=beside)
    print(source.description, file=sys.stderr)
    manifest = embedder.describe(
      source,
      extractor,
      data=flags.data,
      labels=flags.labels,
      max_pixels=flags.max_pixels,
      format=flags.format,
      shard_size=flags.shard_size,
    )
    embedding_formats.FORMATS[flags.format].check(manifest.settings.layout)
  except ValueError as error:
    raise _UsageError(str(error)) from error
  with contextlib.ExitStack() as stack:
    try:
      stack.enter_context(folder.locked())
      folder.begin(manifest)
      interrupts.hold()
      embedder.embed(
        source,
        extractor,
        folder,
        batch_size=flags.batch_size,
        max_skipped=flags.max_skipped,
        check=interrupts.check,
      )
      interrupts.release()
    except (FolderError, TooManySkippedError) as error:
      raise _UsageError(str(error)) from error
  print(_summary(folder))


def _summary(folder: EmbeddingFolder) -> str:
  """What is there, and how to look at it."""
  manifest = folder.manifest
  settings = manifest.settings
  size = sum(sum(shard.bytes) for shard in manifest.shards)
  features = ", ".join(
    f"{name} {' x '.join(map(str, shape))}" for name, shape in settings.features.items()
  )
  lines = [
    f"{manifest.embeddings:,} embeddings ({features}; {settings.dtype}) in {settings.shards:,} "
    f"{settings.format} shards, {size / 1e6:,.1f} MB: {folder.path}"
  ]
  if manifest.skipped:
    lines.append(f"Left out: {len(manifest.skipped):,}; listed in {folder.skipped}")
  out = shlex.quote(str(folder.path))
  lines.append(
    f"Look at them:  python -m tools.neighbors --embeddings={out} --query=PHOTOGRAPH --out=grid.png"
  )
  return "\n".join(lines)


if __name__ == "__main__":
  exit_status = main(sys.argv[1:])
  if exit_status:  # TensorFlow's own end may take seconds.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_status)
  sys.exit(exit_status)
