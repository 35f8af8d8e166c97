"""Many names in little memory, readable from Python and from a TensorFlow graph."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import tensorflow as tf

# Names are looked up by copying their block: long blocks cost time, short ones memory.
_BLOCK = 64
# Blocks of a tensor. A tensor of all would be in memory twice while it is made.
_PIECE = 16384


class Names(Sequence[str]):
  """N names, packed: 8 bytes a name beside its characters.

  A list of Python strings takes about 60 bytes a name beside its characters, and its copy in a
  TensorFlow tensor 24 more and the characters again.
  """

  def __init__(self, names: Iterable[str | bytes]) -> None:
    """Packs names.

    Args:
      names: in their order, bytes as UTF-8; consumed once, a few at a time.
    """
    self._texts: list[tf.Tensor] = []  # (_PIECE,) string each, the last one shorter.
    texts: list[bytes] = []
    lengths = [np.zeros(0, np.int32)]
    iterator = iter(names)
    while block := [_encode(name) for name in itertools.islice(iterator, _BLOCK)]:
      texts.append(b"".join(block))
      lengths.append(np.fromiter(map(len, block), np.int32, len(block)))
      if len(texts) == _PIECE:
        self._add_piece(texts)
    if texts or not self._texts:
      self._add_piece(texts)
    joined = np.concatenate(lengths)
    del lengths
    starts = _block_starts(joined)
    with tf.device("cpu:0"):
      self._starts, self._lengths = tf.constant(starts), tf.constant(joined)
    self._host_starts, self._host_lengths = self._starts.numpy(), self._lengths.numpy()  # No copy.
    self._count = len(joined)

  def lookup(self, index: tf.Tensor) -> tf.Tensor:
    """The name at an index, in a graph or eagerly.

    Args:
      index: () integer in [0, N).

    Returns:
      () string.
    """
    block = index // _BLOCK
    if len(self._texts) == 1:
      text = tf.gather(self._texts[0], block)
    else:
      gathers = [functools.partial(tf.gather, texts, block % _PIECE) for texts in self._texts]
      text = tf.switch_case(tf.cast(block // _PIECE, tf.int32), gathers)
    return tf.strings.substr(text, tf.gather(self._starts, index), tf.gather(self._lengths, index))

  def __len__(self) -> int:
    return self._count

  @overload
  def __getitem__(self, index: int) -> str: ...

  @overload
  def __getitem__(self, index: slice) -> list[str]: ...

  def __getitem__(self, index: int | slice) -> str | list[str]:
    if isinstance(index, slice):
      return [self[i] for i in range(*index.indices(self._count))]
    if not -self._count <= index < self._count:
      raise IndexError(f"Expected an index below {self._count}. Received: {index}")
    index %= self._count
    return next(self._from(index))

  def __iter__(self) -> Iterator[str]:
    for start in range(0, self._count, _BLOCK):
      yield from self._from(start)

  def _add_piece(self, texts: list[bytes]) -> None:
    """Moves blocks into a tensor."""
    with tf.device("cpu:0"):
      self._texts.append(tf.constant(texts, tf.string))
    texts.clear()

  def _from(self, index: int) -> Iterator[str]:
    """The names from an index to the end of its block."""
    piece, block = divmod(index // _BLOCK, _PIECE)
    text = self._texts[piece][block].numpy()
    here = slice(index, (index // _BLOCK + 1) * _BLOCK)
    for start, length in zip(self._host_starts[here].tolist(), self._host_lengths[here].tolist()):
      yield text[start : start + length].decode()


class Taken(Sequence[str]):
  """Some of a sequence's names, without a copy: 8 bytes a name."""

  def __init__(self, names: Sequence[str], indices: np.ndarray) -> None:
    """Chooses names.

    Args:
      names: N names.
      indices: (M,) integers in [0, N), in the order wanted.
    """
    self._names, self._indices = names, np.asarray(indices, np.int64)

  def __len__(self) -> int:
    return len(self._indices)

  @overload
  def __getitem__(self, index: int) -> str: ...

  @overload
  def __getitem__(self, index: slice) -> list[str]: ...

  def __getitem__(self, index: int | slice) -> str | list[str]:
    if isinstance(index, slice):
      return [self._names[i] for i in self._indices[index].tolist()]
    return self._names[int(self._indices[index])]


def _encode(name: str | bytes) -> bytes:
  return name if isinstance(name, bytes) else name.encode()


def _block_starts(lengths: np.ndarray) -> np.ndarray:
  """(N,) int32: where each name begins in its block."""
  padded = np.zeros(-(-len(lengths) // _BLOCK) * _BLOCK, np.int32)
  padded[: len(lengths)] = lengths
  rows = padded.reshape(-1, _BLOCK)
  return (np.cumsum(rows, axis=1, dtype=np.int32) - rows).reshape(-1)[: len(lengths)]
