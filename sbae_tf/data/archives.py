"""Images in a zip or tar archive, read without unpacking it."""

from __future__ import annotations

import os
import re
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from sbae_tf.data import source as source_lib
from sbae_tf.data.class_labels import label_by_folder
from sbae_tf.data.files import EXTENSIONS
from sbae_tf.data.names import Names

_ARCHIVE = re.compile(r"(?P<archive>.+?\.(zip|tar))(/(?P<folder>.*))?", re.IGNORECASE)
_COMPRESSED = re.compile(r"\.(tar\.\w+|tgz|tbz2?|txz|tzst)$", re.IGNORECASE)
_DIRECT, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED

# A zip member's own header: 30 bytes, its name, and extra fields that are rarely longer than this.
_ZIP_HEADER, _ZIP_EXTRA = 30, 64


def is_archive(path: str) -> bool:
  """Whether a path is one of an archive, or of a folder in one, by its name alone."""
  return bool(_ARCHIVE.fullmatch(path) or _COMPRESSED.search(path))


def build(path: str) -> source_lib.Source:
  """Opens the images of an archive: zip, its members stored or deflated, or tar, not compressed.

  Members are images by their extension, as in `files`; names with a part that begins with a dot are
  passed over. Classes are the first folders below those that all images share.

  Reads through Python (`Source.portable` is False): TensorFlow has no op that reads a part of a
  file. Opening takes about a kilobyte of memory a member of a zip; of millions of images, records
  are the better form.

  Args:
    path: the archive, on any file system that TensorFlow reads; or `ARCHIVE/FOLDER` for a folder
      in it. `~` is the home folder.

  Returns:
    A source in the order of the archive, with names such as `a.zip/cat/1.jpg`.

  Raises:
    ValueError: it cannot be read, is damaged, compressed as a whole, encrypted, or holds no image.
  """
  path = os.path.expanduser(path)
  matched = _ARCHIVE.fullmatch(path)
  if _COMPRESSED.search(path) or not matched:
    raise ValueError(
      f"Cannot read single images of {path}: it is compressed as a whole. Unpack it; or pack it as "
      "a plain tar, a zip or records."
    )
  archive, folder = matched["archive"], (matched["folder"] or "").strip("/")
  members = _Members(f"{archive}/", folder + "/" if folder else "")
  is_zip = archive.lower().endswith("zip")
  try:
    file = _File(archive)
    with file.open() as opened:
      names = Names((_zip_members if is_zip else _tar_members)(opened, members))
  except tf.errors.OpError as error:
    raise ValueError(f"Cannot read {archive}: {source_lib.first_line(error)}") from error
  except UnicodeError as error:
    raise ValueError(f"Cannot read {archive}: a name in it is not UTF-8: {error}") from error
  except (OSError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, EOFError) as error:
    raise ValueError(
      f"Cannot read {archive}: {error}. It is damaged or of another kind."
    ) from error
  members.check(path)
  return _source(path, file, names, members, read=_read_zip if is_zip else _read_tar)


class _Members:
  """The images of an archive, and what else is in it."""

  def __init__(self, prefix: str, folder: str) -> None:
    self.prefix, self._folder = prefix, folder
    self.places: list[tuple[int, ...]] = []  # As the archive's kind needs them.
    self.others = 0
    self.refused: dict[str, int] = {}
    self._common: list[str] | None = None  # The folders that all images share.

  def name(self, inner: str, place: tuple[int, ...], refusal: str = "") -> str | None:
    """The name of an image; None where it is none."""
    inner = inner[2:] if inner.startswith("./") else inner
    folders = inner.split("/")
    if not inner.startswith(self._folder) or any(part.startswith(".") for part in folders):
      return None
    if not inner.lower().endswith(EXTENSIONS):
      self.others += 1
      return None
    if refusal:
      self.refused[refusal] = self.refused.get(refusal, 0) + 1
    self.places.append(place)
    self._common = folders[:-1] if self._common is None else _shared(self._common, folders[:-1])
    return self.prefix + inner

  def root(self) -> str:
    """The folder below which the first folders are classes."""
    return self.prefix + "/".join(self._common or [])

  def check(self, path: str) -> None:
    """Refuses an archive without images, or with such as cannot be read."""
    for refusal, count in self.refused.items():
      raise ValueError(
        f"{count:,} of {len(self.places):,} images in {path} are {refusal}: unpack it."
      )
    if not self.places:
      raise ValueError(
        f"No images in {path}: {_others(self.others)}. Expected names that end in "
        f"{', '.join(EXTENSIONS)}"
      )


def _others(count: int) -> str:
  return f"{count:,} other {'file' if count == 1 else 'files'}"


def _shared(one: list[str], other: list[str]) -> list[str]:
  same = [a == b for a, b in zip(one, other)]
  return one[: same.index(False) if False in same else len(same)]


def _zip_members(opened: BinaryIO, members: _Members) -> Iterator[str]:
  """Places: where the member begins, its sizes packed and not, CRC, method, length of its name."""
  with zipfile.ZipFile(opened) as archive:
    for info in archive.infolist():
      refusal = "encrypted" if info.flag_bits & 1 else ""
      if info.compress_type not in (_DIRECT, _DEFLATED):
        refusal = refusal or f"compressed by {_method(info.compress_type)}"
      sizes = (info.header_offset, info.compress_size, info.file_size, info.CRC)
      place = (*sizes, info.compress_type, len(info.orig_filename.encode()))
      if not info.is_dir() and (name := members.name(info.filename, place, refusal)):
        yield name


def _method(number: int) -> str:
  return str({9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz"}.get(number, number))


def _tar_members(opened: BinaryIO, members: _Members) -> Iterator[str]:
  """Places: where the data begins, and its size."""
  with tarfile.open(fileobj=opened, mode="r:", encoding="utf-8", errors="strict") as archive:
    for info in archive:
      refusal = "sparse" if info.issparse() else ""
      place = (info.offset_data, info.size)
      if info.isreg() and (name := members.name(info.name, place, refusal)):
        yield name
      archive.members = []  # type: ignore[attr-defined] # It keeps all that were seen.


class _File:
  """A file of which parts are read in several threads."""

  def __init__(self, path: str) -> None:
    self._path, self._remote = path, "://" in path
    self._of_thread = threading.local()
    self._descriptor = None if self._remote else os.open(path, os.O_RDONLY | os.O_CLOEXEC)

  def open(self) -> BinaryIO:
    """The whole, to be closed by the caller."""
    return tf.io.gfile.GFile(self._path, "rb") if self._remote else open(self._path, "rb")

  def read_at(self, offset: int, size: int) -> bytes:
    """A part; shorter where the file ends."""
    if self._descriptor is not None:
      return os.pread(self._descriptor, size, offset)
    if not hasattr(self._of_thread, "file"):
      self._of_thread.file = self.open()
    self._of_thread.file.seek(offset)
    return self._of_thread.file.read(size)

  def __del__(self) -> None:
    descriptor = getattr(self, "_descriptor", None)  # None too where opening failed.
    if descriptor is not None:
      os.close(descriptor)


def _read_tar(file: _File, offset: int, size: int) -> bytes:
  data = file.read_at(offset, size)
  if len(data) < size:
    raise ValueError("the archive ends within it")
  return data


def _read_zip(
  file: _File, offset: int, packed: int, size: int, crc: int, method: int, name_length: int
) -> bytes:
  data = file.read_at(offset, _ZIP_HEADER + name_length + _ZIP_EXTRA + packed)
  if data[:4] != b"PK\3\4" or len(data) < _ZIP_HEADER:
    raise ValueError("the archive has no member there")
  start = _ZIP_HEADER + sum(struct.unpack_from("<HH", data, 26))
  if len(data) < start + packed:
    data += file.read_at(offset + len(data), start + packed - len(data))
  data = data[start : start + packed]
  if len(data) < packed:
    raise ValueError("the archive ends within it")
  if method == _DEFLATED:
    try:  # No more than was promised, whatever it says.
      data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
    except zlib.error as error:
      raise ValueError(f"it is damaged: {error}") from error
  if len(data) != size or zlib.crc32(data) != crc:
    raise ValueError("it is damaged: its size or CRC differs")
  return data


def _source(
  path: str, file: _File, names: Names, members: _Members, *, read: Callable[..., bytes]
) -> source_lib.Source:
  places = np.array(members.places, np.int64)
  members.places.clear()
  labels, class_names = label_by_folder(names, root=members.root())
  description = f"{len(names):,} images in {path}"
  if class_names:
    description += f", {len(class_names):,} classes"
  if members.others:
    description += f", {_others(members.others)} skipped"

  def read_one(index: np.int64) -> bytes:
    try:
      return read(file, *places[index].tolist())
    except (ValueError, OSError) as error:
      # As TensorFlow's own ops fail, also where this runs eagerly.
      raise tf.errors.DataLossError(None, None, f"{names[int(index)]}: {error}") from error

  def read_image(index: tf.Tensor) -> tf.Tensor:
    encoded = tf.numpy_function(read_one, [index], tf.string, stateful=False)
    return tf.ensure_shape(encoded, [])

  return source_lib.Source(
    names=names,
    labels=labels,
    class_names=class_names,
    read=read_image,
    description=description,
    remote="://" in path,
    portable=False,
    root=path.rstrip("/"),
  )
