"""Tests of sbae_tf.data.archives."""

from __future__ import annotations

import io
import os
import pathlib
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import archives
from sbae_tf.data import source as source_lib
from sbae_tf.data.split import split_heldout

# Of any length, some with zeros at their end; what is a JPEG's is not looked at.
FILES = {
  "photos/dog/1.JPG": b"first" * 1000,
  "photos/dog/.hidden.jpg": b"x",
  "photos/notes.txt": b"x",
  "photos/cat/x/2.png": bytes(range(256)) * 40 + b"\0\0\0",
  "photos/cat/3.webp": b"third",
  "__MACOSX/photos/cat/._3.jpg": b"x",
  "photos/dog/\u00e4.jpg": os.urandom(5000),
}
IMAGES = {name: FILES[name] for name in FILES if "/." not in name and "/._" not in name}
del IMAGES["photos/notes.txt"]


def _zip(path: pathlib.Path, files: dict[str, bytes] = FILES, method: int = 8) -> str:
  with zipfile.ZipFile(path, "w") as archive:
    archive.mkdir("photos/dog.jpg") if hasattr(archive, "mkdir") else None
    for name, content in files.items():
      archive.writestr(name, content, compress_type=method)
  return str(path)


def _tar(path: pathlib.Path, files: dict[str, bytes] = FILES, **options: object) -> str:
  with tarfile.open(path, **{"mode": "w", **options}) as archive:
    folder = tarfile.TarInfo("photos/dog.jpg")
    folder.type = tarfile.DIRTYPE
    archive.addfile(folder)
    for name, content in files.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
    link = tarfile.TarInfo("photos/dog/link.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "1.JPG"
    archive.addfile(link)
  return str(path)


def _stored(path: pathlib.Path, files: dict[str, bytes] = FILES) -> str:
  return _zip(path, files, method=0)


def _read(source: source_lib.Source, index: int) -> bytes:
  return source.read(tf.constant(index, tf.int64)).numpy()


KINDS = pytest.mark.parametrize(
  ("write", "extension"), [(_zip, "zip"), (_stored, "ZIP"), (_tar, "tar")]
)


@KINDS
@pytest.mark.parametrize("prefix", ["", "file://"])
def test_images_names_and_classes(tmp_path, write, extension, prefix):
  path = prefix + write(tmp_path / f"a.{extension}")
  source = archives.build(path)
  assert list(source.names) == [f"{path}/{name}" for name in IMAGES]
  assert source.class_names == ("cat", "dog") and source.labels.tolist() == [1, 0, 0, 1]
  assert source.description == f"4 images in {path}, 2 classes, 1 other file skipped"
  assert (source.portable, source.remote, source.root) == (False, bool(prefix), path)
  expected = list(IMAGES.values())
  function = tf.function(source.read)
  dataset = tf.data.Dataset.range(400).map(
    lambda index: source.read(index % 4), num_parallel_calls=8
  )
  assert [_read(source, i) for i in range(4)] == expected
  assert [function(tf.constant(i, tf.int64)).numpy() for i in range(4)] == expected
  assert list(dataset.as_numpy_iterator()) == expected * 100


@KINDS
def test_a_folder_in_an_archive(tmp_path, write, extension):
  path = write(tmp_path / f"a.{extension}")
  source = archives.build(f"{path}/photos/cat/")
  assert list(source.names) == [f"{path}/photos/cat/x/2.png", f"{path}/photos/cat/3.webp"]
  assert source.labels is None and source.root == f"{path}/photos/cat"
  assert _read(source, 1) == b"third"
  with pytest.raises(ValueError, match="No images in .*/phot: 0 other files"):
    archives.build(f"{path}/phot")


def test_names_as_other_tools_write_them(tmp_path):
  """`tar -C folder .` writes `./` before every name."""
  source = archives.build(_tar(tmp_path / "a.tar", {"./a/1.jpg": b"1", "./b/2.jpg": b"2"}))
  assert [name[len(source.root) :] for name in source.names] == ["/a/1.jpg", "/b/2.jpg"]
  assert source.class_names == ("a", "b")


def test_long_extra_fields_are_read_over(tmp_path):
  """The header before the data may differ from the one in the directory."""
  path = tmp_path / "a.zip"
  with zipfile.ZipFile(path, "w") as archive:
    info = zipfile.ZipInfo("a.jpg")
    info.extra = b"\xfe\xca\xf0\x00" + b"x" * 240
    archive.writestr(info, b"content" * 100)
  source = archives.build(str(path))
  assert _read(source, 0) == b"content" * 100


@KINDS
def test_split_moves_with_the_archive(tmp_path, write, extension):
  files = {f"x/{i}.jpg": b"%d" % i for i in range(60)}
  (tmp_path / "b").mkdir()
  paths = [write(tmp_path / f"{name}.{extension}", files) for name in ("a", "b/c")]
  heldout = [split_heldout(archives.build(path), 0.3)[1] for path in paths]
  numbers = [[name.rpartition("/")[2] for name in side.names] for side in heldout]
  assert numbers[0] == numbers[1]
  for index, name in enumerate(numbers[0]):
    assert _read(heldout[0], index) == name[:-4].encode()


def test_damaged_members_fail_when_read_and_are_named(tmp_path):
  for write in (_zip, _stored):
    path = write(tmp_path / f"{write.__name__}.zip")
    source = archives.build(path)
    data = bytearray(pathlib.Path(path).read_bytes())
    data[100] ^= 1
    pathlib.Path(path).write_bytes(data)
    with pytest.raises(tf.errors.OpError, match="photos/dog/1.JPG: it is damaged"):
      _read(source, 0)
    assert _read(source, 2) == b"third"
  path = _tar(tmp_path / "a.tar")
  source = archives.build(path)
  os.truncate(path, 3000)
  with pytest.raises(tf.errors.OpError, match="photos/dog/1.JPG: the archive ends within it"):
    _read(source, 0)


def test_refused_archives_are_one_line(tmp_path):
  encrypted = pathlib.Path(_zip(tmp_path / "encrypted.zip"))
  data = encrypted.read_bytes()
  at = data.index(b"PK\1\2", data.index(b"1.JPG", data.index(b"PK\1\2")) - 60)
  encrypted.write_bytes(data[: at + 8] + bytes([data[at + 8] | 1]) + data[at + 9 :])
  (tmp_path / "empty.tar").write_bytes(b"")
  (tmp_path / "text.zip").write_bytes(b"hello")
  _tar(tmp_path / "packed.tar", mode="w:gz")
  _tar(tmp_path / "latin.tar", {"\u00e4.jpg": b""}, encoding="latin-1", format=tarfile.GNU_FORMAT)
  cut = pathlib.Path(_tar(tmp_path / "cut.tar"))
  cut.write_bytes(cut.read_bytes()[:3000])
  _zip(tmp_path / "none.zip", {"a.txt": b""})
  for name, message in (
    ("encrypted.zip", "1 of 4 images in .* are encrypted: unpack it"),
    (os.path.basename(_zip(tmp_path / "lzma.zip", method=14)), "4 of 4 images .* by lzma"),
    ("missing.zip", "Cannot read .*missing.zip: .*No such file"),
    ("missing.tar", "Cannot read .*missing.tar: .*No such file"),
    ("empty.tar", "Cannot read .*empty.tar: empty file"),
    ("text.zip", "Cannot read .*text.zip: File is not a zip file"),
    ("packed.tar", "Cannot read .*packed.tar: "),
    ("cut.tar", "Cannot read .*cut.tar: unexpected end of data"),
    ("latin.tar", "not UTF-8"),
    ("none.zip", r"No images in .*none.zip: 1 other file\."),
    *((name, f"{name}: it is compressed as a whole") for name in ("a.tar.gz", "a.tgz", "a.tar.xz")),
  ):
    with pytest.raises(ValueError, match=message) as caught:
      archives.build(str(tmp_path / name))
    assert "\n" not in str(caught.value), name


def test_archives_by_name():
  for name in ("a.zip", "a.ZIP/b/c", "x/a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "gs://b/a.tar/d"):
    assert archives.is_archive(name), name
  for name in ("a.zipper", "zip", "a.tar.d/x.jpg", "a.jpg", "zip/a.jpg"):
    assert not archives.is_archive(name), name


def test_the_file_is_closed_with_the_source(tmp_path):
  path = _tar(tmp_path / "a.tar")
  source = archives.build(path)
  assert path in _open_files()
  del source
  assert path not in _open_files()


def _open_files() -> list[str]:
  folder = "/proc/self/fd"
  if not os.path.isdir(folder):
    pytest.skip("needs /proc")
  names = [os.path.join(folder, name) for name in os.listdir(folder)]
  return [os.readlink(name) for name in names if os.path.islink(name)]


def test_labels_are_int32(tmp_path):
  assert archives.build(_zip(tmp_path / "a.zip")).labels.dtype == np.int32
