"""Embeddings of whole sources: names, shards, what cannot be read, going on, and one at a time."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable

import numpy as np
import pytest

from sbae_tf import embedder, embedding_folder
from sbae_tf.data.skipped import TooManySkippedError
from sbae_tf.data.sources import open_source
from sbae_tf.embedding_folder import EmbeddingFolder
from sbae_tf.embedding_manifest import MANIFEST, read_manifest, read_shards
from sbae_tf.failures import RunError, WriteError
from sbae_tf.feature_extractor import FeatureExtractor
from sbae_tf.output_folder import FolderError
from tests import mean_color

_COUNT = 50
_BROKEN = (0, 7, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 49)  # A shard of ten among them.


@pytest.fixture(scope="module", name="extractor")
def _extractor(tmp_path_factory) -> FeatureExtractor:
  path = mean_color.save(tmp_path_factory.mktemp("model") / "model")
  return FeatureExtractor(path, features=["color"], image_size=8)


def _list(folder: pathlib.Path, count: int, *, broken: tuple[int, ...] = ()) -> str:
  """Photographs of rising numbers."""
  mean_color.write_photographs(folder, count, broken=broken)
  files = sorted(folder.rglob("*.png"), key=lambda file: file.name)
  (folder / "list.txt").write_text("".join(f"{file}\t{file.parent.name}\n" for file in files))
  return str(folder / "list.txt")


def _embed(
  extractor: FeatureExtractor,
  data: str,
  out: pathlib.Path,
  *,
  max_skipped: float = 1.0,
  batch_size: int = 4,
  check: Callable[[], None] = lambda: None,
  seconds: float = 60.0,
  **changes: object,
) -> EmbeddingFolder:
  source = open_source(data)
  folder = EmbeddingFolder(out)
  arguments = {"labels": True, "max_pixels": 64, "format": "npy", "shard_size": 10, **changes}
  manifest = embedder.describe(source, extractor, data=data, **arguments)
  with folder.locked():
    folder.begin(manifest)
    embedder.embed(
      source,
      extractor,
      folder,
      batch_size=batch_size,
      max_skipped=max_skipped,
      check=check,
      seconds=seconds,
    )
  return folder


def _assert_right(out: pathlib.Path, numbers: list[int]) -> None:
  """Exactly those photographs have embeddings, and each its own."""
  found = []
  for indices, rows in read_shards(out, ["color"]):
    assert [int(pathlib.Path(name).stem) for name in rows.names] == indices.tolist()
    np.testing.assert_allclose(
      rows.features["color"], mean_color.expected(rows.names).reshape(-1, 3), atol=1e-6
    )
    assert rows.labels.tolist() == [int(index % 3 != 2) for index in indices]
    found += indices.tolist()
  assert found == numbers
  assert not list(out.glob(".*"))


def _stop_after(batches: int) -> Callable[[], None]:
  left = iter(range(batches - 1))

  def check() -> None:
    if next(left, None) is None:
      raise KeyboardInterrupt

  return check


def _state(folder: pathlib.Path) -> dict[str, tuple[int, bytes]]:
  return {
    path.name: (path.stat().st_ino, path.read_bytes())
    for path in sorted(folder.iterdir())
    if path.name != MANIFEST
  }


@pytest.mark.parametrize(
  "batch_size", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 64))]
)
@pytest.mark.parametrize("kind", ["npy", "parquet", "tfrecord"])
def test_each_has_its_own(extractor, tmp_path, kind, batch_size):
  if kind == "parquet":
    pytest.importorskip("pyarrow")
  data = _list(tmp_path / "photos", _COUNT, broken=_BROKEN)
  out = tmp_path / "out"
  folder = _embed(extractor, data, out, format=kind, batch_size=batch_size)
  _assert_right(out, [i for i in range(_COUNT) if i not in _BROKEN])
  manifest = read_manifest(out)
  assert manifest == folder.manifest and manifest.complete
  assert [shard.embeddings for shard in manifest.shards] == [8, 10, 0, 10, 9]
  assert [each.index for each in manifest.skipped] == list(_BROKEN)
  assert {each.reason for each in manifest.skipped} == {"not_an_image"}
  assert manifest.class_names == ("blue", "red")
  values = json.loads((out / "manifest.json").read_text())
  assert (values["complete"], values["embeddings"]) == (True, 37)
  assert values["skipped"] == {"not_an_image": 13}
  lines = (out / "skipped.tsv").read_text().splitlines()[1:]
  assert sorted(line.split("\t")[1][-7:-4] for line in lines) == [f"{i:03d}" for i in _BROKEN]


@pytest.mark.parametrize("batches", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 9))])
def test_goes_on_where_it_was_stopped(extractor, tmp_path, batches):
  data = _list(tmp_path / "photos", _COUNT, broken=_BROKEN)
  whole, out = tmp_path / "whole", tmp_path / "out"
  _embed(extractor, data, whole)
  with pytest.raises(KeyboardInterrupt):
    _embed(extractor, data, out, check=_stop_after(batches))
  assert not list(out.glob(".*"))
  done = read_manifest(out).shards
  assert len(done) < 5 and not read_manifest(out).complete
  kept = {name for shard in done for name in shard.files.values()}
  before = {name: state for name, state in _state(out).items() if name in kept}
  assert {path.name for path in out.glob("*-of-*")} == kept
  _embed(extractor, data, out)
  after = _state(out)
  assert {name: after[name] for name in before} == before  # Not written again.
  assert {name: content for name, (_, content) in after.items() if name != "skipped.tsv"} == {
    name: content for name, (_, content) in _state(whole).items() if name != "skipped.tsv"
  }
  lines = [sorted((f / "skipped.tsv").read_text().splitlines()) for f in (out, whole)]
  assert lines[0] == lines[1]
  assert read_manifest(out) == read_manifest(whole)


def test_writes_again_what_is_gone_or_cut(extractor, tmp_path):
  data = _list(tmp_path / "photos", _COUNT)
  out = tmp_path / "out"
  _embed(extractor, data, out)
  before = _state(out)
  (out / "names-00001-of-00005.txt").unlink()
  cut = out / "embeddings-00003-of-00005.npy"
  cut.write_bytes(cut.read_bytes()[:-1])
  with pytest.raises(ValueError, match=r"Cannot read names-00001-of-00005.txt, .*writes again"):
    list(read_shards(out, ["color"]))
  _embed(extractor, data, out)
  after = _state(out)
  assert {k: v[1] for k, v in after.items()} == {k: v[1] for k, v in before.items()}
  again = {name for name in after if after[name][0] != before[name][0]}
  assert {name.split("-")[1] for name in again} == {"00001", "00003"}
  _assert_right(out, list(range(_COUNT)))


def test_does_nothing_where_all_is_there(extractor, tmp_path, monkeypatch):
  data = _list(tmp_path / "photos", _COUNT, broken=(3,))
  out = tmp_path / "out"
  _embed(extractor, data, out)
  before = _state(out)
  monkeypatch.setattr(embedder, "_features", None)
  _embed(extractor, data, out)
  assert {k: v[1] for k, v in _state(out).items()} == {k: v[1] for k, v in before.items()}


@pytest.mark.slow
def test_too_many_cannot_be_read(extractor, tmp_path):
  data = _list(tmp_path / "photos", _COUNT, broken=_BROKEN)
  message = r"\d+ of 50 images cannot be read, more than --max_skipped=0.1 accepts. .*000.png \(not"
  with pytest.raises(TooManySkippedError, match=message):
    _embed(extractor, data, tmp_path / "out", max_skipped=0.1)
  assert not list((tmp_path / "out").glob(".*"))
  # Those of shards that are done count also when the same command goes on.
  for attempt in range(2):
    out = tmp_path / "slow"
    with pytest.raises(TooManySkippedError if attempt else KeyboardInterrupt):
      _embed(extractor, data, out, max_skipped=0.25, check=_stop_after(7) if not attempt else int)
  assert len(read_manifest(out).skipped) == 12
  _embed(extractor, data, out, max_skipped=0.26)  # Another limit makes no other embeddings.
  _assert_right(out, [i for i in range(_COUNT) if i not in _BROKEN])


def test_refuses_other_embeddings(extractor, tmp_path):
  data = _list(tmp_path / "photos", _COUNT)
  out = tmp_path / "out"
  _embed(extractor, data, out)
  before = _state(out)
  other = mean_color.save(tmp_path / "other", scale=1 / 256)
  half = FeatureExtractor(other, features=["color", "blocks/4"], image_size=8, dtype="float16")
  with pytest.raises(FolderError) as error:
    _embed(half, data, out, shard_size=20, labels=False)
  for text in (
    "labels differs",
    "encoder differs",
    "features is color there and color, blocks/4 here",
    "dtype is float32 there and float16 here",
    "shard_size is 10 there and 20 here. Give another --out",
  ):
    assert text in str(error.value)
  (tmp_path / "photos" / "red" / "000.png").rename(tmp_path / "photos" / "red" / "0.png")
  list_file = pathlib.Path(data)
  list_file.write_text(list_file.read_text().replace("000.png", "0.png"))
  with pytest.raises(FolderError, match="made otherwise: names differs. Give another"):
    _embed(extractor, data, out)
  assert _state(out) == before


def test_refuses_a_folder_of_other_things(extractor, tmp_path):
  data = _list(tmp_path / "photos", 3)
  with pytest.raises(FolderError, match="holds other files and no embeddings. Give a new"):
    _embed(extractor, data, tmp_path / "photos")
  with pytest.raises(FolderError, match="Cannot write to --out=.*list.txt: File exists"):
    _embed(extractor, data, tmp_path / "photos" / "list.txt")
  with pytest.raises(FolderError, match="There are no embeddings in .*photos: expected its mani"):
    read_manifest(tmp_path / "photos")
  (tmp_path / "bad").mkdir()
  (tmp_path / "bad" / "manifest.json").write_text('{"version": 2}')
  with pytest.raises(FolderError, match="no manifest of embeddings: .*version 2 is not 1"):
    _embed(extractor, data, tmp_path / "bad")


def test_one_process_at_a_time(extractor, tmp_path):
  data = _list(tmp_path / "photos", 3)
  message = "Another process is writing to --out="
  with EmbeddingFolder(tmp_path / "out").locked(), pytest.raises(FolderError, match=message):
    _embed(extractor, data, tmp_path / "out")
  left = tmp_path / "out" / ".00000-of-00001.1.aside"
  left.mkdir()  # Of a process that was killed.
  _embed(extractor, data, tmp_path / "out")
  assert not left.exists()


def test_a_mixture_keeps_every_photograph_once(extractor, tmp_path):
  first = _list(tmp_path / "a", 12)
  second = _list(tmp_path / "b", 9)
  out = tmp_path / "out"
  _embed(extractor, f"3: {first}; 1: {second}", out, labels=False)
  names = [name for _, rows in read_shards(out, ["color"]) for name in rows.names]
  assert names == [*open_source(first).names, *open_source(second).names]
  values = [rows.features["color"] for _, rows in read_shards(out, ["color"])]
  np.testing.assert_allclose(np.concatenate(values), mean_color.expected(names), atol=1e-6)


def test_archives_keep_their_names(extractor, tmp_path):
  import zipfile

  photos = mean_color.write_photographs(tmp_path / "photos", 25, broken=(4,))
  archive = tmp_path / "photos.zip"
  with zipfile.ZipFile(archive, "w") as file:
    for photo in sorted(photos.rglob("*.png")):
      file.write(photo, photo.relative_to(photos))
  out = tmp_path / "out"
  _embed(extractor, str(archive), out, labels=False)
  names = [name for _, rows in read_shards(out, ["color"]) for name in rows.names]
  assert len(names) == 24 and all("/photos.zip/" in name for name in names)
  values = [rows.features["color"] for _, rows in read_shards(out, ["color"])]
  np.testing.assert_allclose(np.concatenate(values), mean_color.expected(names), atol=1e-6)


def test_what_is_not_finite_is_not_kept(extractor, tmp_path):
  half = FeatureExtractor(extractor.path, features=["large"], image_size=8, dtype="float16")
  data = _list(tmp_path / "photos", 5)
  with pytest.raises(RunError, match=r"'large' of .*/001.png is not finite in float16. Give --dt"):
    _embed(half, data, tmp_path / "out")
  assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.json"}


def test_a_full_disk_is_one_line(extractor, tmp_path, monkeypatch):
  def fail(*_: object) -> None:
    raise OSError(28, "No space left on device")

  data = _list(tmp_path / "photos", 5)
  monkeypatch.setattr(embedding_folder.os, "replace", fail)
  message = r"Cannot write .*/manifest.json: No space left on device. .*same command then goes on"
  with pytest.raises(WriteError, match=message):
    _embed(extractor, data, tmp_path / "out")


def test_labels_that_are_not_there(extractor, tmp_path):
  photos = mean_color.write_photographs(tmp_path / "photos", 5)
  with pytest.raises(ValueError, match="Expected labels in .*: it has none. Leave out --labels"):
    _embed(extractor, str(photos / "red" / "*.png"), tmp_path / "out")


def test_says_how_far_it_is(extractor, tmp_path, capsys):
  data = _list(tmp_path / "photos", 30, broken=(5,))
  with pytest.raises(KeyboardInterrupt):
    _embed(extractor, data, tmp_path / "out", check=_stop_after(4))
  capsys.readouterr()
  _embed(extractor, data, tmp_path / "out", seconds=0.0)
  first, *lines, last = [line[9:] for line in capsys.readouterr().err.splitlines()]
  assert first == "10 of 30 photographs are there already."
  line = r"(\d\d) of 30 photographs  [\d,]+ photographs/s  0:00:0\d left  1 skipped"
  assert len(lines) >= 3 and all(re.fullmatch(line, each) for each in [*lines, last])
  assert last.startswith("30 of 30") and lines[-1] != last


def test_a_batch_ends_in_another_shard(extractor, tmp_path):
  data = _list(tmp_path / "photos", 21, broken=(9, 10, 19))
  folder = _embed(extractor, data, tmp_path / "out", batch_size=7)
  assert [shard.embeddings for shard in folder.manifest.shards] == [9, 8, 1]
  assert dataclasses.asdict(folder.manifest.shards[2])["skipped"] == ()
