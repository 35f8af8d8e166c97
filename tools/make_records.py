"""Writes images from anywhere as TFRecords, which train faster than files, near and far.

  python -m tools.make_records --data=FOLDER --out=RECORDS
  python -m sbae_tf.pretrain --data=RECORDS

On all cores of this machine. The same command goes on where a run was stopped or killed; what it
writes depends on the images, the flags and the seed alone. Images are checked: each is decoded, and
what cannot be is left out and listed in RECORDS/skipped.tsv.

It is an Apache Beam pipeline (pip install '.[beam]'), and all flags of Beam's are taken, too:

  --direct_num_workers=4             so many processes on this machine
  --runner=FlinkRunner --flink_master=HOST:PORT
  --runner=SparkRunner --spark_master_url=spark://HOST:PORT
  --runner=DataflowRunner --project=PROJECT --region=REGION --temp_location=gs://BUCKET/temp

Workers on other machines need sbae_tf installed, and reach --data and --out under the same names.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sbae_tf import command_line, runtime
from sbae_tf.command_line import USAGE_ERROR, Parser, UsageError

if TYPE_CHECKING:
  from sbae_tf.data.record_manifest import Manifest

_INTERRUPTED = 130
_QUALITY = 95


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
  """The tool's own flags, and the rest, which are Beam's."""
  parser = Parser(
    prog="python -m tools.make_records",
    description=__doc__,
    usage="%(prog)s --data=SPEC --out=FOLDER [flags] [Beam's flags]",
  )
  add = parser.add_argument
  add(
    "--data",
    required=True,
    metavar="SPEC",
    help="as sbae_tf.pretrain takes it: a folder, glob, list.txt of paths, zip or tar, TFRecords, "
    "or tfds:NAME[:SPLIT]; several with ';' between them",
  )
  add("--out", required=True, metavar="FOLDER", help="a new folder, also gs://BUCKET/FOLDER")
  add("--shards", type=int, help="how many record files; default: by --shard_mb")
  add(
    "--shard_mb",
    type=float,
    default=100.0,
    help="size of a record file in millions of bytes, about and at most; there are 16 files or "
    "more, where each then has 64 images; default: 100",
  )
  add(
    "--shorter_side",
    type=int,
    metavar="PIXELS",
    help="write every image as an upright JPEG, reduced where its shorter side is longer; default: "
    "the bytes as they are",
  )
  add("--quality", type=int, help="of those JPEGs, 1 to 100; default: 95")
  add("--seed", type=int, default=0, help="decides which image lies where; default: 0")
  command_line.add_photograph_flags(parser)
  flags, rest = parser.parse_known_args(arguments)
  _check(flags)
  return flags, rest


def _check(flags: argparse.Namespace) -> None:
  """Raises `UsageError` where a value is out of its range."""
  command_line.check(flags)
  for name in ("shards", "shard_mb", "shorter_side"):
    value = getattr(flags, name)
    if value is not None and not value > 0:
      raise UsageError(f"Expected --{name} above 0. Received: {value}")
  if not 0 <= flags.seed < 2**32:
    raise UsageError(f"Expected --seed from 0 to {2**32 - 1}. Received: {flags.seed}")
  if flags.quality is not None and flags.shorter_side is None:
    raise UsageError("Expected --shorter_side with --quality: without it the bytes stay.")
  if flags.quality is not None and not 1 <= flags.quality <= 100:
    raise UsageError(f"Expected --quality from 1 to 100. Received: {flags.quality}")


def _import_beam() -> None:
  # Beam logs at import that what only Google's services need is missing.
  logging.getLogger().addHandler(logging.NullHandler())
  try:
    runtime.import_quietly("apache_beam")
  except ImportError as error:
    raise UsageError("Apache Beam is missing. Install it: pip install '.[beam]'") from error


def _make_records(flags: argparse.Namespace, rest: Sequence[str]) -> None:
  """Plans the records, has them written, and lists them."""
  from sbae_tf.data import record_manifest
  from tools.records import runner
  from tools.records.folder import Folder
  from tools.records.image import Form
  from tools.records.plan import make_plan, open_source
  from tools.records.watcher import Watcher

  options = runner.parse_options(rest)
  out = os.path.expanduser(flags.out)
  folder = Folder(out if "://" in out else os.path.abspath(out))
  folder.check_is_ours()
  source = open_source(flags.data, labels=True)
  print(source.description, file=sys.stderr)
  form = Form(
    max_pixels=flags.max_pixels,
    shorter_side=flags.shorter_side,
    quality=flags.shorter_side and (flags.quality or _QUALITY),
  )
  plan = make_plan(
    flags.data, source, form, shards=flags.shards, shard_mb=flags.shard_mb, seed=flags.seed
  )
  folder.begin(plan, source.labels)
  if folder.is_finished():
    folder.clean()  # In case that it was killed in between.
  else:
    shown = runner.is_direct(options)
    with Watcher(folder, plan, max_skipped=flags.max_skipped, shown=shown):
      runner.run(options, folder.path, shards=plan.shards)
    folder.finish(plan, source=source.description, max_skipped=flags.max_skipped)
  print(_summary(record_manifest.read(folder.path), folder.path))


def _summary(manifest: Manifest, folder: str) -> str:
  """What is there, and the command to train from it."""
  size = sum(shard.bytes for shard in manifest.shards)
  skipped = ", ".join(f"{count:,} {reason}" for reason, count in sorted(manifest.skipped.items()))
  lines = [
    f"{manifest.images:,} images in {len(manifest.shards):,} record files, {size / 1e6:,.1f} MB: "
    f"{folder}"
  ]
  if skipped:
    lines.append(f"Left out: {skipped}; listed in {folder}/skipped.tsv")
  return "\n".join([*lines, f"Train:  python -m sbae_tf.pretrain --data={shlex.quote(folder)}"])


def main(arguments: Sequence[str]) -> int:
  """Runs the command line.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status: 0, or 2 after a mistake, said in one line.
  """
  try:
    flags, rest = _parse(arguments)
    _import_beam()
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # The workers', too: they need no GPU.
    runtime.silence_tensorflow_logs()
    runtime.start_tensorflow()
    import tensorflow as tf

    from sbae_tf.data.source import first_line
    from tools.records.plan import RecordsError

    try:
      _make_records(flags, rest)
    except RecordsError as error:
      raise UsageError(str(error)) from error
    except tf.errors.OpError as error:
      raise UsageError(f"Cannot write to --out={flags.out}: {first_line(error)}") from error
  except UsageError as error:
    print(f"make_records: {' '.join(str(error).split())}", file=sys.stderr)
    return USAGE_ERROR
  except KeyboardInterrupt:
    print("make_records: Interrupted. The same command goes on.", file=sys.stderr)
    return _INTERRUPTED
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
