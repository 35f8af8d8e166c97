"""Colorizes photographs, gray ones or in color, of any size.

  python -m sbae_tf.colorize --workdir=runs/mine --data=FOLDER --out=COLORED

COLORED/colorized then holds every photograph in color, under its own name, sub-folders too. The
network looks at a small copy; the color that it predicts is enlarged and joined with the
photograph's own lightness at full resolution. Where originals have color, metrics.tsv and
metrics.json tell how far the result is from it: PSNR of sRGB in dB, RMSE in the plane of Lab's a
and b in their units, both also of the photographs without color. grid.png shows the first few.
Photographs that cannot be read are left out and named in skipped.tsv.

SIGTERM or SIGINT (Ctrl-C) ends the run after the photograph in progress, a second one at once.
However it ended, the same command goes on with the photographs that are not there.
Exit status: 0 all is there; 1 it cannot go on: a full disk, or a fault; 2 a mistake in flags,
photographs, run or folder, told in one line; 130, 143 SIGINT, SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sbae_tf import command_line
from sbae_tf.command_line import UsageError
from sbae_tf.interrupts import Interrupts

if TYPE_CHECKING:
  from sbae_tf.colorization.colorized_folder import ColorizedFolder
  from sbae_tf.colorizer import Colorizer
  from sbae_tf.model import PretrainModel

_DECODE = ("annealed_mean", "mean", "mode")
_QUALITY = 95


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
    command_line.start_tensorflow(interrupts, "sbae_tf.colorization.runner")
    _colorize(flags, interrupts)

  return command_line.run("colorize", command)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
  parser = command_line.Parser(
    prog="python -m sbae_tf.colorize",
    description=__doc__,
    usage="%(prog)s --workdir=RUN --data=SPEC --out=FOLDER [flags]",
  )
  _add_flags(parser)
  flags = parser.parse_args(arguments)
  command_line.check(flags, "image_size")
  if flags.temperature is not None:
    if flags.decode not in (None, "annealed_mean"):
      raise UsageError("--temperature is one of --decode=annealed_mean")
    if not 0 < flags.temperature <= 1:
      raise UsageError(f"Expected --temperature above 0, at most 1. Received: {flags.temperature}")
  if flags.quality is not None and flags.format != "jpeg":
    raise UsageError("--quality is one of --format=jpeg")
  if flags.quality is not None and not 1 <= flags.quality <= 100:
    raise UsageError(f"Expected --quality from 1 to 100. Received: {flags.quality}")
  if flags.grid < 0:
    raise UsageError(f"Expected --grid of 0 or more. Received: {flags.grid}")
  return flags


def _add_flags(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add(
    "--workdir",
    required=True,
    metavar="RUN",
    help="the folder of a run of sbae_tf.pretrain with a branch that predicts color from "
    "lightness, such as L->ab",
  )
  add("--checkpoint", choices=("best", "newest"), default="best", help="default: %(default)s")
  add(
    "--data",
    required=True,
    metavar="SPEC",
    help="as sbae_tf.pretrain takes it: a folder, glob, list.txt of paths, zip or tar, TFRecords, "
    "or tfds:NAME[:SPLIT]; several with ';' between them",
  )
  add("--out", required=True, metavar="FOLDER", help="a new folder, or one to go on with")
  add(
    "--decode",
    choices=_DECODE,
    help="what color is made of the scores of bins; a run that predicts by regression gives colors "
    "and has no such choice; default: annealed_mean",
  )
  add(
    "--temperature",
    type=float,
    metavar="T",
    help="of the annealed mean: 1 is the mean, and near 0 the mode, more colorful and less even; "
    "default: that of the run, 0.38 unless it was told otherwise",
  )
  add(
    "--image_size",
    type=int,
    metavar="PIXELS",
    help="of the shorter side of the copy that the network looks at; both sides go to the nearest "
    "multiple of its stride; default: that of the training",
  )
  add("--format", choices=("png", "jpeg"), default="png", help="default: %(default)s")
  add("--quality", type=int, help=f"of jpeg, 1 to 100; default: {_QUALITY}")
  add("--grid", type=int, default=8, metavar="N", help="rows of grid.png; default: %(default)s")
  command_line.add_photograph_flags(parser)


def _colorize(flags: argparse.Namespace, interrupts: Interrupts) -> None:
  """Writes what is not there yet, and tells what is."""
  from sbae_tf import trained
  from sbae_tf.colorization import runner
  from sbae_tf.colorization.colorized_folder import ColorizedFolder
  from sbae_tf.colorization.file_names import file_names
  from sbae_tf.colorization.photograph_colorizer import PhotographColorizer
  from sbae_tf.data.sources import open_source

  workdir = os.path.expanduser(flags.workdir)
  source = open_source(flags.data)
  print(source.description, file=sys.stderr)
  model, provenance = trained.load_model(workdir, checkpoint=flags.checkpoint)
  colorizer = PhotographColorizer(_colorizer(flags, model), image_size=flags.image_size)
  form = runner.FORMS[flags.format](flags.quality or _QUALITY)
  folder = ColorizedFolder(flags.out)
  settings = runner.describe(source, colorizer, form, data=flags.data, max_pixels=flags.max_pixels)
  about = {
    "workdir": os.path.abspath(workdir),
    "checkpoint": flags.checkpoint,
    "step": provenance.steps,
    "source": source.description,
  }
  with folder.locked():
    folder.begin(file_names(source, form.extension), settings=settings, about=about)
    interrupts.hold()
    metrics = runner.colorize(
      source,
      colorizer,
      folder,
      form,
      max_pixels=flags.max_pixels,
      max_skipped=flags.max_skipped,
      check=interrupts.check,
    )
    if flags.grid:
      runner.write_grid(source, colorizer, folder, rows=flags.grid, max_pixels=flags.max_pixels)
    interrupts.release()
  print(_summary(folder, metrics, grid=bool(flags.grid)))


def _colorizer(flags: argparse.Namespace, model: PretrainModel) -> Colorizer:
  from sbae_tf.colorizer import Colorizer

  temperature = {"mean": 1.0, "mode": 0.0}.get(flags.decode, flags.temperature)
  colorizer = Colorizer(model, temperature=temperature)
  if flags.decode and colorizer.temperature is None:
    raise UsageError(
      f"--decode={flags.decode} is of scores of bins: the run predicts colors by regression"
    )
  return colorizer


def _summary(folder: ColorizedFolder, metrics: Mapping[str, Any], *, grid: bool) -> str:
  """What is there, and how right it is."""
  gray = metrics["gray_originals"]
  lines = [
    f"{metrics['colorized']:,} photographs in color"
    + (f", of which {gray:,} were gray" if gray else "")
    + f": {folder.photographs}"
  ]
  if metrics["psnr_db"] is not None:
    for title, values in (("colorized", metrics), ("without color", metrics["without_color"])):
      lines.append(
        f"{title:<15}PSNR {values['psnr_db']:.2f} dB, RMSE of ab {values['rmse_ab']:.2f}, over "
        f"all pixels {values['rmse_ab_all_pixels']:.2f}"
      )
  left_out = sum(metrics["skipped"].values())
  if left_out:
    lines.append(f"Left out: {left_out:,}; listed in {folder.skipped}")
  if grid:
    lines.append(f"Look at them:  {folder.grid}")
  return "\n".join(lines)


if __name__ == "__main__":
  command_line.leave(main(sys.argv[1:]))
