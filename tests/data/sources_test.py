"""Tests of sbae_tf.data.sources."""

from __future__ import annotations

import os
import pathlib
import zipfile
from collections.abc import Iterable

import pytest
import tensorflow as tf

from sbae_tf.config import DataConfig
from sbae_tf.data import sources
from sbae_tf.data.record_manifest import Manifest, write
from sbae_tf.data.record_shard import ShardWriter
from sbae_tf.data.source import Source


def _files(folder: pathlib.Path, count: int) -> pathlib.Path:
  """Every file holds its own path below the folder's parent."""
  folder.mkdir(parents=True)
  for i in range(count):
    (folder / f"{i:03}.jpg").write_bytes(f"{folder.name}/{i:03}.jpg".encode())
  return folder


def _records(folder: pathlib.Path, count: int, *, manifest: bool = True) -> pathlib.Path:
  folder.mkdir(parents=True)
  with ShardWriter(str(folder), "a-00000-of-00001.tfrecord") as writer:
    for i in range(count):
      writer.add(
        f"{folder.name}/{i}".encode(), name=f"{i}.jpg", label=i % 2, class_name="xy"[i % 2]
      )
  if manifest:
    write(str(folder), Manifest((writer.shard,), class_names=("x", "y")))
  else:
    os.remove(folder / "a-00000-of-00001.index.npz")
  return folder


def _contents(source: Source) -> list[str]:
  return [source.read(tf.constant(i, tf.int64)).numpy().decode() for i in range(len(source))]


def _numbered(name: str, numbers: Iterable[int]) -> list[str]:
  return [f"{name}/{i:03}.jpg" for i in numbers]


def test_every_form_of_a_part(tmp_path):
  folder = _files(tmp_path / "a", 3)
  with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
    archive.write(folder / "001.jpg", "in/1.jpg")
  (tmp_path / "c.txt").write_text("a/002.jpg\na/000.jpg\tcat\n")
  _records(tmp_path / "d", 2)
  plain = _records(tmp_path / "e", 3, manifest=False)
  _files(tmp_path / "holiday-of-2019.zip", 1)
  for spec, expected in {
    "a": _numbered("a", range(3)),
    "a/*2.jpg": _numbered("a", [2]),
    "a/000.jpg": _numbered("a", [0]),
    "b.zip": _numbered("a", [1]),
    "b.zip/in": _numbered("a", [1]),
    "c.txt": _numbered("a", [2, 0]),
    "d": ["d/0", "d/1"],
    "d/": ["d/0", "d/1"],
    "d/*.tfrecord": ["d/0", "d/1"],
    "e": ["e/0", "e/1", "e/2"],
    "e/a-00000-of-00001.tfrecord": ["e/0", "e/1", "e/2"],
    "holiday-of-2019.zip": _numbered("holiday-of-2019.zip", [0]),
  }.items():
    assert _contents(sources.open_source(f"{tmp_path}/{spec}")) == expected, spec
  assert sources.open_source(str(plain)).labels is None
  assert sources.open_source(str(plain), labels=True).labels.tolist() == [0, 1, 0]
  # A record file among images does not make them records.
  os.rename(plain / "a-00000-of-00001.tfrecord", folder / "x.tfrecord")
  assert _contents(sources.open_source(str(folder))) == _numbered("a", range(3))


def test_home_folder(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  _records(tmp_path / "d", 2)
  (tmp_path / "c.txt").write_text("d.jpg")
  for spec, count in (("~/d", 2), ("~/d/*.tfrecord", 2), ("~/c.txt", 1)):
    assert len(sources.open_source(spec)) == count


def test_several_parts_with_and_without_weights(tmp_path):
  a, b = _files(tmp_path / "a", 3), _records(tmp_path / "b", 2)
  source = sources.open_source(f"{a} ; {b}")
  assert _contents(source) == [*_numbered("a", range(3)), "b/0", "b/1"]
  assert source.shares == () and source.labels.tolist() == [-1, -1, -1, 0, 1]
  source = sources.open_source(f"3:{a};.5: {b}")
  assert source.shares == ((3, 3.0), (2, 0.5))
  single = sources.open_source(f"3:{b}")
  assert single.shares == () and single.run_length > 1


@pytest.mark.parametrize(
  ("spec", "message"),
  [
    ("{a};", "Expected .WEIGHT:.PATH"),
    ("3:", "Expected .WEIGHT:.PATH"),
    (" ", "Expected .WEIGHT:.PATH"),
    ("2:{a};{b}", "a weight for every part or for none.*/b has none"),
    ("0:{a};1:{b}", "weights above 0.*'0:.*/a'"),
    ("-1:{a};1:{b}", "weights above 0"),
    ("nan:{a};1:{b}", "weights above 0"),
    ("inf:{a};1:{b}", "weights above 0"),
    ("{a};{b};{a}/", "every part once; .*/a comes twice"),
    ("{a};{b}/missing", "No such folder: .*/b/missing"),
    ("{a};{b}/missing.zip", "Cannot read .*/b/missing.zip"),
    ("{a};{b}/missing.txt", "Cannot read .*/b/missing.txt"),
    ("{a};{b}/missing.tfrecord", "No record files: .*/b/missing.tfrecord"),
    ("{a};nosuch://b", "Cannot list nosuch://b"),
    ("{a};tfds:", "Expected tfds:NAME"),
  ],
)
def test_mistakes_are_one_line_that_names_the_part(tmp_path, spec, message):
  spec = spec.format(a=_files(tmp_path / "a", 2), b=_files(tmp_path / "b", 2))
  with pytest.raises(ValueError, match=message) as caught:
    sources.open_source(spec)
  assert "\n" not in str(caught.value)


def test_without_a_path_the_embedded_photographs():
  train, heldout = sources.open_sources(DataConfig(embedded_crops=30, heldout_limit=20))
  assert (len(train), len(heldout)) == (30, 20)
  assert train.class_names == heldout.class_names


def test_a_part_is_held_out_by_name(tmp_path):
  config = DataConfig(path=str(_files(tmp_path / "a", 100)), heldout_fraction=0.3)
  train, heldout = sources.open_sources(config)
  assert not set(train.names) & set(heldout.names) and len(train) + len(heldout) == 100
  assert 15 <= len(heldout) <= 45
  assert sorted(_contents(train) + _contents(heldout)) == _numbered("a", range(100))


def test_the_limit_is_even_over_what_is_held_out(tmp_path):
  path = str(_files(tmp_path / "a", 90))
  train, heldout = sources.open_sources(
    DataConfig(path=path, heldout_path=str(_files(tmp_path / "b", 50)), heldout_limit=5)
  )
  assert len(train) == 90
  assert _contents(heldout) == _numbered("b", [0, 12, 24, 36, 49])
  assert heldout.description.startswith("5 of 50 images in ")


def test_each_part_of_a_mixture_is_split(tmp_path):
  a, b = _files(tmp_path / "a", 60), _files(tmp_path / "b", 40)
  alone = [
    sources.open_sources(DataConfig(path=str(path), heldout_fraction=0.3)) for path in (a, b)
  ]
  train, heldout = sources.open_sources(DataConfig(path=f"{a};{b}", heldout_fraction=0.3))
  assert list(train.names) == [*alone[0][0].names, *alone[1][0].names]
  assert list(heldout.names) == [*alone[0][1].names, *alone[1][1].names]
  assert train.shares == heldout.shares == ()


def test_held_out_of_a_mixture_are_as_many_as_its_weights_say(tmp_path):
  a, b = _files(tmp_path / "a", 60), _files(tmp_path / "b", 40)
  config = DataConfig(path=f"3:{a};1:{b}", heldout_fraction=0.5, heldout_limit=12)
  train, heldout = sources.open_sources(config)
  assert [weight for _, weight in train.shares] == [3, 1]
  assert sum(count for count, _ in train.shares) == len(train)
  assert heldout.shares == ()  # It is gone through once, in order.
  assert [_of(heldout, name) for name in "ab"] == [9, 3]
  assert not set(train.names) & set(heldout.names)

  explicit = DataConfig(path=str(a), heldout_path=f"1:{a};1:{b}", heldout_limit=30)
  assert [_of(sources.open_sources(explicit)[1], name) for name in "ab"] == [15, 15]
  single = DataConfig(path=f"1:{a};1:{b}", heldout_path=f"{a};{b}", heldout_limit=1)
  assert len(sources.open_sources(single)[1]) == 1


def _of(source: Source, name: str) -> int:
  return sum(content.startswith(name) for content in _contents(source))


def test_a_part_too_small_to_split_is_named(tmp_path):
  a, b = _files(tmp_path / "a", 60), _files(tmp_path / "b", 1)
  with pytest.raises(ValueError, match="two images or more.*/b"):
    sources.open_sources(DataConfig(path=f"{a};{b}"))


def test_a_service_gets_absolute_paths(tmp_path, monkeypatch):
  """Its workers run in another folder."""
  (tmp_path / "photographs").mkdir()
  for i in range(4):
    pixels = tf.zeros((8, 8, 3), tf.uint8)
    (tmp_path / "photographs" / f"{i}.png").write_bytes(tf.io.encode_png(pixels).numpy())
  monkeypatch.chdir(tmp_path)
  for service, start in (("", "photographs/"), ("grpc://there:1", f"{tmp_path}/photographs/")):
    train, heldout = sources.open_sources(DataConfig(path="photographs", service=service))
    assert all(name.startswith(start) for name in [*train.names, *heldout.names])
