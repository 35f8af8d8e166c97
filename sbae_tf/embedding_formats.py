"""A shard of embeddings as files: NumPy arrays, Parquet or TFRecord.

All of them are written a batch at a time: memory holds no shard.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np
import tensorflow as tf

from sbae_tf.data.record_manifest import LABEL_KEY, NAME_KEY

_NAMES, _LABELS = "names", "labels"
_NAME_COLUMN, _LABEL_COLUMN = "name", "label"
_NPY_HEADER = 256  # Bytes; a multiple of 64, so that the numbers are aligned.
_ROW_GROUP = 64 << 20  # Bytes of a Parquet file that are compressed and read together.


@dataclasses.dataclass(frozen=True)
class Layout:
  """What shards hold.

  Attributes:
    shapes: of a photograph's features, by name.
    dtype: of all of them: "float32" or "float16".
    labels: whether labels are there.
  """

  shapes: Mapping[str, tuple[int, ...]]
  dtype: str
  labels: bool

  def stems(self) -> dict[str, str]:
    """How the `.npy` files of the features begin: `embeddings` of a feature that is alone."""
    if len(self.shapes) == 1:
      return dict.fromkeys(self.shapes, "embeddings")
    return {name: f"embeddings-{re.sub(r'[^A-Za-z0-9_.]', '_', name)}" for name in self.shapes}


@dataclasses.dataclass(frozen=True)
class Rows:
  """Photographs with their features.

  Attributes:
    names: N names.
    labels: (N,) int32, -1 for none; None where none are kept.
    features: (N, *shape) each, by name.
  """

  names: Sequence[str]
  labels: np.ndarray | None
  features: Mapping[str, np.ndarray]

  def __len__(self) -> int:
    return len(self.names)


class ShardWriter(Protocol):
  """Writes a shard's files.

  Attributes:
    files: their names, by what they hold.
  """

  files: Mapping[str, str]

  def write(self, rows: Rows) -> None:
    """Adds rows."""

  def close(self) -> None:
    """Ends the files; to be called also after an error."""


class Format(Protocol):
  """A kind of file."""

  def check(self, layout: Layout) -> None:
    """Raises `ValueError` where the format cannot hold what `layout` says, or lacks a package."""

  def open(self, folder: str, suffix: str, layout: Layout) -> ShardWriter:
    """Makes a shard's files.

    Args:
      folder: where.
      suffix: of their names, before the ending: `00000-of-00012`.
      layout: what they hold.
    """

  def read(
    self, folder: str, files: Mapping[str, str], layout: Layout, features: Sequence[str]
  ) -> Rows:
    """Reads a shard.

    Args:
      folder: where.
      files: as `ShardWriter.files` named them.
      layout: what they hold.
      features: which of them.
    """


class _Npy:
  """An array a feature, `names-*.txt` with a name a line, and an array of labels."""

  def check(self, layout: Layout) -> None:
    stems = layout.stems()
    if len(set(stems.values())) < len(stems):
      raise ValueError(
        f"Features {', '.join(stems)} would have files of the same name. Use --format=parquet."
      )

  def open(self, folder: str, suffix: str, layout: Layout) -> ShardWriter:
    return _NpyWriter(folder, suffix, layout)

  def read(
    self, folder: str, files: Mapping[str, str], layout: Layout, features: Sequence[str]
  ) -> Rows:
    with open(f"{folder}/{files[_NAMES]}", encoding="utf-8", newline="\n") as file:
      names = [line[:-1] for line in file]
    values = {name: np.load(f"{folder}/{files[f'feature {name}']}", "r") for name in features}
    labels = np.load(f"{folder}/{files[_LABELS]}") if layout.labels else None
    return Rows(names, labels, values)


class _NpyWriter:
  def __init__(self, folder: str, suffix: str, layout: Layout) -> None:
    files = {_NAMES: f"{_NAMES}-{suffix}.txt"}
    arrays: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, stem in layout.stems().items():
      files[f"feature {name}"] = f"{stem}-{suffix}.npy"
      arrays[f"feature {name}"] = (layout.shapes[name], layout.dtype)
    if layout.labels:
      files[_LABELS] = f"{_LABELS}-{suffix}.npy"
      arrays[_LABELS] = ((), "int32")
    self.files: Mapping[str, str] = files
    # Closed by `close`, which a `with` here could not do.
    self._names = open(f"{folder}/{self.files[_NAMES]}", "w", encoding="utf-8", newline="\n")  # noqa: SIM115
    self._arrays = {
      key: _NpyFile(f"{folder}/{self.files[key]}", shape, dtype)
      for key, (shape, dtype) in arrays.items()
    }

  def write(self, rows: Rows) -> None:
    self._names.writelines(f"{_one_line(name)}\n" for name in rows.names)
    for name, values in rows.features.items():
      self._arrays[f"feature {name}"].write(values)
    if rows.labels is not None:
      self._arrays[_LABELS].write(rows.labels)

  def close(self) -> None:
    self._names.close()
    for file in self._arrays.values():
      file.close()


class _NpyFile:
  """A `.npy` that grows. NumPy writes one at a time, of a length that is known before.

  Reference: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0.
  """

  def __init__(self, path: str, shape: tuple[int, ...], dtype: str) -> None:
    self._shape, self._dtype = shape, np.dtype(dtype).newbyteorder("<")
    self._count = 0
    self._file: BinaryIO = open(path, "wb")  # noqa: SIM115 - closed by `close`.
    self._write_header()

  def write(self, values: np.ndarray) -> None:
    self._file.write(np.ascontiguousarray(values, self._dtype).tobytes())
    self._count += len(values)

  def close(self) -> None:
    if not self._file.closed:
      self._file.seek(0)
      self._write_header()
      self._file.close()

  def _write_header(self) -> None:
    description = {
      "descr": self._dtype.str,
      "fortran_order": False,
      "shape": (self._count, *self._shape),
    }
    length = _NPY_HEADER - 10  # After the magic string, two bytes of version and two of length.
    text = repr(description).ljust(length - 1) + "\n"
    self._file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", length) + text.encode("latin1"))


class _Parquet:
  """A column a feature, lists of fixed size (tensors, where they are maps), `name` and `label`."""

  def check(self, layout: Layout) -> None:
    _check_columns(layout)
    _arrow("pyarrow.parquet")

  def open(self, folder: str, suffix: str, layout: Layout) -> ShardWriter:
    return _ParquetWriter(folder, suffix, layout)

  def read(
    self, folder: str, files: Mapping[str, str], layout: Layout, features: Sequence[str]
  ) -> Rows:
    columns = [_NAME_COLUMN, *([_LABEL_COLUMN] if layout.labels else []), *features]
    path = f"{folder}/{files['all']}"
    table = _arrow("pyarrow.parquet").ParquetFile(path).read(columns)
    values = {}
    for name in features:
      pieces = [getattr(piece, "storage", piece) for piece in table.column(name).chunks]
      # An empty one first: there may be no piece.
      arrays = [np.zeros(0, layout.dtype), *(piece.flatten().to_numpy() for piece in pieces)]
      values[name] = np.concatenate(arrays).reshape(-1, *layout.shapes[name])
    labels = table.column(_LABEL_COLUMN).to_numpy() if layout.labels else None
    return Rows(table.column(_NAME_COLUMN).to_pylist(), labels, values)


class _ParquetWriter:
  def __init__(self, folder: str, suffix: str, layout: Layout) -> None:
    arrow = self._arrow = _arrow("pyarrow")
    self.files: Mapping[str, str] = {"all": f"embeddings-{suffix}.parquet"}
    fields = [(_NAME_COLUMN, arrow.string())]
    if layout.labels:
      fields.append((_LABEL_COLUMN, arrow.int32()))
    number = arrow.from_numpy_dtype(np.dtype(layout.dtype))
    for name, shape in layout.shapes.items():
      one = arrow.list_(number, int(np.prod(shape)))
      fields.append((name, one if len(shape) == 1 else arrow.fixed_shape_tensor(number, shape)))
    self._schema = arrow.schema(fields)
    self._writer = _arrow("pyarrow.parquet").ParquetWriter(
      f"{folder}/{self.files['all']}",
      self._schema,
      use_dictionary=False,  # No two embeddings, and no two names, are the same.
    )
    self._pending: list[Any] = []

  def write(self, rows: Rows) -> None:
    arrow = self._arrow
    columns = [arrow.array(rows.names, arrow.string())]
    if rows.labels is not None:
      columns.append(arrow.array(rows.labels, arrow.int32()))
    for name in self._schema.names[len(columns) :]:
      values = np.ascontiguousarray(rows.features[name]).reshape(len(rows), -1)
      column = arrow.FixedSizeListArray.from_arrays(
        arrow.array(values.reshape(-1)), values.shape[1]
      )
      kind = self._schema.field(name).type
      if isinstance(kind, arrow.BaseExtensionType):
        column = arrow.ExtensionArray.from_storage(kind, column)
      columns.append(column)
    self._pending.append(arrow.RecordBatch.from_arrays(columns, schema=self._schema))
    if sum(batch.nbytes for batch in self._pending) >= _ROW_GROUP:
      self._flush()

  def close(self) -> None:
    self._flush()
    self._writer.close()

  def _flush(self) -> None:
    if self._pending:
      self._writer.write_table(self._arrow.Table.from_batches(self._pending).combine_chunks())
    self._pending = []


class _TFRecord:
  """A `tf.train.Example` a photograph: its features under their names, maps row by row."""

  def check(self, layout: Layout) -> None:
    _check_columns(layout)
    if layout.dtype != "float32":
      raise ValueError(
        f"TFRecord holds float32 only. Received: --dtype={layout.dtype}. Use --format=npy."
      )

  def open(self, folder: str, suffix: str, layout: Layout) -> ShardWriter:
    return _TFRecordWriter(folder, suffix)

  def read(
    self, folder: str, files: Mapping[str, str], layout: Layout, features: Sequence[str]
  ) -> Rows:
    spec: dict[str, Any] = {NAME_KEY: tf.io.FixedLenFeature((), tf.string)}
    if layout.labels:
      spec[LABEL_KEY] = tf.io.FixedLenFeature((), tf.int64)
    spec.update({name: tf.io.FixedLenFeature(layout.shapes[name], tf.float32) for name in features})
    names: list[str] = []
    labels = [np.zeros(0, np.int32)]
    values = {name: [np.zeros((0, *layout.shapes[name]), np.float32)] for name in features}
    dataset = tf.data.TFRecordDataset(f"{folder}/{files['all']}").batch(256)
    for batch in dataset.map(
      lambda records: tf.io.parse_example(records, spec)
    ).as_numpy_iterator():
      names += [name.decode() for name in batch[NAME_KEY].tolist()]
      if layout.labels:
        labels.append(batch[LABEL_KEY].astype(np.int32))
      for name in features:
        values[name].append(batch[name])
    return Rows(
      names,
      np.concatenate(labels) if layout.labels else None,
      {name: np.concatenate(pieces) for name, pieces in values.items()},
    )


class _TFRecordWriter:
  def __init__(self, folder: str, suffix: str) -> None:
    self.files: Mapping[str, str] = {"all": f"embeddings-{suffix}.tfrecord"}
    self._writer = tf.io.TFRecordWriter(f"{folder}/{self.files['all']}")

  def write(self, rows: Rows) -> None:
    for i, row in enumerate(rows.names):
      example = tf.train.Example()
      features = example.features.feature
      features[NAME_KEY].bytes_list.value.append(row.encode())
      if rows.labels is not None:
        features[LABEL_KEY].int64_list.value.append(int(rows.labels[i]))
      for name, values in rows.features.items():
        features[name].float_list.value.extend(values[i].reshape(-1).tolist())
      self._writer.write(example.SerializeToString())

  def close(self) -> None:
    self._writer.close()


FORMATS: Mapping[str, Format] = {"npy": _Npy(), "parquet": _Parquet(), "tfrecord": _TFRecord()}


def _check_columns(layout: Layout) -> None:
  taken = {_NAME_COLUMN, _LABEL_COLUMN, NAME_KEY, LABEL_KEY} & set(layout.shapes)
  if taken:
    raise ValueError(
      f"A feature named {', '.join(sorted(taken))} would take that column. Use --format=npy."
    )


def _arrow(module: str) -> Any:
  try:
    return importlib.import_module(module)
  except ImportError as error:
    raise ValueError("--format=parquet needs pyarrow: pip install '.[parquet]'") from error


def _one_line(name: str) -> str:
  return name.replace("\n", " ")
