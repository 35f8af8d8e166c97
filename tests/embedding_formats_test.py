"""Conformance of every format: what is written is read, here and by the format's own readers."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import embedding_formats
from sbae_tf.embedding_formats import FORMATS, Layout, Rows

_SHAPES = {"embedding": (5,), "conv1": (2, 3, 4)}


def _layout(name: str, *, labels: bool = True, dtype: str = "") -> Layout:
  return Layout(_SHAPES, dtype or ("float32" if name == "tfrecord" else "float16"), labels)


def _rows(count: int, layout: Layout, *, seed: int = 0) -> Rows:
  rng = np.random.default_rng(seed)
  return Rows(
    [f"{seed}/größe {i}\u2028.jpg" for i in range(count)],
    rng.integers(-1, 9, count).astype(np.int32) if layout.labels else None,
    {k: rng.normal(size=(count, *s)).astype(layout.dtype) for k, s in layout.shapes.items()},
  )


def _write(name: str, folder: pathlib.Path, layout: Layout, parts: list[Rows]) -> dict[str, str]:
  kind = FORMATS[name]
  kind.check(layout)
  writer = kind.open(str(folder), "00000-of-00002", layout)
  for part in parts:
    writer.write(part)
  writer.close()
  assert sorted(path.name for path in folder.iterdir()) == sorted(writer.files.values())
  return dict(writer.files)


@pytest.fixture(name="kind", params=sorted(FORMATS))
def _kind(request) -> str:
  if request.param == "parquet":
    pytest.importorskip("pyarrow")
  return request.param


@pytest.mark.parametrize("labels", [True, False])
def test_reads_what_it_wrote(kind, labels, tmp_path):
  layout = _layout(kind, labels=labels)
  parts = [_rows(7, layout), _rows(1, layout, seed=1)]
  files = _write(kind, tmp_path, layout, parts)
  read = FORMATS[kind].read(str(tmp_path), files, layout, list(_SHAPES))
  assert list(read.names) == [name for part in parts for name in part.names]
  for feature in _SHAPES:
    written = np.concatenate([part.features[feature] for part in parts])
    np.testing.assert_array_equal(read.features[feature], written)
    assert read.features[feature].dtype == layout.dtype
  if labels:
    np.testing.assert_array_equal(read.labels, np.concatenate([part.labels for part in parts]))
    assert read.labels.dtype == np.int32
  else:
    assert read.labels is None
  one = FORMATS[kind].read(str(tmp_path), files, layout, ["conv1"])
  assert list(one.features) == ["conv1"]


def test_a_shard_without_rows(kind, tmp_path):
  layout = _layout(kind)
  files = _write(kind, tmp_path, layout, [])
  read = FORMATS[kind].read(str(tmp_path), files, layout, list(_SHAPES))
  assert len(read) == 0 and read.features["conv1"].shape == (0, 2, 3, 4)


def test_npy_is_numpys(tmp_path):
  layout = _layout("npy")
  rows = _rows(300, layout)
  parts = [_part(rows, slice(i, i + 100)) for i in range(0, 300, 100)]
  assert _write("npy", tmp_path, layout, parts) == {
    "names": "names-00000-of-00002.txt",
    "feature embedding": "embeddings-embedding-00000-of-00002.npy",
    "feature conv1": "embeddings-conv1-00000-of-00002.npy",
    "labels": "labels-00000-of-00002.npy",
  }
  array = np.load(tmp_path / "embeddings-conv1-00000-of-00002.npy", mmap_mode="r")
  np.testing.assert_array_equal(array, rows.features["conv1"])
  assert array.offset % 64 == 0 and array.flags.c_contiguous
  one = tmp_path / "one"
  one.mkdir()
  alone = Layout({"embedding": (5,)}, "float16", False)
  assert "embeddings-00000-of-00002.npy" in _write("npy", one, alone, []).values()


def _part(rows: Rows, of: slice) -> Rows:
  features = {name: value[of] for name, value in rows.features.items()}
  return Rows(rows.names[of], rows.labels[of], features)


def test_parquet_is_arrows(tmp_path, monkeypatch):
  arrow = pytest.importorskip("pyarrow")
  from pyarrow import parquet

  monkeypatch.setattr(embedding_formats, "_ROW_GROUP", 1000)
  layout = _layout("parquet")
  parts = [_rows(9, layout, seed=seed) for seed in range(4)]
  _write("parquet", tmp_path, layout, parts)
  file = tmp_path / "embeddings-00000-of-00002.parquet"
  assert parquet.ParquetFile(file).num_row_groups == 2  # Of 29 numbers, 2 bytes each, and names.
  table = parquet.read_table(file)
  assert table.schema.names == ["name", "label", "embedding", "conv1"]
  assert table.schema.field("embedding").type == arrow.list_(arrow.float16(), 5)
  assert table.schema.field("conv1").type == arrow.fixed_shape_tensor(arrow.float16(), (2, 3, 4))
  tensors = table.column("conv1").chunk(0).to_numpy_ndarray()
  np.testing.assert_array_equal(tensors[:9], parts[0].features["conv1"])
  first = table.slice(30, 1).to_pylist()[0]
  np.testing.assert_array_equal(first["embedding"], parts[3].features["embedding"][3])
  assert (first["name"], first["label"]) == (parts[3].names[3], parts[3].labels[3])


def test_tfrecord_is_tensorflows(tmp_path):
  layout = _layout("tfrecord")
  rows = _rows(3, layout)
  _write("tfrecord", tmp_path, layout, [rows])
  records = tf.data.TFRecordDataset(str(tmp_path / "embeddings-00000-of-00002.tfrecord"))
  examples = [tf.train.Example.FromString(record.numpy()) for record in records]
  features = examples[2].features.feature
  assert features["image/filename"].bytes_list.value[0].decode() == rows.names[2]
  assert features["image/class/label"].int64_list.value[0] == rows.labels[2]
  flat = np.array(features["conv1"].float_list.value, np.float32)
  np.testing.assert_array_equal(flat.reshape(2, 3, 4), rows.features["conv1"][2])


def test_a_line_end_in_a_name_ends_no_line(tmp_path):
  layout = Layout({"embedding": (1,)}, "float32", False)
  rows = Rows(["a\nb", "c\rd"], None, {"embedding": np.zeros((2, 1), np.float32)})
  files = _write("npy", tmp_path, layout, [rows])
  assert FORMATS["npy"].read(str(tmp_path), files, layout, []).names == ["a b", "c\rd"]


@pytest.mark.parametrize(
  ("name", "layout", "message"),
  [
    ("tfrecord", _layout("tfrecord", dtype="float16"), "holds float32 only. .*Use --format=npy"),
    ("tfrecord", Layout({"image/filename": (1,)}, "float32", False), "image/filename would take"),
    ("parquet", Layout({"name": (1,)}, "float32", False), "named name would take that column"),
    ("npy", Layout({"a/b": (1,), "a b": (1,)}, "float32", False), "files of the same name"),
  ],
)
def test_what_a_format_cannot_hold(name, layout, message):
  with pytest.raises(ValueError, match=message):
    FORMATS[name].check(layout)


def test_parquet_without_pyarrow(monkeypatch):
  for module in ("pyarrow", "pyarrow.parquet"):
    monkeypatch.setitem(sys.modules, module, None)
  with pytest.raises(ValueError, match=r"needs pyarrow: pip install '.\[parquet\]'"):
    FORMATS["parquet"].check(_layout("parquet"))
