"""What lies beside record files: which they are, what is in them and what was left out.

A folder of records holds the shards (`*.tfrecord`), for each an index (`record_shard`), and
`manifest.json`, written last: a folder without it is not finished. What was left out is listed in
`skipped.tsv`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from sbae_tf.data import source as source_lib
from sbae_tf.data.map_ahead import map_ahead

FILE = "manifest.json"
SKIPPED_FILE = "skipped.tsv"

# The features of a record's `tf.train.Example`, as the TensorFlow Model Garden names them.
IMAGE_KEY = "image/encoded"
FORMAT_KEY = "image/format"
LABEL_KEY = "image/class/label"
TEXT_KEY = "image/class/text"
NAME_KEY = "image/filename"

_VERSION = 1
_PIECE = 1 << 22


@dataclasses.dataclass(frozen=True)
class Shard:
  """One record file.

  Attributes:
    file: its name in the folder, ending in `.tfrecord`.
    images: the number of records.
    bytes: the file's size.
    sha256: of the whole file, hexadecimal, as `sha256sum` prints it.
  """

  file: str
  images: int
  bytes: int
  sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
  """What a folder of records holds.

  Attributes:
    shards: the record files, in the order of their images.
    class_names: the classes in the order of their labels; empty where no image has one.
    source: what the records were made from, for people.
    skipped: how many images were left out, by reason (`unreadable.REASONS`).
    settings: how the records were made: JSON values, not read by any code.
  """

  shards: tuple[Shard, ...]
  class_names: tuple[str, ...] = ()
  source: str = ""
  skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def images(self) -> int:
    """The number of images in all shards."""
    return sum(shard.images for shard in self.shards)


def write(folder: str, manifest: Manifest) -> None:
  """Writes `manifest.json`; to be called when all shards are there.

  Args:
    folder: any that TensorFlow writes to. A manifest in it is replaced in one step.
    manifest: with at least one shard.

  Raises:
    ValueError: there is no shard, or two of the same name.
  """
  files = [shard.file for shard in manifest.shards]
  if not files or len(set(files)) < len(files):
    raise ValueError(f"Expected one shard or more, of different names. Received: {files}")
  values = {
    "version": _VERSION,
    "images": manifest.images,
    "source": manifest.source,
    "skipped": dict(manifest.skipped),
    "settings": dict(manifest.settings),
    "keys": [IMAGE_KEY, FORMAT_KEY, LABEL_KEY, TEXT_KEY, NAME_KEY],
    "class_names": list(manifest.class_names),
    "shards": [dataclasses.asdict(shard) for shard in manifest.shards],
  }
  replace(tf.io.gfile.join(folder, FILE), (json.dumps(values, indent=1) + "\n").encode())


def read(folder: str) -> Manifest:
  """Reads `manifest.json`.

  Args:
    folder: the records' folder.

  Returns:
    The manifest.

  Raises:
    ValueError: there is none, it is damaged, or of a version unknown here.
  """
  path = tf.io.gfile.join(folder, FILE)
  try:
    with tf.io.gfile.GFile(path, "rb") as file:
      values = json.loads(file.read())
    if values["version"] != _VERSION:
      raise ValueError(f"version {values['version']} is not {_VERSION}, the one known here")
    manifest = Manifest(
      shards=tuple(Shard(**shard) for shard in values["shards"]),
      class_names=tuple(values["class_names"]),
      source=values["source"],
      skipped=values["skipped"],
      settings=values["settings"],
    )
    if manifest.images != values["images"]:
      raise ValueError(f"{values['images']} images, but {manifest.images} in its shards")
  except tf.errors.OpError as error:
    raise ValueError(f"Cannot read {path}: {source_lib.first_line(error)}") from error
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f"{path} is no manifest of records: {error!r}. Write it again.") from error
  return manifest


def exists(folder: str) -> bool:
  """Whether a folder has a manifest."""
  return bool(tf.io.gfile.exists(tf.io.gfile.join(folder, FILE)))


def write_skipped(folder: str, skipped: Iterable[tuple[str, str, str]]) -> None:
  """Writes `skipped.tsv`: a line each of name, reason and detail, apart by tabs.

  Args:
    folder: the records' folder.
    skipped: (name, reason, detail); tabs and line ends in them become spaces.
  """
  path = tf.io.gfile.join(folder, SKIPPED_FILE)
  with tf.io.gfile.GFile(path, "wb") as file:
    for row in skipped:
      cells = [cell.translate({9: " ", 10: " ", 13: " "}) for cell in row]
      file.write(("\t".join(cells) + "\n").encode())


def verify(folder: str) -> list[str]:
  """Reads every byte of the shards and compares it with the manifest's checksums.

  Args:
    folder: the records' folder.

  Returns:
    A line for every shard that is missing or differs; empty where all is as it was written.

  Raises:
    ValueError: there is no manifest.
  """

  def check(shard: Shard) -> str:
    path = tf.io.gfile.join(folder, shard.file)
    try:
      return "" if sha256_of(path) == shard.sha256 else f"{path} is not what was written"
    except tf.errors.OpError as error:
      return f"Cannot read {path}: {source_lib.first_line(error)}"

  return [problem for problem in map_ahead(check, read(folder).shards, threads=4) if problem]


def sha256_of(path: str) -> str:
  """The SHA-256 of a file, hexadecimal.

  Args:
    path: any that TensorFlow reads.

  Raises:
    tf.errors.OpError: it cannot be read.
  """
  digest = hashlib.sha256()
  with tf.io.gfile.GFile(path, "rb") as file:
    while piece := file.read(_PIECE):
      digest.update(piece)
  return digest.hexdigest()


def replace(path: str, content: bytes) -> None:
  """Writes a file in one step, so that nobody ever reads half of it.

  Args:
    path: any that TensorFlow writes to; a file there is replaced.
    content: all of it.
  """
  part = part_of(path)
  with tf.io.gfile.GFile(part, "wb") as file:
    file.write(content)
  tf.io.gfile.rename(part, path, overwrite=True)


def part_of(path: str) -> str:
  """A name for a file that is being written, in the same folder and of this writer alone."""
  folder, name = os.path.split(path)
  return tf.io.gfile.join(folder, f".{name}.{uuid.uuid4().hex}.part")
