"""A contestant: nothing but reading files and decoding them, one thread on one core. The limit.

Crops are drawn and headers read before the start. There is no resize, no flip and no batch.

    whole    the whole image (simplejpeg)
    scaled   the whole image, reduced while decoding (simplejpeg)
    sliced   the same, and the crop copied out of it by NumPy (simplejpeg)
    cropped  reduced, and no more rows and columns than the crop's (TensorFlow's op)

simplejpeg has libjpeg-turbo 3 inside. It cannot decode a region, and neither can PyTurboJPEG: what
libjpeg-turbo has for that, `tj3SetCroppingRegion`, they do not bind. TensorFlow's op does it with
the library's `jpeg_crop_scanline` and `jpeg_skip_scanlines`, and reduces as well.
"""

from __future__ import annotations

import argparse
import collections
import functools
import itertools
import pathlib
import random
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from PIL import Image

from tools.benchmarks import crops, protocol

_CUTS = 4096  # At least so many are drawn; then the same again.


def plan(files: Sequence[str], *, seed: int) -> list[crops.Cut]:
  """Draws crops, in a random order of the files, each as often as any other.

  Args:
    files: JPEG files.
    seed: another for each process.
  """
  sizes = {}
  for path in files:
    with Image.open(path) as image:  # Reads the header only.
      sizes[path] = image.size
  generator = random.Random(seed)
  cuts: list[crops.Cut] = []
  while len(cuts) < _CUTS:
    for path in generator.sample(files, len(files)):
      width, height = sizes[path]
      cuts.append(crops.plan_cut(path, height, width, generator))
  return cuts


def simplejpeg_batches(cuts: Sequence[crops.Cut], decode: str) -> Iterator[int]:
  """Decodes with simplejpeg and yields the number of images, a batch's at a time.

  Args:
    cuts: what to decode, again and again.
    decode: `"whole"`, `"scaled"` or `"sliced"`.
  """
  import simplejpeg  # Here: TensorFlow's environment need not have it.

  # A new array for every image would cost page faults, which a loop need not have.
  buffer = np.empty(max(cut.height * cut.width for cut in cuts) * 3, np.uint8)
  for number, cut in enumerate(itertools.cycle(cuts), 1):
    with open(cut.path, "rb") as file:
      encoded = file.read()
    reduction = 1 if decode == "whole" else cut.reduction
    image = simplejpeg.decode_jpeg(
      encoded,
      fastdct=True,
      fastupsample=True,
      # It takes the largest reduction that leaves as much, and libjpeg-turbo rounds up.
      min_height=-(-cut.height // reduction),
      min_width=-(-cut.width // reduction),
      buffer=buffer,
    )
    if decode == "sliced":
      top, left, height, width = cut.box
      image = image[top : top + height, left : left + width].copy()
    if number % crops.BATCH_SIZE == 0:
      yield crops.BATCH_SIZE


def tensorflow_batches(cuts: Sequence[crops.Cut]) -> Iterator[int]:
  """Decodes the crops alone with TensorFlow, one after another.

  As the package decodes: with the exact DCT and interpolated colors, which are slower than what
  simplejpeg is asked for. The loop is a map of `tf.data` on the calling thread: eagerly, each image
  would cost the way from Python into three operations.

  Args:
    cuts: what to decode, again and again.
  """
  from sbae_tf import runtime  # Here: PyTorch's environment has neither.

  runtime.silence_tensorflow_logs()
  runtime.import_quietly("tensorflow")
  import tensorflow as tf

  from sbae_tf.data.decode import DCT
  from sbae_tf.data.inline_map import inline_map

  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  paths, boxes = tf.constant([cut.path for cut in cuts]), tf.constant([cut.box for cut in cuts])

  def decode(ratio: int, number: tf.Tensor) -> tf.Tensor:
    return tf.size(
      tf.raw_ops.DecodeAndCropJpeg(
        contents=tf.io.read_file(tf.gather(paths, number)),
        crop_window=tf.gather(boxes, number),
        channels=3,
        ratio=ratio,
        dct_method=DCT,
      )
    )

  # Without a choice of the ratio in the graph, and without a change of thread for every image.
  which = np.array([cut.reduction for cut in cuts], np.int64)
  ratios, order = np.unique(which, return_inverse=True)
  datasets = [
    inline_map(
      tf.data.Dataset.from_tensor_slices(np.flatnonzero(which == ratio)).repeat(),
      functools.partial(decode, int(ratio)),
    )
    for ratio in ratios
  ]
  dataset = tf.data.Dataset.choose_from_datasets(
    datasets, tf.data.Dataset.from_tensor_slices(order.astype(np.int64)).repeat()
  )
  options = tf.data.Options()
  options.autotune.enabled = False
  options.experimental_optimization.apply_default_optimizations = False
  options.threading.private_threadpool_size = 1
  options.threading.max_intra_op_parallelism = 1
  for sizes in dataset.batch(crops.BATCH_SIZE).with_options(options):
    yield int(sizes.shape[0])


def reductions(cuts: Sequence[crops.Cut]) -> str:
  """Says how often the images are reduced by how much."""
  counts = collections.Counter(cut.reduction for cut in cuts)
  parts = [f"1/{k} for {counts[k] / len(cuts):.0%}" for k in sorted(counts)]
  return f"side reduced to {', '.join(parts)}"


def main() -> None:
  """Runs the contestant."""
  replies = protocol.claim_stdout()
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
  parser.add_argument("folder", type=pathlib.Path)
  parser.add_argument("--decode", choices=("whole", "scaled", "sliced", "cropped"), required=True)
  parser.add_argument("--number", type=int, required=True, help="of the process, from 0")
  arguments = parser.parse_args()
  cuts = plan(crops.jpeg_files(arguments.folder), seed=arguments.number)
  if arguments.decode == "cropped":
    batches, library = tensorflow_batches(cuts), "tensorflow"
  else:
    batches, library = simplejpeg_batches(cuts, arguments.decode), "simplejpeg"
  about: dict[str, Any] = {"versions": {library: metadata.version(library)}}
  if arguments.decode != "whole":
    about["detail"] = reductions(cuts)
  protocol.serve(batches, replies, about=about)


if __name__ == "__main__":
  main()
