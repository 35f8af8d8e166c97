"""Photographs with classes, as protocols want them."""

from __future__ import annotations

import dataclasses
from collections.abc import Set as AbstractSet

import numpy as np

from sbae_tf.data.beside import Beside
from sbae_tf.data.source import Source
from sbae_tf.data.sources import open_source


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled:
  """Photographs that all have a class; or none, where what is measured needs none.

  Attributes:
    source: N photographs with labels; the weights of a mixture are taken off, for each photograph
      counts once.
    classes: whether they have classes. Without, those that the source has are taken off.

  Raises:
    ValueError: a photograph has no class, or there are fewer than two.
  """

  source: Source
  classes: bool = True

  def __post_init__(self) -> None:
    source = dataclasses.replace(self.source, shares=())
    if not self.classes:
      source = dataclasses.replace(source, labels=None, class_names=())
    object.__setattr__(self, "source", source)
    if not self.classes:
      return
    labels = self.source.labels
    if labels is None or len(self.source.class_names) < 2:
      raise ValueError(
        f"Expected photographs of two classes or more. Received: {self.source.description}. A "
        "folder with a sub-folder for each class will do."
      )
    if (labels < 0).any():
      raise ValueError(
        f"Expected a class for every photograph. {int((labels < 0).sum())} have none: "
        f"{self.source.description}."
      )

  def __len__(self) -> int:
    return len(self.source)

  @property
  def labels(self) -> np.ndarray:
    """(N,) int32 indices into `class_names`; -1 without classes."""
    if self.source.labels is None:
      return np.full(len(self), -1, np.int32)
    return self.source.labels

  @property
  def class_names(self) -> tuple[str, ...]:
    """The classes, in the order of their labels; none without classes."""
    return self.source.class_names

  def subset(self, indices: np.ndarray) -> Labelled:
    """The photographs at (M,) indices, in that order."""
    description = f"{len(indices):,} of {self.source.description}"
    return Labelled(self.source.subset(indices, description), classes=self.classes)


def open_labelled(spec: str, *, classes: bool = True, beside: Beside | None = None) -> Labelled:
  """Opens photographs with classes.

  Args:
    spec: as `open_source` takes it.
    classes: False opens any photographs, and without their classes.
    beside: as well.

  Raises:
    ValueError: they cannot be opened, or `Labelled` takes no such ones.
  """
  return Labelled(open_source(spec, labels=classes, beside=beside), classes=classes)


def split(labels: np.ndarray, fraction: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Draws a part of every class.

  Args:
    labels: (N,) integers.
    fraction: of each class that goes into the second part, in (0, 1): at least one photograph of a
      class with two or more, never all of it. A single photograph is in the first part.
    seed: of the draw.

  Returns:
    Two sorted arrays of indices, int64, that together are all.

  Raises:
    ValueError: `fraction` is out of range.
  """
  if not 0 < fraction < 1:
    raise ValueError(f"Expected `fraction` between 0 and 1. Received: {fraction}")
  rng = np.random.default_rng(seed)
  taken = []
  for label in np.unique(labels):
    members = np.flatnonzero(labels == label)
    count = min(len(members) - 1, max(1, round(fraction * len(members))))
    taken.append(rng.permutation(members)[:count])
  second = np.sort(np.concatenate(taken))
  return np.setdiff1d(np.arange(len(labels)), second), second


def draw(labels: np.ndarray, per_class: int, *, seed: int) -> np.ndarray:
  """Draws so many photographs of every class.

  A draw of fewer is a part of a draw of more with the same seed.

  Args:
    labels: (N,) integers.
    per_class: of each class; at least 1.
    seed: of the draw.

  Returns:
    (classes * per_class,) int64 indices, sorted.

  Raises:
    ValueError: a class has fewer, and says how many.
  """
  rng = np.random.default_rng(seed)
  taken = []
  for label in np.unique(labels):
    members = rng.permutation(np.flatnonzero(labels == label))
    if len(members) < per_class:
      raise ValueError(
        f"Expected at least {per_class} photographs of every class. Class {label} has "
        f"{len(members)}."
      )
    taken.append(members[:per_class])
  return np.sort(np.concatenate(taken))


def check_same_classes(train: Labelled, test: Labelled) -> None:
  """Raises ValueError unless both have the same classes in the same order."""
  first, second = set(train.class_names), set(test.class_names)
  if first != second:
    raise ValueError(
      "Expected the same classes in both parts. Only in the first: "
      f"{_named(first - second)}; only in the second: {_named(second - first)}."
    )
  if train.class_names != test.class_names:
    raise ValueError(
      "Expected the classes of both parts in the same order. Received: "
      f"{', '.join(train.class_names[:5])}, ...; {', '.join(test.class_names[:5])}, ..."
    )


def _named(names: AbstractSet[str]) -> str:
  some = sorted(names)
  return ", ".join(some[:5]) + (f" and {len(some) - 5} more" if len(some) > 5 else "") or "none"
