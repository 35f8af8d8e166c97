"""The folder that embeddings are written to: shards, each whole or absent, and a manifest."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from sbae_tf import output_folder
from sbae_tf.embedding_formats import FORMATS, Rows, ShardWriter
from sbae_tf.embedding_manifest import (
  MANIFEST,
  Manifest,
  Shard,
  SkippedPhotograph,
  differences,
  read_manifest,
  to_json,
)
from sbae_tf.run_folder import write_aside
from sbae_tf.writing import writing


class EmbeddingFolder:
  """Where embeddings are written.

  Attributes:
    path: the folder.
    skipped: the photographs that could not be read, and why, `skipped.tsv`; only if there are any.
    manifest: what is there; from `begin` on.
  """

  manifest: Manifest

  def __init__(self, path: str | os.PathLike[str]) -> None:
    self.path = pathlib.Path(path).expanduser()
    self.skipped = self.path / "skipped.tsv"

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Keeps the folder, which it makes, to this process for the length of a block.

    What a killed process was writing is removed.

    Raises:
      FolderError: another process has it, it cannot be made, or holds other things.
    """
    with output_folder.locked_output(self.path, marker=MANIFEST, holds="embeddings"):
      yield

  def begin(self, manifest: Manifest) -> None:
    """Takes up what is there, or starts anew.

    Args:
      manifest: without shards.

    Raises:
      FolderError: the folder holds embeddings that were made otherwise; shows how.
      WriteError: the manifest cannot be written.
    """
    file = self.path / MANIFEST
    done: tuple[Shard, ...] = ()
    if file.exists():
      there = read_manifest(self.path)
      different = differences(there.settings, manifest.settings)
      output_folder.check_same(self.path, different, holds="embeddings")
      done = tuple(shard for shard in there.shards if self._is_whole(shard))
    self.manifest = dataclasses.replace(manifest, shards=done)
    with writing(file, tf.errors.OpError):
      # Written anew from the manifest: an interrupted shard's photographs are tried again.
      self.skipped.unlink(missing_ok=True)
      self._write_manifest()

  def missing(self) -> list[int]:
    """The numbers of the shards that are not there, in their order."""
    done = {shard.number for shard in self.manifest.shards}
    return [number for number in range(self.manifest.settings.shards) if number not in done]

  @contextlib.contextmanager
  def writing(self, number: int, skipped: Sequence[SkippedPhotograph]) -> Iterator[ShardWriter]:
    """Has a shard written; at the end of the block it is there, and in the manifest.

    Args:
      number: of the shard.
      skipped: the photographs that are not in it; looked at at the end of the block.

    Yields:
      What takes the rows. Nothing stays of a block that raises an error.

    Raises:
      WriteError: a file cannot be written.
    """
    settings = self.manifest.settings
    suffix = f"{number:05d}-of-{settings.shards:05d}"
    shown = self.path / f"embeddings-{suffix}"  # In errors.
    aside = self.path / f".{suffix}.{os.getpid()}.aside"
    counted = None
    try:
      with writing(shown, tf.errors.OpError):
        aside.mkdir()
        writer = FORMATS[settings.format].open(str(aside), suffix, settings.layout)
        counted = _Counted(writer, shown)
      yield counted
      with writing(shown, tf.errors.OpError):
        counted.close()
        files = counted.files
        sizes = [(aside / name).stat().st_size for name in files.values()]
        for name in files.values():
          _sync(aside / name)
          os.replace(aside / name, self.path / name)
        _sync(self.path)
        shard = Shard(number, counted.count, files, sizes, tuple(skipped))
        shards = sorted((*self.manifest.shards, shard), key=lambda each: each.number)
        self.manifest = dataclasses.replace(self.manifest, shards=tuple(shards))
        self._write_manifest()
    finally:
      if counted is not None:
        with contextlib.suppress(OSError, tf.errors.OpError):
          counted.close()
      output_folder.remove(aside)

  def _is_whole(self, shard: Shard) -> bool:
    files = [self.path / name for name in shard.files.values()]
    return all(
      file.is_file() and file.stat().st_size == size for file, size in zip(files, shard.bytes)
    )

  def _write_manifest(self) -> None:
    write_aside(self.path / MANIFEST, to_json(self.manifest).encode())


class _Counted:
  """A writer that counts rows, and says what could not be written."""

  def __init__(self, writer: ShardWriter, shown: pathlib.Path) -> None:
    self._writer, self._shown, self._closed = writer, shown, False
    self.files = writer.files
    self.count = 0

  def write(self, rows: Rows) -> None:
    with writing(self._shown, tf.errors.OpError):
      self._writer.write(rows)
    self.count += len(rows)

  def close(self) -> None:
    if not self._closed:
      self._closed = True
      self._writer.close()


def _sync(path: pathlib.Path) -> None:
  """Waits until a file, or a folder's list of names, is on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
