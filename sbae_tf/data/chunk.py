"""Reads and decodes images that are loaded together."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sbae_tf.data.decode import CutFunction, decode
from sbae_tf.data.inline_map import inline_map
from sbae_tf.data.source import Source

_READS = 16  # At once, a chunk, where they wait for a network.

Chunk = dict[str, tf.Tensor]


def load_chunk(
  source: Source,
  position: tf.Tensor,
  index: tf.Tensor,
  cut: CutFunction,
  image_size: int,
  *,
  max_pixels: int,
) -> Chunk:
  """Reads and decodes a chunk of C images.

  Args:
    source: of the images.
    position: (C,) int64, theirs in the order.
    index: (C,) int64, theirs in the source.
    cut: what is cut out of each.
    image_size: S, the side of the images in pixels.
    max_pixels: an image with more is none that can be read.

  Returns:
    What `Mender.mend` takes: `position` and `index` as they came, `images` (C, S, S, planes) uint8,
    and `ok` (C,) bool, false where one could not be read, whose pixels tell nothing.
  """
  count = tf.size(index, tf.int64)
  if source.beside is not None:  # All by the mender.
    nothing = tf.zeros((count, image_size, image_size, source.planes), tf.uint8)
    return {"position": position, "index": index, "images": nothing, "ok": tf.zeros(count, tf.bool)}
  slots, encoded = _read(source, index)
  images, ok = decode(
    *(slots, encoded), count=count, image_size=image_size, max_pixels=max_pixels, cut=cut
  )
  return {"position": position, "index": index, "images": images, "ok": ok}


def _read(source: Source, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """The bytes (M,) of those of C images that can be read, and their slots (M,) int64."""
  count, length = tf.size(index, tf.int64), source.run_length
  slots = tf.range(count)
  read_run, is_run = source.read_run, source.is_run
  if read_run is None or is_run is None:
    return _each(source.read, slots, index, remote=source.remote)

  def runs(numbers: tf.Tensor) -> tf.Tensor:
    return tf.reshape(numbers, (-1, length))

  def together() -> tuple[tf.Tensor, tf.Tensor]:
    read, encoded = _each(read_run, runs(slots), runs(index), remote=source.remote)
    return tf.reshape(read, [-1]), tf.reshape(encoded, [-1])

  return tf.cond(
    tf.cond(
      count % length == 0, lambda: tf.reduce_all(is_run(runs(index))), lambda: tf.constant(False)
    ),
    together,
    lambda: _each(source.read, slots, index, remote=source.remote),
  )


def _each(
  read: Callable[[tf.Tensor], tf.Tensor], slots: tf.Tensor, index: tf.Tensor, *, remote: bool
) -> tuple[tf.Tensor, tf.Tensor]:
  """What `read` gives for the rows of `index` where it raises no error, and those of `slots`."""

  def one(slot: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return slot, read(index)

  rows = tf.data.Dataset.from_tensor_slices((slots, index))
  if remote:
    unconverted = tf.autograph.experimental.do_not_convert(one)
    rows = rows.map(unconverted, num_parallel_calls=_READS)
  else:
    rows = inline_map(rows, one)
  # Never empty, so that there always is a batch to take.
  last = tf.zeros_like(slots[0]), tf.fill(tf.shape(slots)[1:], "")
  rows = rows.ignore_errors().concatenate(tf.data.Dataset.from_tensors(last))
  done, encoded = rows.batch(tf.shape(slots, tf.int64)[0] + 1).get_single_element()
  return done[:-1], encoded[:-1]
