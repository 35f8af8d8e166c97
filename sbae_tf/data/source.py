"""What the pipeline asks of a collection of images."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.data.beside import Beside
from sbae_tf.data.names import Taken


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
  """A collection of encoded images that are read one at a time, by index.

  Attributes:
    names: N names, one an image, for error messages and for splitting; of files their paths.
    labels: (N,) int32 indices into `class_names`, -1 for an image without a class; None where no
      image has one.
    class_names: the classes in the order of their labels; empty where there are none.
    read: takes a () int64 tensor in [0, N) and returns a () string tensor, the image's bytes as
      they lie in the collection: JPEG, PNG or any other format. Runs eagerly and in `tf.data`
      graphs, and is a pure function of the index. What cannot be read raises a
      `tf.errors.OpError`.
    description: one line that says what this is and how much of it, for the log.
    run_length: L, how many images that lie together are best read together; 1 where it does not
      matter. Shuffling keeps such runs, aligned to multiples of L, in one piece.
    read_run: with `run_length` above 1: takes a run, (L,) int64 indices, and returns (L,) strings,
      as `read` does one by one, but faster.
    is_run: whether the images lie so that `read_run` may read them: from (R, L) int64 to (R,) bool.
    remote: whether a read waits for a network, so that many should wait at once.
    portable: whether `read` also runs in another process: no Python function is in it.
    shares: the mixture, as (images, weight) of each part in the order of the images; empty where
      every image is as likely as any other.
    beside: what is read beside every image, by its name, which is its path; None for nothing.
    root: what every name starts with and no image's identity depends on (the folder that was
      given), so that a collection may move without being split differently.

  Raises:
    ValueError: the attributes contradict each other, or there is no image.
  """

  names: Sequence[str]
  labels: np.ndarray | None
  class_names: tuple[str, ...]
  read: Callable[[tf.Tensor], tf.Tensor]
  description: str
  run_length: int = 1
  read_run: Callable[[tf.Tensor], tf.Tensor] | None = None
  is_run: Callable[[tf.Tensor], tf.Tensor] | None = None
  remote: bool = False
  portable: bool = True
  shares: tuple[tuple[int, float], ...] = ()
  beside: Beside | None = None
  root: str = ""

  def __post_init__(self) -> None:
    count = len(self.names)
    if not count:
      raise ValueError(f"Expected at least one image. Received none: {self.description}")
    if self.shares and sum(images for images, _ in self.shares) != count:
      raise ValueError(f"Expected `shares` of {count} images in all. Received: {self.shares}")
    if self.labels is None:
      if self.class_names:
        raise ValueError(f"Expected no `class_names` without labels. Received: {self.class_names}")
      return
    if self.labels.shape != (count,) or self.labels.dtype != np.int32:
      raise ValueError(
        f"Expected `labels` ({count},) int32. Received: {self.labels.shape} {self.labels.dtype}"
      )
    low, high = int(self.labels.min()), int(self.labels.max())
    if low < -1 or high >= len(self.class_names):
      raise ValueError(
        f"Expected labels from -1 to {len(self.class_names) - 1}, indices into `class_names`. "
        f"Received: {low} to {high}"
      )

  def __len__(self) -> int:
    return len(self.names)

  @property
  def planes(self) -> int:
    """The planes of 8 bits that inputs have: 3, and those of what lies beside the images."""
    return 3 if self.beside is None else 3 + self.beside.planes

  @property
  def identity(self) -> Iterator[str]:
    """The texts that say which inputs these are: the names, and where what lies beside them is."""
    yield from self.names
    if self.beside is not None:
      yield self.beside.pattern

  def subset(self, indices: np.ndarray, description: str) -> Source:
    """The images at `indices`, with their labels, in that order.

    Args:
      indices: (M,) integers in [0, N).
      description: the subset's description.

    Returns:
      A source of M images with the same class names.

    Raises:
      ValueError: `indices` is empty, or the source is a mixture.
    """
    if self.shares:
      raise ValueError("Expected a source without `shares`: take the subset of each part.")
    indices = np.asarray(indices, np.int64)
    with tf.device("cpu:0"):
      lookup = tf.constant(indices)
    read_run, is_run = self.read_run, self.is_run
    return dataclasses.replace(
      self,
      names=Taken(self.names, indices),
      labels=None if self.labels is None else self.labels[indices],
      read=lambda index: self.read(tf.gather(lookup, index)),
      read_run=read_run and (lambda indices: read_run(tf.gather(lookup, indices))),
      is_run=is_run and (lambda indices: is_run(tf.gather(lookup, indices))),
      description=description,
    )


def first_line(error: tf.errors.OpError) -> str:
  """The first line of a TensorFlow error's message, without the names of graph nodes.

  Args:
    error: the error.

  Returns:
    Its reason in one line; its type where TensorFlow gave no message.
  """
  message = re.sub(r"\{\{[^}]*\}\}|\[Op:.*", "", str(error.message or "")).strip()
  return message.splitlines()[0].strip() if message else type(error).__name__
