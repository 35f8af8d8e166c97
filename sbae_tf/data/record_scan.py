"""Where the records of a file begin, found by walking over their lengths."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from sbae_tf.data import source as source_lib
from sbae_tf.data.map_ahead import map_ahead
from sbae_tf.data.record_shard import FOOTER_BYTES, HEADER_BYTES

_BLOCK = 4096  # Headers whose checksums are computed together.
_SECONDS_BETWEEN_LINES = 10.0

_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x78\x9c": "zlib", b"\x78\x01": "zlib", b"\x78\xda": "zlib"}


def scan(paths: Sequence[str]) -> list[np.ndarray]:
  """Finds the records of files, several files at a time.

  Of a local file only the 12 bytes before every record are read; a remote one is read as a whole,
  since its file system fetches large pieces. What takes long reports how far it is to the log.

  Args:
    paths: record files, not compressed, on any file system that TensorFlow reads.

  Returns:
    For each file the (N,) int64 offsets of its records, in bytes; N may be 0.

  Raises:
    ValueError: a file cannot be read, is compressed, is no record file, or ends within a record.
  """
  try:
    sizes = [stat.length for stat in map_ahead(tf.io.gfile.stat, paths)]
    progress = _Progress(sum(sizes), len(paths))

    def scan_one(item: tuple[str, int]) -> np.ndarray:
      blocks = [np.zeros(0, np.int64)]
      with _open(item[0]) as read_at:
        for block, end in _blocks(read_at, *item):
          progress.report(end - int(block[0]), len(block))
          blocks.append(block)
      return np.concatenate(blocks)

    return list(map_ahead(scan_one, zip(paths, sizes)))
  except (tf.errors.OpError, OSError) as error:
    reason = source_lib.first_line(error) if isinstance(error, tf.errors.OpError) else str(error)
    raise ValueError(f"Cannot read the records: {reason}") from error


def masked_crc32c(rows: np.ndarray) -> np.ndarray:
  """The checksum of records, of many short rows at a time.

  Args:
    rows: (N, M) uint8.

  Returns:
    (N,) uint32: CRC-32C (Castagnoli), masked as in TensorFlow's `crc32c.h`.
  """
  crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
  for column in rows.T:
    crc = _TABLE[(crc ^ column) & 0xFF] ^ (crc >> np.uint32(8))
  crc = ~crc
  return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)


def _table() -> np.ndarray:
  table = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    table = np.where(table & 1, (table >> np.uint32(1)) ^ np.uint32(0x82F63B78), table >> 1)
  return table.astype(np.uint32)


_TABLE = _table()


@contextlib.contextmanager
def _open(path: str) -> Iterator[Callable[[int], bytes]]:
  """A function that reads the header at an offset."""
  if "://" not in path:
    with open(path, "rb", buffering=0) as file:
      yield lambda offset: os.pread(file.fileno(), HEADER_BYTES, offset)
  else:
    with tf.io.gfile.GFile(path, "rb") as remote:

      def read_at(offset: int) -> bytes:
        remote.seek(offset)
        return remote.read(HEADER_BYTES)

      yield read_at


def _blocks(
  read_at: Callable[[int], bytes], path: str, size: int
) -> Iterator[tuple[np.ndarray, int]]:
  """Offsets, some thousand at a time, and where the last record ends."""
  offset = 0
  while offset < size:
    offsets: list[int] = []
    headers: list[bytes] = []
    while offset < size and len(offsets) < _BLOCK:
      header = read_at(offset)
      if len(header) < HEADER_BYTES:
        break
      offsets.append(offset)
      headers.append(header)
      offset += HEADER_BYTES + struct.unpack_from("<Q", header)[0] + FOOTER_BYTES
    rows = np.frombuffer(b"".join(headers), np.uint8).reshape(-1, HEADER_BYTES)
    wrong = masked_crc32c(rows[:, :8]) != rows[:, 8:].copy().view("<u4").reshape(-1)
    if wrong.any():
      raise _wrong_header(path, offsets[int(np.argmax(wrong))], headers[0])
    if offset > size or (offset < size and len(headers) < _BLOCK):
      at = offsets[-1] if offset > size else offset
      raise ValueError(
        f"{path} ends within the record at byte {at:,} of {size:,}: it was not written or copied "
        "to its end. Write it again, or cut it there."
      )
    yield np.array(offsets, np.int64), offset


def _wrong_header(path: str, offset: int, first: bytes) -> ValueError:
  method = _COMPRESSED.get(first[:2])
  if offset == 0 and method:
    return ValueError(f"{path} is compressed ({method}): its records cannot be found. Unpack it.")
  what = "is no file of TFRecords" if offset == 0 else "is damaged"
  return ValueError(f"{path} {what}: the length of the record at byte {offset:,} has another CRC.")


class _Progress:
  """Lines in the log, where it takes long."""

  def __init__(self, size: int, files: int) -> None:
    self._size, self._files = size, files
    self._done, self._records = 0, 0
    self._start = self._last = time.monotonic()
    self._lock = threading.Lock()

  def report(self, size: int, records: int) -> None:
    with self._lock:
      self._done, self._records = self._done + size, self._records + records
      now = time.monotonic()
      if now - self._last < _SECONDS_BETWEEN_LINES or not self._done:
        return
      self._last, passed = now, now - self._start
      logging.info(
        "Looking for records in %d files: %s found, %.0f%%, %s a second, %.0f s left",
        *(self._files, f"{self._records:,}", 100 * self._done / self._size),
        *(f"{self._records / passed:,.0f}", passed * (self._size / self._done - 1)),
      )
