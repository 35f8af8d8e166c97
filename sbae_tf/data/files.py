"""Image files of a folder or a glob, on any file system that TensorFlow reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import tensorflow as tf

from sbae_tf.data import source as source_lib
from sbae_tf.data.class_labels import label_by_folder
from sbae_tf.data.names import Names

EXTENSIONS = (
  *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pgm", ".png"),
  *(".ppm", ".tif", ".tiff", ".webp"),
)
_WILDCARD = re.compile(r"[*?\[]")


def build(pattern: str) -> source_lib.Source:
  """Finds the image files of a folder, with its sub-folders, or of a glob.

  A file is an image by its extension (`EXTENSIONS`, any case); names that begin with a dot are
  passed over. Which decoder reads it is decided by its content.

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
  labels, class_names = label_by_folder(images, root=root)
  description = f"{_count(len(images), 'image')} in {pattern}"
  if class_names:
    description += f", {_count(len(class_names), 'class', 'classes')}"
  if others:
    description += f", {_count(others, 'other file')} skipped"

  names = Names(images)

  return source_lib.Source(
    names=names,
    labels=labels,
    class_names=class_names,
    read=lambda index: tf.io.read_file(names.lookup(index)),
    description=description,
    remote="://" in pattern,
    root=root,
  )


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


def _count(count: int, one: str, several: str | None = None) -> str:
  return f"{count:,} {one if count == 1 else several or one + 's'}"
