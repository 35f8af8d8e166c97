"""Records read by index in a TensorFlow graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Reader = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
  """Records of one file.

  Attributes:
    path: the file.
    offsets: (N,) int64, where each begins, in bytes.
    first: the number of the first of them in the file; the others follow it.
  """

  path: str
  offsets: np.ndarray
  first: int = 0


def build(shards: Sequence[Records], image_key: str) -> tuple[Reader, Reader, Reader]:
  """Makes `Source.read`, `Source.read_run` and `Source.is_run`.

  Every read opens its file anew, without a buffer, at the record's place: TensorFlow has no other
  op that reads a part of a file, and this one compares the checksums as well.

  Args:
    shards: one or more, none of them empty.
    image_key: the feature of each record that is returned.

  Returns:
    The functions from () int64 to () string, from (L,) int64 to (L,) string, and from (R, L) int64
    to (R,) bool.
  """
  with tf.device("cpu:0"):
    paths = tf.constant([shard.path for shard in shards])
    offsets = tf.constant(np.concatenate([shard.offsets for shard in shards]))
    counts = [len(shard.offsets) for shard in shards]
    # Four bytes an image: tf.searchsorted in the shards' ends took half a read's time.
    shard_of = tf.constant(np.repeat(np.arange(len(shards), dtype=np.int32), counts))
  features = {image_key: tf.io.FixedLenFeature([], tf.string)}

  def from_file(index: tf.Tensor) -> tf.Tensor:
    """A dataset variant: the records of a file from that at a () index on."""
    return tf.raw_ops.TFRecordDatasetV2(
      filenames=tf.gather(paths, tf.gather(shard_of, index))[tf.newaxis],
      compression_type="",
      buffer_size=tf.constant(0, tf.int64),
      byte_offsets=tf.gather(offsets, index)[tf.newaxis],
    )

  def read(index: tf.Tensor) -> tf.Tensor:
    dataset = _take(from_file(index), tf.constant(1, tf.int64))
    return tf.io.parse_single_example(_single(dataset, []), features)[image_key]

  def read_run(indices: tf.Tensor) -> tf.Tensor:
    count = tf.size(indices, tf.int64)
    dataset = tf.raw_ops.BatchDatasetV2(
      input_dataset=_take(from_file(indices[0]), count),
      batch_size=count,
      drop_remainder=tf.constant(False),
      output_types=[tf.string],
      output_shapes=[tf.TensorShape([None])],
    )
    encoded = tf.io.parse_example(_single(dataset, [None]), features)[image_key]
    return tf.ensure_shape(encoded, indices.shape)

  def is_run(indices: tf.Tensor) -> tf.Tensor:
    files = tf.gather(shard_of, indices)
    steps = indices - tf.range(tf.shape(indices, tf.int64)[-1])
    same = (steps == steps[..., :1]) & (files == files[..., :1])
    return tf.reduce_all(same, axis=-1)

  return read, read_run, is_run


def _take(dataset: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
  return tf.raw_ops.TakeDataset(
    input_dataset=dataset,
    count=count,
    output_types=[tf.string],
    output_shapes=[tf.TensorShape([])],
  )


def _single(dataset: tf.Tensor, shape: Sequence[int | None]) -> tf.Tensor:
  """The only element of a dataset variant of strings."""
  return tf.raw_ops.DatasetToSingleElement(
    dataset=dataset, output_types=[tf.string], output_shapes=[tf.TensorShape(shape)]
  )[0]
