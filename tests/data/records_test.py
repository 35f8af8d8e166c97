"""Tests of sbae_tf.data.records and what it is made of."""

from __future__ import annotations

import json
import os
import pathlib
import struct
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import record_manifest, record_scan, record_shard, records
from sbae_tf.data import source as source_lib
from sbae_tf.data.split import split_heldout

COUNTS = (5, 1, 20, 3)
CLASSES = ("cat", "dog")


def _image(number: int) -> bytes:
  """Stands for an encoded image: of any length, with zeros at its end."""
  return b"image %d " % number + b"x" * (37 * number % 101) + b"\0\0"


def _label(number: int) -> int:
  return number % 3 - 1


def _write_plain(folder: pathlib.Path, counts: Sequence[int] = COUNTS) -> None:
  """Records as other tools write them: no manifest, no file names."""
  folder.mkdir(exist_ok=True)
  number = 0
  for shard, count in enumerate(counts):
    with tf.io.TFRecordWriter(f"{folder}/a.tfrecord-{shard:05}-of-{len(counts):05}") as writer:
      for _ in range(count):
        example = tf.train.Example()
        feature = example.features.feature
        feature["image/encoded"].bytes_list.value.append(_image(number))
        feature["image/width"].int64_list.value.append(number)
        if _label(number) >= 0:
          feature["image/class/label"].int64_list.value.append(_label(number))
          feature["image/class/text"].bytes_list.value.append(CLASSES[_label(number)].encode())
        writer.write(example.SerializeToString())
        number += 1


def _write(folder: pathlib.Path, counts: Sequence[int] = COUNTS) -> record_manifest.Manifest:
  """Records with a manifest."""
  folder.mkdir(exist_ok=True)
  shards, number = [], 0
  for shard, count in enumerate(counts):
    name = f"train-{shard:05}-of-{len(counts):05}.tfrecord"
    with record_shard.ShardWriter(str(folder), name) as writer:
      for _ in range(count):
        label = _label(number)
        class_name = CLASSES[label] if label >= 0 else ""
        writer.add(*(_image(number),), name=f"ä/{number}.jpg", label=label, class_name=class_name)
        number += 1
    shards.append(writer.shard)
  manifest = record_manifest.Manifest(
    shards=tuple(shards), class_names=CLASSES, source="tests", skipped={"empty": 2}
  )
  record_manifest.write(str(folder), manifest)
  return manifest


def _reads(source: source_lib.Source) -> list[list[bytes]]:
  """All images: eagerly, in a function, in parallel in tf.data, and in runs."""
  indices = [tf.constant(i, tf.int64) for i in range(len(source))]
  function = tf.function(source.read)
  dataset = tf.data.Dataset.range(len(source)).map(source.read, num_parallel_calls=4)
  runs = []
  for run in tf.data.Dataset.range(len(source)).batch(3):
    together = bool(source.is_run(run[tf.newaxis])[0])
    runs += source.read_run(run).numpy().tolist() if together else map(source.read, run)
  return [
    [source.read(index).numpy() for index in indices],
    [function(index).numpy() for index in indices],
    list(dataset.as_numpy_iterator()),
    runs,
  ]


@pytest.mark.parametrize("write", [_write, _write_plain])
@pytest.mark.parametrize("counts", [COUNTS, (30, 0, 0, 4), (1,)])
def test_every_image_is_read_in_every_way(tmp_path, write, counts):
  write(tmp_path, counts)
  source = records.build(str(tmp_path))
  expected = [_image(i) for i in range(sum(counts))]
  assert _reads(source) == [expected] * 4
  assert source.portable and not source.remote and not source.shares


def test_only_neighbors_in_one_file_are_a_run(tmp_path):
  _write_plain(tmp_path)
  source = records.build(str(tmp_path))
  ends = set(np.cumsum(COUNTS).tolist())
  for length in (1, 2, 4):
    starts = np.arange(sum(COUNTS) - length + 1)
    runs = starts[:, np.newaxis] + np.arange(length)
    expected = [not ends & set(range(start + 1, start + length)) for start in starts.tolist()]
    assert source.is_run(tf.constant(runs)).numpy().tolist() == expected
    assert any(expected)
    for run in runs[expected]:
      images = tf.function(source.read_run)(tf.constant(run))
      assert images.numpy().tolist() == [_image(i) for i in run]
  others = [[2, 1, 0], [7, 7, 7], [6, 8, 10]]
  assert not source.is_run(tf.constant(others, tf.int64)).numpy().any()


def test_manifest_gives_names_and_labels(tmp_path):
  _write(tmp_path)
  source = records.build(str(tmp_path))
  assert list(source.names) == [f"ä/{i}.jpg" for i in range(29)]
  assert source.labels.tolist() == [_label(i) for i in range(29)]
  assert source.class_names == CLASSES
  assert source.description == f"29 images in 4 record files of {tmp_path}, 2 classes"


def test_without_manifest_names_are_numbers_and_labels_read_where_asked(tmp_path):
  _write_plain(tmp_path)
  source = records.build(f"{tmp_path}/")
  first, second = (f"{tmp_path}/a.tfrecord-{i:05}-of-00004" for i in range(2))
  assert list(source.names)[3:7] == [f"{first}#3", f"{first}#4", f"{second}#0", source.names[6]]
  assert source.labels is None and source.class_names == () and source.root == str(tmp_path)
  source = records.build(str(tmp_path), labels=True)
  assert source.labels.tolist() == [_label(i) for i in range(29)]
  assert source.class_names == CLASSES
  numbered = records.build(str(tmp_path), labels=True, text_key="no/such")
  assert numbered.class_names == ("0", "1")
  assert records.build(str(tmp_path), labels=True, label_key="no/such").labels is None
  with pytest.raises(ValueError, match="Cannot read the labels in .*a.tfrecord-00000"):
    records.build(str(tmp_path), labels=True, label_key="image/encoded")


def test_other_keys(tmp_path):
  _write_plain(tmp_path)
  source = records.build(str(tmp_path), image_key="image/class/text")
  assert source.read(tf.constant(1, tf.int64)).numpy() == b"cat"
  with pytest.raises(tf.errors.OpError, match="image/class/text"):
    source.read(tf.constant(0, tf.int64))


@pytest.mark.parametrize("write", [_write, _write_plain])
def test_globs_and_single_files(tmp_path, write):
  write(tmp_path)
  files = sorted(path for path in os.listdir(tmp_path) if records.is_record_file(path))
  whole = records.build(str(tmp_path))
  source = records.build(f"{tmp_path}/*-0000[02]-of-*")
  chosen = [*range(5), *range(6, 26)]
  assert list(source.names) == [whole.names[i] for i in chosen]
  assert _reads(source) == [[_image(i) for i in chosen]] * 4
  assert len(records.build(f"{tmp_path}/{files[3]}")) == 3
  assert (records.build(f"{tmp_path}/{files[3]}").labels is None) == (write is _write_plain)


def test_file_names():
  for name in (
    "a.tfrecord",
    "b.tfrecords",
    "c.tfrec",
    "d.tfrecord-00000-of-00001",
    "e.tfrecord.gz",
  ):
    assert records.is_record_file(f"x/{name}"), name
  assert records.is_record_file("x/train-00000-of-01024")
  assert records.is_record_file("x/train-*-of-*") and records.is_record_file("x/*.tfrecord*")
  for name in ("a.jpg", ".a.tfrecord.0.part", "a.index.npz", "cat-of-nine.png", "x.tfrecordings"):
    assert not records.is_record_file(f"x/{name}"), name
  assert not records.is_record_file("a.tfrecord/b")


def test_heldout_runs_stay_fast_and_right(tmp_path):
  _write_plain(tmp_path, (64, 64))
  source = records.build(str(tmp_path))
  sides = split_heldout(source, 0.3)
  assert sorted(name for side in sides for name in side.names) == sorted(source.names)
  for side in sides:
    numbers = [list(source.names).index(name) for name in side.names]
    assert _reads(side) == [[_image(i) for i in numbers]] * 4


def test_manifest_splits_by_name_wherever_it_lies(tmp_path):
  _write(tmp_path / "a", (40, 24))
  _write(tmp_path / "b", (40, 24))
  heldout = [
    list(split_heldout(records.build(str(tmp_path / name)), 0.3)[1].names) for name in "ab"
  ]
  assert heldout[0] == heldout[1]


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (lambda data: data[:-1], "ends within the record at byte .* of "),
    (lambda data: data[:20], "ends within the record at byte 0 of 20"),
    (lambda data: data + b"12345", "ends within the record at byte"),
    (lambda data: data[:1] + b"\1" + data[2:], "no file of TFRecords: .*byte 0 has another CRC"),
    (lambda data: b"\xff\xd8\xff\xe0" * 99, "no file of TFRecords"),
    (lambda data: b"\x1f\x8b" + data, r"compressed \(gzip\)"),
  ],
)
def test_damaged_files_are_named(tmp_path, damage, message):
  _write_plain(tmp_path)
  path = tmp_path / "a.tfrecord-00002-of-00004"
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(ValueError, match=message) as caught:
    records.build(str(tmp_path))
  assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_length_is_found_where_it_is(tmp_path):
  _write_plain(tmp_path)
  path = tmp_path / "a.tfrecord-00002-of-00004"
  data = bytearray(path.read_bytes())
  (offset,) = struct.unpack_from("<Q", data)
  data[offset + 16] ^= 1
  path.write_bytes(data)
  with pytest.raises(ValueError, match=f"is damaged: .*record at byte {offset + 16:,} "):
    records.build(str(tmp_path))


def test_damaged_data_fails_when_read(tmp_path):
  _write_plain(tmp_path)
  path = tmp_path / "a.tfrecord-00000-of-00004"
  path.write_bytes(path.read_bytes().replace(b"image 1 ", b"image 7 "))
  source = records.build(str(tmp_path))
  assert source.read(tf.constant(0, tf.int64)).numpy() == _image(0)
  with pytest.raises(tf.errors.DataLossError):
    source.read(tf.constant(1, tf.int64))
  with pytest.raises(tf.errors.DataLossError):
    source.read_run(tf.constant([0, 1, 2], tf.int64))


@pytest.mark.parametrize(
  ("pattern", "message"),
  [
    ("missing", "No record files: .*missing"),
    ("*.tfrecord", r"No record files: .*\*.tfrecord"),
    ("*/a.tfrecord", "record files of one folder"),
    ("", "No record files in "),
    ("nosuch://a/b.tfrecord", "Cannot list nosuch://a/b"),
    ("x.tfrecord.gz", "x.tfrecord.gz is compressed"),
  ],
)
def test_what_is_not_there_is_one_line(tmp_path, pattern, message):
  if pattern.endswith("gz"):
    (tmp_path / pattern).write_bytes(b"\x1f\x8b")
  pattern = pattern if "://" in pattern else str(tmp_path / pattern)
  with pytest.raises(ValueError, match=message) as caught:
    records.build(pattern)
  assert "\n" not in str(caught.value)


def test_no_records_at_all(tmp_path):
  _write_plain(tmp_path, (0, 0))
  with pytest.raises(ValueError, match="at least one image"):
    records.build(str(tmp_path))


def test_checksum_and_scan_agree_with_tensorflow(tmp_path):
  """Known value: CRC-32C of "123456789" is e3069283 (RFC 3720's polynomial)."""
  crc = 0xE3069283
  masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
  rows = np.frombuffer(b"123456789", np.uint8)[np.newaxis]
  assert record_scan.masked_crc32c(rows).tolist() == [masked]
  # More than a block, and an empty record.
  path, lengths = str(tmp_path / "a"), [i % 7 for i in range(10_000)]
  with tf.io.TFRecordWriter(path) as writer:
    for length in lengths:
      writer.write(b"x" * length)
  (offsets,) = record_scan.scan([path])
  assert offsets.dtype == np.int64
  np.testing.assert_array_equal(offsets, np.cumsum([0] + [n + 16 for n in lengths[:-1]]))
  # By way of another file system.
  (remote,) = record_scan.scan([f"file://{path}"])
  np.testing.assert_array_equal(remote, offsets)


def test_long_scans_are_reported(tmp_path, monkeypatch):
  _write_plain(tmp_path)
  lines = []
  monkeypatch.setattr(record_scan, "_SECONDS_BETWEEN_LINES", 0.0)
  monkeypatch.setattr(record_scan.logging, "info", lambda line, *args: lines.append(line % args))
  records.build(str(tmp_path))
  assert "29 found, 100%" in lines[-1] and " 0 s left" in lines[-1]


def test_manifest_and_index_come_back(tmp_path):
  manifest = _write(tmp_path)
  assert record_manifest.read(str(tmp_path)) == manifest
  assert manifest.images == 29
  for shard in manifest.shards:
    assert (tmp_path / shard.file).stat().st_size == shard.bytes
    index = record_shard.read_index(str(tmp_path / shard.file))
    np.testing.assert_array_equal(index.offsets, record_scan.scan([str(tmp_path / shard.file)])[0])
  assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]
  example = tf.train.Example.FromString(
    next(iter(tf.data.TFRecordDataset(f"{tmp_path}/{manifest.shards[0].file}").skip(2))).numpy()
  )
  feature = example.features.feature
  assert feature["image/filename"].bytes_list.value[0].decode() == "ä/2.jpg"
  assert feature["image/class/label"].int64_list.value[:] == [1]
  assert feature["image/class/text"].bytes_list.value[:] == [b"dog"]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
  writer = record_shard.ShardWriter(str(tmp_path), "a.tfrecord")
  with pytest.raises(KeyError), writer:
    writer.add(b"x", name="x")
    raise KeyError
  assert os.listdir(tmp_path) == []
  with pytest.raises(ValueError, match=r"ends in \.tfrecord"):
    record_shard.ShardWriter(str(tmp_path), "a.records")


def test_verify_finds_what_changed(tmp_path):
  manifest = _write(tmp_path)
  assert record_manifest.verify(str(tmp_path)) == []
  first, second = (tmp_path / shard.file for shard in manifest.shards[:2])
  first.write_bytes(first.read_bytes()[:-1] + b"?")
  second.unlink()
  problems = record_manifest.verify(str(tmp_path))
  assert problems[0] == f"{first} is not what was written"
  assert problems[1].startswith(f"Cannot read {second}: ") and len(problems) == 2


def test_skipped_is_a_table(tmp_path):
  record_manifest.write_skipped(str(tmp_path), [("a\tb", "empty", "x\ny"), ("ü", "missing", "")])
  assert (tmp_path / "skipped.tsv").read_text("utf-8") == "a b\tempty\tx y\nü\tmissing\t\n"


def test_manifests_that_lie_are_refused(tmp_path):
  manifest = _write(tmp_path)
  path = tmp_path / manifest.shards[2].file
  content = path.read_bytes()
  path.write_bytes(content[:-1])
  with pytest.raises(ValueError, match=rf"{path} has .* bytes, not "):
    records.build(str(tmp_path))
  path.unlink()
  with pytest.raises(ValueError, match="Cannot open .*No such file"):
    records.build(str(tmp_path))
  path.write_bytes(content)
  index = pathlib.Path(record_shard.index_file(str(path)))
  other = pathlib.Path(record_shard.index_file(str(tmp_path / manifest.shards[0].file)))
  whole = index.read_bytes()
  index.write_bytes(other.read_bytes())
  with pytest.raises(ValueError, match="has 5 records in its index, not 20"):
    records.build(str(tmp_path))
  index.write_bytes(whole[:100])
  with pytest.raises(ValueError, match="is no index of records"):
    records.build(str(tmp_path))
  index.unlink()
  with pytest.raises(ValueError, match=f"Cannot read {index}"):
    records.build(str(tmp_path))


@pytest.mark.parametrize(
  "change",
  [{"version": 2}, {"images": 3}, {"shards": [{}]}, {"shards": 3}, {"source": None, "skipped": 0}],
)
def test_manifests_of_another_form_are_refused(tmp_path, change):
  _write(tmp_path)
  path = tmp_path / "manifest.json"
  values = {**json.loads(path.read_text()), **change}
  if "skipped" in change:
    del values["skipped"]
  path.write_text(json.dumps(values))
  with pytest.raises(ValueError, match="manifest.json is no manifest of records"):
    records.build(str(tmp_path))


def test_a_manifest_needs_shards(tmp_path):
  shard = record_manifest.Shard("a.tfrecord", 1, 1, "")
  for shards in ((), (shard, shard)):
    with pytest.raises(ValueError, match="one shard or more, of different names"):
      record_manifest.write(str(tmp_path), record_manifest.Manifest(shards))
