"""Image files that a text file lists."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator

import tensorflow as tf

from sbae_tf.data import source as source_lib
from sbae_tf.data.class_labels import ClassLabels
from sbae_tf.data.names import Names

_PIECE = 1 << 20


def build(path: str) -> source_lib.Source:
  r"""Opens the files of a list: a path a line, and its class after a tab where it has one.

      # Comment
      cat/1.jpg<TAB>cat
      /elsewhere/2.png
      gs://bucket/3.jpg<TAB>dog

  UTF-8, lines end in "\n" or "\r\n". Empty lines and those that begin with `#` are passed over
  (`./#1.jpg` is a file). Relative paths begin at the list's folder; others are whatever TensorFlow
  reads. That the files exist is not checked here: for millions it would take hours.

  The root (`Source.root`) is the list's folder where all paths are relative, so a list may grow and
  move with its files; of others it is the folder that all paths share.

  Args:
    path: the list, on any file system that TensorFlow reads. `~` is the home folder.

  Returns:
    A source in the order of the lines; classes in the order of their sorted names.

  Raises:
    ValueError: the list cannot be read, is not UTF-8, names no file or has a line of another form.
  """
  path = os.path.expanduser(path)
  lines = _Lines(path)
  try:
    names = Names(lines.paths())
  except tf.errors.OpError as error:
    raise ValueError(f"Cannot read {path}: {source_lib.first_line(error)}") from error
  if not len(names):
    raise ValueError(f"No files in the list {path}: it has a path a line.")
  labels, class_names = lines.classes.result()
  description = f"{len(names):,} images of the list {path}"
  if class_names:
    description += f", {len(class_names):,} {'class' if len(class_names) == 1 else 'classes'}"
  return source_lib.Source(
    names=names,
    labels=labels,
    class_names=class_names,
    read=lambda index: tf.io.read_file(names.lookup(index)),
    description=description,
    remote=lines.remote,
    root=lines.root(),
  )


class _Lines:
  """A list read once, and what was seen on the way."""

  def __init__(self, path: str) -> None:
    self._path, self._folder = path, os.path.dirname(path)
    self._common: str | None = None  # What all paths begin with.
    self._all_relative = True
    self.classes = ClassLabels()
    self.remote = "://" in path

  def paths(self) -> Iterator[str]:
    """The paths, whole, in their order."""
    for number, line in self._text_lines():
      if not line.strip() or line.startswith("#"):
        continue
      path, _, class_name = line.partition("\t")
      if not path or "\t" in class_name:
        raise ValueError(
          f"Expected a path, or a path, a tab and a class. Received: {line!r} in line {number:,} "
          f"of {self._path}"
        )
      self.classes.add(class_name)
      path = self._whole(path)
      if self._common is None:
        self._common = path
      elif not path.startswith(self._common):
        self._common = os.path.commonprefix([self._common, path])
      yield path

  def root(self) -> str:
    """The folder that no image's identity depends on."""
    return self._folder if self._all_relative else (self._common or "").rpartition("/")[0]

  def _whole(self, path: str) -> str:
    if "://" in path or path.startswith("/"):
      self.remote |= "://" in path
      self._all_relative = False
      return path
    while path.startswith("./"):
      path = path[2:]
    return f"{self._folder}/{path}" if self._folder else path

  def _text_lines(self) -> Iterator[tuple[int, str]]:
    """Numbered from 1, without their ends; a piece of the file at a time."""
    number, rest = 0, b""
    with tf.io.gfile.GFile(self._path, "rb") as file:
      while piece := file.read(_PIECE):
        if not number and not rest:
          piece = piece.removeprefix(codecs.BOM_UTF8)  # Editors on Windows write it.
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
          number += 1
          yield number, self._decoded(line, number)
    if rest:
      yield number + 1, self._decoded(rest, number + 1)

  def _decoded(self, line: bytes, number: int) -> str:
    try:
      return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
      raise ValueError(f"Line {number:,} of {self._path} is not UTF-8: {line!r}") from error
