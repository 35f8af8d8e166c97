"""Image files of a folder or a glob, on any file system that TensorFlow reads."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from sbae_tf.data import source as source_lib

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_WILDCARD = re.compile(r"[*?\[]")


def build(pattern: str) -> source_lib.Source:
  """Finds the image files of a folder, with its sub-folders, or of a glob.

  A file is an image by its extension (`EXTENSIONS`, any case); names that begin with a dot are
  passed over. Which decoder reads it is decided by its content. Of an animation the first frame is
  used, an alpha channel is dropped, an EXIF orientation is not applied.

  Where every image lies in a sub-folder of the root (the given folder, or the part of the glob
  before its first wildcard), the first sub-folder is its class.

  Args:
    pattern: a folder, a glob (`*`, `?` and `[...]` within one component of the path; folders that
      match are searched as well) or one file. `~` is the home folder.

  Returns:
    A source in the order of the sorted paths.

  Raises:
    ValueError: there is no such folder, it cannot be listed, or no image is found in it.
  """
  pattern = os.path.expanduser(pattern)
  try:
    root, starts = _expand(pattern)
    images, others = _search(starts)
  except tf.errors.OpError as error:
    raise ValueError(f"Cannot list {pattern}: {source_lib.first_line(error)}") from error
  except UnicodeDecodeError as error:
    raise ValueError(
      f"Cannot list {pattern}: a name in it is not UTF-8: {error.object!r}. Rename it."
    ) from error
  if not images:
    what = f"{_count(others, 'file')} with other extensions" if others else "it is empty"
    raise ValueError(
      f"No images in {pattern}: {what}. Give a folder with files that end in "
      f"{', '.join(EXTENSIONS)}"
    )
  labels, class_names = _classes([_relative(path, root) for path in images])
  description = f"{_count(len(images), 'image')} in {pattern}"
  if class_names:
    description += f", {_count(len(class_names), 'class', 'classes')}"
  if others:
    description += f", {_count(others, 'other file')} skipped"

  with tf.device("cpu:0"):
    paths = tf.constant(images)  # Captured by the map function, so not a constant of its graph.

  def load(index: tf.Tensor) -> tf.Tensor:
    encoded = tf.io.read_file(tf.gather(paths, index))
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))

  return source_lib.Source(
    names=images,
    labels=labels,
    class_names=class_names,
    load=load,
    description=description,
    root=root,
  )


def split_heldout(
  source: source_lib.Source, fraction: float, *, seed: int = 0
) -> tuple[source_lib.Source, source_lib.Source]:
  """Splits a source in two that share no image.

  Which side an image is on depends on its name below the root and the seed alone, so it stays
  there when other images are added or the whole collection moves.

  Args:
    source: two images or more.
    fraction: the held-out part, in (0, 1); met on average, not exactly. Each side has one image
      at least.
    seed: another seed, another split.

  Returns:
    The rest, for training, and the held-out source, both in the order of `source`.

  Raises:
    ValueError: `fraction` is outside (0, 1) or there are fewer than two images.
  """
  if not 0.0 < fraction < 1.0:
    raise ValueError(f"Expected `fraction` between 0 and 1. Received: {fraction}")
  if len(source) < 2:
    raise ValueError(
      f"Expected two images or more, to hold some out. Received: {source.description}"
    )
  # In [0, 1), uniform. Not Python's hash: that one differs from process to process.
  score = np.array(
    [
      int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big") / 2.0**48
      for key in (f"{seed}/{_relative(name, source.root)}" for name in source.names)
    ]
  )
  heldout = score < fraction
  heldout[np.argmin(score)] = True
  heldout[np.argmax(score)] = False
  sides = []
  for name, mask in (("training", ~heldout), ("held-out", heldout)):
    indices = np.flatnonzero(mask)
    sides.append(source.subset(indices, f"{len(indices):,} {name} of {source.description}"))
  return sides[0], sides[1]


def _expand(pattern: str) -> tuple[str, list[str]]:
  """The root of a folder or a glob, and the files and folders to search."""
  if tf.io.gfile.isdir(pattern):
    root = pattern.rstrip("/")
    return root, [root + "/"]
  wildcard = _WILDCARD.search(pattern)
  if wildcard:
    matches = tf.io.gfile.glob(pattern)
    if not matches:
      raise ValueError(f"Nothing matches {pattern}. Give a folder of images or another glob.")
    return pattern[: wildcard.start()].rpartition("/")[0], matches
  if not tf.io.gfile.exists(pattern):
    raise ValueError(f"No such folder: {pattern}. Give a folder of images or a glob.")
  return os.path.dirname(pattern), [pattern]


def _search(starts: Iterable[str]) -> tuple[list[str], int]:
  """The sorted paths of all images in files and folders, and the number of other files."""
  images, others = [], 0
  pending = list(starts)
  while pending:
    path = pending.pop()
    # Not gfile.walk: it also asks of every image whether it is a folder, which costs a request
    # each on a remote file system. Those list folders with a slash at the end.
    if path.lower().endswith(EXTENSIONS):
      images.append(path)
    elif path.endswith("/") or tf.io.gfile.isdir(path):
      entries = tf.io.gfile.listdir(path)
      pending += [tf.io.gfile.join(path, name) for name in entries if not name.startswith(".")]
    else:
      others += 1
  return sorted(images), others


def _relative(path: str, root: str) -> str:
  return path[len(root) :].lstrip("/")


def _classes(paths: list[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
  """Labels (N,) int32 and class names from paths below the root; None without sub-folders."""
  folders = [path.partition("/")[0] for path in paths if "/" in path]
  if len(folders) < len(paths):
    return None, ()
  class_names = tuple(sorted(set(folders)))
  label_of = {name: label for label, name in enumerate(class_names)}
  return np.array([label_of[folder] for folder in folders], np.int32), class_names


def _count(count: int, one: str, several: str | None = None) -> str:
  return f"{count:,} {one if count == 1 else several or one + 's'}"
