"""What the pipeline asks of a collection of images."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
  """A collection of images that are loaded one at a time, by index.

  Attributes:
    names: N names, one an image, for error messages and for splitting; of files their paths.
    labels: (N,) int32 indices into `class_names`, or None where the images have no classes.
    class_names: the classes in the order of their labels; empty where there are none.
    load: takes a () int64 tensor in [0, N) and returns (H, W, 3) uint8 RGB. Runs eagerly and in
      `tf.data` graphs, and is a pure function of the index. An image that cannot be read raises a
      `tf.errors.OpError`.
    description: one line that says what this is and how much of it, for the log.
    root: what every name starts with and no image's identity depends on (the folder that was
      given), so that a collection may move without being split differently.

  Raises:
    ValueError: the attributes contradict each other, or there is no image.
  """

  names: Sequence[str]
  labels: np.ndarray | None
  class_names: tuple[str, ...]
  load: Callable[[tf.Tensor], tf.Tensor]
  description: str
  root: str = ""

  def __post_init__(self) -> None:
    count = len(self.names)
    if not count:
      raise ValueError(f"Expected at least one image. Received none: {self.description}")
    if self.labels is None:
      if self.class_names:
        raise ValueError(f"Expected no `class_names` without labels. Received: {self.class_names}")
      return
    if self.labels.shape != (count,) or self.labels.dtype != np.int32:
      raise ValueError(
        f"Expected `labels` ({count},) int32. Received: {self.labels.shape} {self.labels.dtype}"
      )
    low, high = int(self.labels.min()), int(self.labels.max())
    if low < 0 or high >= len(self.class_names):
      raise ValueError(
        f"Expected labels from 0 to {len(self.class_names) - 1}, indices into `class_names`. "
        f"Received: {low} to {high}"
      )

  def __len__(self) -> int:
    return len(self.names)

  def subset(self, indices: np.ndarray, description: str) -> Source:
    """The images at `indices`, with their labels, in that order.

    Args:
      indices: (M,) integers in [0, N).
      description: the subset's description.

    Returns:
      A source of M images with the same class names.

    Raises:
      ValueError: `indices` is empty.
    """
    indices = np.asarray(indices, np.int64)
    with tf.device("cpu:0"):
      lookup = tf.constant(indices)
    return dataclasses.replace(
      self,
      names=[self.names[index] for index in indices],
      labels=None if self.labels is None else self.labels[indices],
      load=lambda index: self.load(tf.gather(lookup, index)),
      description=description,
    )


def unreadable(source: Source, indices: Iterable[int], *, limit: int = 10) -> list[tuple[str, str]]:
  """Finds the images that cannot be loaded.

  An error out of a `tf.data` iterator does not say which image it came from; this loads the
  candidates again, one after the other.

  Args:
    source: the images.
    indices: those to try, in [0, N), such as `pipeline.batch_indices` of the step that failed.
    limit: stops after so many failures.

  Returns:
    The name and the reason, in one line, of each that fails, in the order of `indices`.
  """
  failures: list[tuple[str, str]] = []
  for index in indices:
    try:
      source.load(tf.constant(index, tf.int64))
    except tf.errors.OpError as error:
      failures.append((source.names[index], first_line(error)))
      if len(failures) >= limit:
        break
  return failures


def first_line(error: tf.errors.OpError) -> str:
  """The first line of a TensorFlow error's message, without the names of graph nodes.

  Args:
    error: the error.

  Returns:
    Its reason in one line; its type where TensorFlow gave no message.
  """
  message = re.sub(r"\{\{[^}]*\}\}|\[Op:.*", "", str(error.message or "")).strip()
  return message.splitlines()[0].strip() if message else type(error).__name__
