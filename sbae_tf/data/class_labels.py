"""Labels from class names that come one at a time, an image each."""

from __future__ import annotations

import array
from collections.abc import Iterable

import numpy as np


class ClassLabels:
  """Collects the class of one image after the other; 4 bytes an image."""

  def __init__(self) -> None:
    self._labels, self._label_of = array.array("i"), {"": -1}

  def add(self, name: str) -> None:
    """Adds an image.

    Args:
      name: its class, empty for none.
    """
    self._labels.append(self._label_of.setdefault(name, len(self._label_of) - 1))

  def result(self) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The labels, (N,) int32, -1 for none, and the sorted class names; None without classes."""
    found = list(self._label_of)[1:]  # In the order in which they came.
    if not found:
      return None, ()
    class_names = tuple(sorted(found))
    rank = {name: label for label, name in enumerate(class_names)}
    lookup = np.array([*(rank[name] for name in found), -1], np.int32)  # The last: of label -1.
    return lookup[np.frombuffer(self._labels, np.int32)], class_names


def label_by_folder(
  paths: Iterable[str], *, root: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
  """Labels images by the first folder below a root.

  Args:
    paths: N paths that begin with `root`.
    root: the folder.

  Returns:
    (N,) int32 labels and the sorted class names; None and no names where any image lies in the root
    itself.
  """
  labels = ClassLabels()
  for path in paths:
    folder, slash, _ = path[len(root) :].lstrip("/").partition("/")
    if not slash:
      return None, ()
    labels.add(folder)
  return labels.result()
