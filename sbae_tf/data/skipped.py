"""The images that a run could not read: counted, named in a file, and no more than so many."""

from __future__ import annotations

import collections
import os
import pathlib
import threading

_HEADER = "reason\tname\tdetail\n"
_SHOWN = 10


class TooManySkippedError(ValueError):
  """More images could not be read than a run accepts."""


class Skipped:
  """A ledger of images that were skipped, each once; safe to write to from several threads.

  Attributes:
    file: where they are entered as well; None for nowhere.
  """

  def __init__(
    self,
    total: int,
    *,
    limit: float = 0.01,
    file: str | os.PathLike[str] | None = None,
    flag: str = "--data.max_skipped",
  ) -> None:
    """Opens the ledger.

    Args:
      total: how many images there are.
      limit: the fraction of them that may be skipped, in [0, 1].
      file: a file of tab-separated values to write to as well, made with the first entry; what an
        earlier run entered there stays, and counts once it is met again. None for none.
      flag: the one that `limit` is of, for the message.
    """
    self._total, self._limit, self._flag = total, limit, flag
    self.file = None if file is None else pathlib.Path(file)
    self._entries: dict[str, tuple[str, str]] = {}
    self._lock = threading.Lock()
    self._failure: OSError | None = None  # Of writing.
    self._written = set() if self.file is None else _mend_file(self.file)

  def add(self, name: str, reason: str, detail: str) -> None:
    """Enters an image, unless it is there.

    Args:
      name: the image's.
      reason: one of `unreadable.REASONS`.
      detail: what the decoder said, in one line.

    Raises:
      TooManySkippedError: there are too many now; shows the first ten.
      OSError: the file cannot be written.
    """
    # In a line of its own, whatever is in a file's name.
    name, detail = (" ".join(text.split()) for text in (name, detail))
    with self._lock:
      if name not in self._entries:
        self._entries[name] = (reason, detail)
        try:
          self._write(f"{reason}\t{name}\t{detail}\n", name)
        except OSError as error:
          self._failure = error
      self._check()

  def check(self) -> None:
    """Raises what `add` has raised: there, TensorFlow may have made another error of it.

    Raises:
      TooManySkippedError: there are too many.
      OSError: the file could not be written.
    """
    with self._lock:
      self._check()

  def _write(self, line: str, name: str) -> None:
    if self.file is None or name in self._written:
      return
    head = "" if self.file.exists() else _HEADER
    with self.file.open("a", encoding="utf-8") as file:
      file.write(head + line)
    self._written.add(name)

  def _check(self) -> None:
    if self._failure is not None:
      raise self._failure
    if len(self._entries) <= self._limit * self._total:
      return
    entries = list(self._entries.items())[:_SHOWN]
    shown = "; ".join(f"{name} ({reason}: {detail})" for name, (reason, detail) in entries)
    raise TooManySkippedError(
      f"{len(self._entries):,} of {self._total:,} images cannot be read, more than "
      f"{self._flag}={self._limit:g} accepts. The first: {shown}. Mend or remove what is "
      "broken, or accept more."
    )

  @property
  def entries(self) -> dict[str, tuple[str, str]]:
    """Name to reason and detail, in the order in which they were met."""
    with self._lock:
      return dict(self._entries)

  def __len__(self) -> int:
    return len(self._entries)

  def __str__(self) -> str:
    """Such as `3 of 100 images skipped (2 truncated, 1 empty)`."""
    counts = collections.Counter(reason for reason, _ in list(self._entries.values()))
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(counts.items()))
    return f"{len(self):,} of {self._total:,} images skipped" + (f" ({reasons})" if reasons else "")


def _mend_file(file: pathlib.Path) -> set[str]:
  """The names in a file; drops a line that a killed run left unfinished."""
  if not file.exists():
    return set()
  lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
  whole = [line for line in lines if line.endswith("\n")]
  if len(whole) < len(lines):
    file.write_text("".join(whole), encoding="utf-8")
  return {line.split("\t")[1] for line in whole[1:]}
