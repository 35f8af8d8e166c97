"""A folder that a command writes to: its alone, and of one kind. Imports no TensorFlow."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

# What is being written has a name of this form until it is whole: hidden, and told by its end.
ASIDE_GLOB = ".*.aside"


class FolderError(ValueError):
  """A folder cannot be written to, or holds something else."""


@contextlib.contextmanager
def locked(path: pathlib.Path, *, flag: str = "--out", use: str = "writing to") -> Iterator[None]:
  """Keeps a folder, which it makes, to this process for the length of a block.

  The lock goes with the process, however that ends.

  Args:
    path: the folder.
    flag: that named it.
    use: what another process that has it does.

  Raises:
    FolderError: another process has it, or it cannot be made.
  """
  try:
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY)
  except OSError as error:
    raise FolderError(f"Cannot write to {flag}={path}: {error.strerror}.") from error
  try:
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise FolderError(
        f"Another process is {use} {flag}={path}. Wait for its end, or end it."
      ) from None
    except OSError:
      pass  # Some network file systems have no locks.
    yield
  finally:
    os.close(descriptor)


@contextlib.contextmanager
def locked_output(path: pathlib.Path, *, marker: str, holds: str) -> Iterator[None]:
  """As `locked`; removes what a killed process was writing, and refuses a folder of other things.

  Args:
    path: the folder, of `--out`.
    marker: a file that is in every folder of this kind.
    holds: what they hold.

  Raises:
    FolderError: as `locked`; or there are other files and no marker.
  """
  with locked(path):
    for aside in path.glob(ASIDE_GLOB):
      remove(aside)
    if not (path / marker).exists() and any(path.iterdir()):
      raise FolderError(
        f"--out={path} holds other files and no {holds}. Give a new or an empty folder."
      )
    yield


def check_same(path: pathlib.Path, differences: list[str], *, holds: str) -> None:
  """Refuses to go on with what was made otherwise.

  Args:
    path: the folder, of `--out`.
    differences: as `differences` finds them.
    holds: what the folder holds.

  Raises:
    FolderError: there are differences; shows them.
  """
  if differences:
    raise FolderError(
      f"--out={path} holds {holds} made otherwise: {', '.join(differences)}. Give another "
      "--out, or the flags of then to go on."
    )


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
  """In what settings differ: `seed is 0 there and 1 here`; of checksums, `names differs`."""
  lines = []
  for key in (*here, *(key for key in there if key not in here)):
    a, b = there.get(key), here.get(key)
    if a == b:
      continue
    if key.endswith("_sha256"):
      lines.append(f"{key[: -len('_sha256')]} differs")
    else:
      lines.append(f"{key} is {_brief(a)} there and {_brief(b)} here")
  return lines


def remove(path: pathlib.Path) -> None:
  """Removes a file, a link, or a folder with all that is in it; or nothing where there is none."""
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path, ignore_errors=True)
  else:
    path.unlink(missing_ok=True)


def _brief(value: Any) -> str:
  return ", ".join(value) if isinstance(value, Mapping) else str(value)
