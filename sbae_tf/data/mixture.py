"""Several sources as one."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
import tensorflow as tf

from sbae_tf.data.source import Source


def concatenate(sources: Sequence[Source], weights: Sequence[float] | None = None) -> Source:
  """Puts sources one after the other.

  Classes of the same name are one; they come in the order in which the sources first name them.

  Args:
    sources: one or more; none is a mixture itself. Of all, the same lies beside the images.
    weights: how often an image of each source is drawn, relative to the others (`Source.shares`);
      None: every image as often as any other.

  Returns:
    A source of all images. A single source is returned as it is.

  Raises:
    ValueError: there is no source, one is a mixture, or the weights are not one positive number a
      source.
  """
  if not sources or any(source.shares for source in sources):
    raise ValueError("Expected one source or more, none of them a mixture.")
  if weights is not None and (
    len(weights) != len(sources) or not all(0 < weight < math.inf for weight in weights)
  ):
    raise ValueError(f"Expected {len(sources)} positive weights. Received: {list(weights)}")
  if len(sources) == 1:
    return sources[0]
  counts = [len(source) for source in sources]
  labels, class_names = _merged_labels(sources)
  return Source(
    names=Chained([source.names for source in sources]),
    labels=labels,
    class_names=class_names,
    read=_reader(sources),
    description=_description(sources, weights),
    remote=any(source.remote for source in sources),
    portable=all(source.portable for source in sources),
    beside=sources[0].beside,
    shares=() if weights is None else tuple(zip(counts, map(float, weights))),
  )


class Chained(Sequence[str]):
  """Sequences of names one after the other, without a copy."""

  def __init__(self, parts: Sequence[Sequence[str]]) -> None:
    """Chains names.

    Args:
      parts: one or more sequences of names.
    """
    self._parts = list(parts)
    self._ends = np.cumsum([len(part) for part in parts])

  def __len__(self) -> int:
    return int(self._ends[-1])

  def __iter__(self) -> Iterator[str]:
    return itertools.chain.from_iterable(self._parts)

  @overload
  def __getitem__(self, index: int) -> str: ...

  @overload
  def __getitem__(self, index: slice) -> list[str]: ...

  def __getitem__(self, index: int | slice) -> str | list[str]:
    if isinstance(index, slice):
      return [self[i] for i in range(*index.indices(len(self)))]
    if not -len(self) <= index < len(self):
      raise IndexError(f"Expected an index below {len(self)}. Received: {index}")
    index %= len(self)
    part = int(np.searchsorted(self._ends, index, side="right"))
    return self._parts[part][index - int(self._ends[part])]  # Counted from the part's end.


def _reader(sources: Sequence[Source]) -> Callable[[tf.Tensor], tf.Tensor]:
  """`Source.read` of all."""
  ends = np.cumsum([len(source) for source in sources]).astype(np.int64)
  starts = np.concatenate([[0], ends[:-1]])
  reads = [source.read for source in sources]

  def read(index: tf.Tensor) -> tf.Tensor:
    part = tf.math.count_nonzero(index >= ends, dtype=tf.int32)
    branches = [functools.partial(read, index - start) for read, start in zip(reads, starts)]
    return tf.switch_case(part, branches)

  return read


def _merged_labels(sources: Sequence[Source]) -> tuple[np.ndarray | None, tuple[str, ...]]:
  """Labels (N,) int32 in merged classes; None where no source has labels."""
  labelled = [source for source in sources if source.labels is not None]
  if not labelled:
    return None, ()
  # The same classes keep their labels, also where two of them have one name, as in ImageNet.
  same = len({source.class_names for source in labelled}) == 1
  names = [name for source in labelled for name in source.class_names]
  class_names = labelled[0].class_names if same else tuple(dict.fromkeys(names))
  label_of = {name: label for label, name in enumerate(class_names)}
  labels = []
  for source in sources:
    if source.labels is None:
      labels.append(np.full(len(source), -1, np.int32))
    elif same:
      labels.append(source.labels)
    else:  # The last entry is that of label -1.
      lookup = np.array([*(label_of[name] for name in source.class_names), -1], np.int32)
      labels.append(lookup[source.labels])
  return np.concatenate(labels), class_names


def _description(sources: Sequence[Source], weights: Sequence[float] | None) -> str:
  parts = [source.description for source in sources]
  if weights is not None:
    parts = [f"{weight / sum(weights):.3g} of {part}" for weight, part in zip(weights, parts)]
  return f"{sum(map(len, sources)):,} images: {'; '.join(parts)}"
