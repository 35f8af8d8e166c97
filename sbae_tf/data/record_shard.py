"""One record file and its index: where its records begin, their labels and names.

The index lies beside the shard as `NAME.index.npz`, so that a collection of any size opens without
reading it, and writers that work at the same time need not wait for each other.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import threading
import types
import zipfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from sbae_tf.data import record_manifest as manifest_lib
from sbae_tf.data import source as source_lib

_EXTENSION = ".tfrecord"
# A record is its length (8 bytes), that one's checksum (4), the data and its checksum (4).
HEADER_BYTES, FOOTER_BYTES = 12, 4
# NumPy reads an array's header by `ast.parse`, which before CPython 3.11.8 and 3.12.2 fails in
# threads: "AST constructor recursion depth mismatch".
_ONE_AT_A_TIME = threading.Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class ShardIndex:
  """What is in a record file.

  Attributes:
    offsets: (N,) int64, where each record begins, in bytes.
    labels: (N,) int32, -1 for none.
    name_lengths: (N,) int32, in bytes.
    joined_names: all names as UTF-8, one after the other.
  """

  offsets: np.ndarray
  labels: np.ndarray
  name_lengths: np.ndarray
  joined_names: bytes

  def names(self) -> Iterator[bytes]:
    """The N names, UTF-8."""
    ends = np.cumsum(self.name_lengths, dtype=np.int64).tolist()
    for start, end in zip(itertools.chain([0], ends), ends):
      yield self.joined_names[start:end]


def index_file(file: str) -> str:
  """The name of a shard's index: `a.index.npz` for `a.tfrecord`.

  Raises:
    ValueError: the shard's name does not end in `.tfrecord`.
  """
  if not file.endswith(_EXTENSION):
    raise ValueError(f"Expected a name that ends in {_EXTENSION}. Received: {file}")
  return file[: -len(_EXTENSION)] + ".index.npz"


def read_index(path: str) -> ShardIndex:
  """Reads the index of a shard.

  Args:
    path: the shard's.

  Returns:
    Its index.

  Raises:
    ValueError: there is none, or it is damaged.
  """
  file = index_file(path)
  try:
    with tf.io.gfile.GFile(file, "rb") as opened:
      content = io.BytesIO(opened.read())
    with _ONE_AT_A_TIME, np.load(content) as arrays:
      index = ShardIndex(
        offsets=arrays["offsets"],
        labels=arrays["labels"],
        name_lengths=arrays["name_lengths"],
        joined_names=arrays["names"].tobytes(),
      )
  except tf.errors.OpError as error:
    raise ValueError(f"Cannot read {file}: {source_lib.first_line(error)}") from error
  except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
    raise ValueError(f"{file} is no index of records: {error}. Write the records again.") from error
  if not len(index.offsets) == len(index.labels) == len(index.name_lengths):
    raise ValueError(f"{file} is no index of records: its parts have different lengths.")
  return index


class ShardWriter:
  """Writes a record file and its index; a context manager.

  Both appear under their names when the block ends, whole; where it ends with an exception neither
  does. May be written by several at once, as frameworks that repeat slow work do: the last one's
  stays.

  Example:
    with ShardWriter(folder, "train-00000-of-00002.tfrecord") as writer:
      writer.add(encoded, name="cat/1.jpg", label=0, class_name="cat")
    manifest = Manifest(shards=(writer.shard,), class_names=("cat",))

  Attributes:
    shard: the manifest's entry, once the block has ended.
    size: the file's bytes so far, for a writer that starts a new shard at some size.
  """

  shard: manifest_lib.Shard
  size: int

  def __init__(self, folder: str, file: str) -> None:
    """Opens the file.

    Args:
      folder: it exists; any that TensorFlow writes to.
      file: the shard's name, ending in `.tfrecord`.

    Raises:
      ValueError: the name ends otherwise.
    """
    index_file(file)
    self._file, self._path = file, tf.io.gfile.join(folder, file)
    self._part = manifest_lib.part_of(self._path)
    self._writer = tf.io.TFRecordWriter(self._part)
    self._offsets: list[int] = []
    self._labels: list[int] = []
    self._names: list[bytes] = []
    self.size = 0

  def add(
    self,
    encoded: bytes,
    *,
    name: str,
    label: int = -1,
    class_name: str = "",
    image_format: str = "",
  ) -> None:
    """Adds an image.

    Args:
      encoded: the whole file: JPEG, PNG or any other format.
      name: which image it is, the same wherever the collection lies: its path below the root.
        Decides whether the image is held out.
      label: its class, -1 for none.
      class_name: for readers of the records that have no manifest.
      image_format: such as `JPEG`, for other readers; empty: not said.
    """
    values = {manifest_lib.IMAGE_KEY: encoded, manifest_lib.NAME_KEY: name.encode()}
    if class_name:
      values[manifest_lib.TEXT_KEY] = class_name.encode()
    if image_format:
      values[manifest_lib.FORMAT_KEY] = image_format.encode()
    example = tf.train.Example()
    for key, value in values.items():
      example.features.feature[key].bytes_list.value.append(value)
    if label >= 0:
      example.features.feature[manifest_lib.LABEL_KEY].int64_list.value.append(label)
    record = example.SerializeToString(deterministic=True)
    self._writer.write(record)
    self._offsets.append(self.size)
    self._labels.append(label)
    self._names.append(name.encode())
    self.size += HEADER_BYTES + len(record) + FOOTER_BYTES

  def __len__(self) -> int:
    return len(self._offsets)

  def __enter__(self) -> ShardWriter:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: types.TracebackType | None,
  ) -> None:
    self._writer.close()
    if error is not None:
      tf.io.gfile.remove(self._part)
      return
    self.shard = manifest_lib.Shard(
      file=self._file,
      images=len(self),
      bytes=self.size,
      sha256=manifest_lib.sha256_of(self._part),
    )
    arrays = io.BytesIO()
    np.savez_compressed(
      arrays,
      offsets=np.array(self._offsets, np.int64),
      labels=np.array(self._labels, np.int32),
      name_lengths=np.fromiter(map(len, self._names), np.int32, len(self)),
      names=np.frombuffer(b"".join(self._names), np.uint8),
    )
    manifest_lib.replace(index_file(self._path), arrays.getvalue())
    tf.io.gfile.rename(self._part, self._path, overwrite=True)
