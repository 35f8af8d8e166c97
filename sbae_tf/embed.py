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
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sbae_tf import command_line
from sbae_tf.interrupts import Interrupts

if TYPE_CHECKING:
  from sbae_tf.embedding_folder import EmbeddingFolder


def main(arguments: Sequence[str]) -> int:
  """Runs the command line.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status: 0; 1 where the run cannot go on and 2 after a user's mistake, both said in one
    line; 128 and the signal's number after SIGINT or SIGTERM.
  """

  def command(interrupts: Interrupts) -> None:
    flags = _parse(arguments)
    command_line.start_tensorflow(interrupts, "sbae_tf.embedder")
    _embed(flags, interrupts)

  return command_line.run("embed", command)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
  parser = command_line.Parser(
    prog="python -m sbae_tf.embed",
    description=__doc__,
    usage="%(prog)s --encoder=SAVED_MODEL --data=SPEC --out=FOLDER [flags]",
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
  command_line.add_photograph_flags(parser)
  flags = parser.parse_args(arguments)
  command_line.check(flags, "image_size", "batch_size", "shard_size")
  return flags


def _embed(flags: argparse.Namespace, interrupts: Interrupts) -> None:
  """Writes what is not there yet, and tells what is."""
  from sbae_tf import embedder, embedding_formats
  from sbae_tf.data.sources import open_source
  from sbae_tf.embedding_folder import EmbeddingFolder
  from sbae_tf.feature_extractor import FeatureExtractor
  from sbae_tf.pairing import beside_of_saved_model

  encoder = os.path.expanduser(flags.encoder)
  encoder = encoder if "://" in encoder else os.path.abspath(encoder)
  folder = EmbeddingFolder(flags.out)
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
  with folder.locked():
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
  command_line.leave(main(sys.argv[1:]))
