"""Names of the files that colorized photographs of a source are written to."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator, Sequence

from sbae_tf.data.files import EXTENSIONS
from sbae_tf.data.source import Source


def file_names(source: Source, extension: str) -> list[str]:
  """A file for each photograph: its own name below the root, sub-folders too.

  The root is that of the source; of several sources, the folder that all of them are in. An image
  file's extension becomes the new one. Where two photographs would get the same file, such as
  `1.jpg` and `1.png`, both keep their old extension before the new one; where that is not enough,
  their numbers in the source, too.

  Args:
    source: N photographs.
    extension: with its dot.

  Returns:
    N relative paths with `/` between folders, all different.
  """
  inner = [_inside(name) for name in _below_root(source)]
  files = [_without_extension(name) + extension for name in inner]
  for longer in (
    [name + extension for name in inner],
    [f"{name}#{index}{extension}" for index, name in enumerate(inner)],
  ):
    counts = collections.Counter(files)
    files = [more if counts[file] > 1 else file for file, more in zip(files, longer)]
  return files


def _below_root(source: Source) -> Iterator[str]:
  root = source.root or _common_folder(source.names)
  return (name[len(root) :] for name in source.names)


def _common_folder(names: Sequence[str]) -> str:
  """What names begin with, up to a slash; without one of them, for they may be names alone."""
  iterator = iter(names)
  common = os.path.dirname(next(iterator))
  for name in iterator:
    while not f"{os.path.dirname(name)}/".startswith(f"{common}/") and common:
      common = os.path.dirname(common) if common != os.path.dirname(common) else ""
  return common


def _inside(name: str) -> str:
  """A path that stays in the folder that it is taken from."""
  return "/".join(part for part in name.split("/") if part not in ("", ".", "..")) or "photograph"


def _without_extension(name: str) -> str:
  stem, extension = os.path.splitext(name)
  return stem if extension.lower() in EXTENSIONS else name
