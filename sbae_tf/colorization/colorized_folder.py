"""The folder of colorized photographs: each whole or absent, with a line of what was measured."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from sbae_tf import output_folder
from sbae_tf.colorization.measured import HEAD, Measured, means
from sbae_tf.colorization.photograph_colorizer import Colorized
from sbae_tf.config import Json
from sbae_tf.run_folder import write_aside
from sbae_tf.writing import writing

SETTINGS = "settings.json"


class ColorizedFolder:
  """Where colorized photographs are written.

  Attributes:
    path: the folder.
    photographs: the folder in it that holds nothing else, `colorized`.
    skipped: those that could not be read, and why, `skipped.tsv`; only if there are any.
    table: what was measured of each, `metrics.tsv`.
    metrics: and of all, `metrics.json`; at the end.
    grid: a picture of the first few, `grid.png`.
    measured: those that are done, by their numbers; from `begin` on.
  """

  def __init__(self, path: str | os.PathLike[str]) -> None:
    self.path = pathlib.Path(path).expanduser()
    self.photographs = self.path / "colorized"
    self.skipped = self.path / "skipped.tsv"
    self.table = self.path / "metrics.tsv"
    self.metrics = self.path / "metrics.json"
    self.grid = self.path / "grid.png"
    self.measured: dict[int, Measured] = {}
    self._files: Sequence[str] = ()

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Keeps the folder, which it makes, to this process for the length of a block.

    Raises:
      FolderError: another process has it, it cannot be made, or holds other things.
    """
    with output_folder.locked_output(self.path, marker=SETTINGS, holds="colorization"):
      for aside in self.photographs.rglob(output_folder.ASIDE_GLOB):
        output_folder.remove(aside)
      yield

  def begin(
    self, files: Sequence[str], *, settings: Mapping[str, Json], about: Mapping[str, Json]
  ) -> None:
    """Takes up what is there, or starts anew.

    Args:
      files: a name for each photograph, below `photographs`.
      settings: what decides how the photographs come out.
      about: what else is good to know.

    Raises:
      FolderError: the folder holds photographs that were colorized otherwise; shows how.
      WriteError: it cannot be written to.
    """
    self._files = files
    file = self.path / SETTINGS
    if file.exists():
      try:
        there = json.loads(file.read_text(encoding="utf-8"))["settings"]
        different = output_folder.differences(there, settings)
      except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise output_folder.FolderError(
          f"Cannot read {file} ({error!r}). Give another --out."
        ) from error
      output_folder.check_same(self.path, different, holds="a colorization")
      self.measured = {each.index: each for each in self._done()}
    with writing(self.path):
      # Written anew: what was left out is tried again.
      self.skipped.unlink(missing_ok=True)
      self.metrics.unlink(missing_ok=True)
      text = json.dumps({"settings": settings, "about": about}, indent=2, ensure_ascii=False)
      write_aside(file, text.encode() + b"\n")
      self._write_table()

  def missing(self) -> list[int]:
    """The numbers of the photographs that are not there, in their order."""
    return [index for index in range(len(self._files)) if index not in self.measured]

  def write(self, index: int, colorized: Colorized, encoded: bytes) -> Measured:
    """Writes a photograph; may be called from several threads.

    Args:
      index: its number.
      colorized: what was made of it.
      encoded: as a file.

    Returns:
      What `add` takes, which makes it one that is done.

    Raises:
      WriteError: it cannot be written.
    """
    file = self.photographs / self._files[index]
    with writing(file):
      file.parent.mkdir(parents=True, exist_ok=True)
      write_aside(file, encoded)
    return Measured.of(index, self._files[index], colorized)

  def add(self, measured: Measured) -> None:
    """Enters a photograph that was written.

    Raises:
      WriteError: it cannot be.
    """
    with writing(self.table), self.table.open("a", encoding="utf-8") as file:
      file.write(measured.line + "\n")
    self.measured[measured.index] = measured

  def finish(self, skipped: Mapping[str, int]) -> dict[str, Json]:
    """Puts the table in order, and writes `metrics`.

    Args:
      skipped: how many were left out, by reason.

    Returns:
      What `metrics` holds.

    Raises:
      WriteError: it cannot be written.
    """
    metrics = {
      "photographs": len(self._files),
      "colorized": len(self.measured),
      "skipped": dict(sorted(skipped.items())),
      **means([self.measured[index] for index in sorted(self.measured)]),
    }
    with writing(self.path):
      self._write_table()
      write_aside(self.metrics, (json.dumps(metrics, indent=2) + "\n").encode())
    return metrics

  def _done(self) -> Iterator[Measured]:
    """The photographs whose line and file are there."""
    try:
      lines = self.table.read_text(encoding="utf-8").split("\n")[1:-1]  # A part may be last.
    except OSError:
      return
    for line in lines:
      with contextlib.suppress(ValueError):  # What is no line of ours is made again.
        measured = Measured.parse(line, self._files)
        if (self.photographs / measured.file).is_file():
          yield measured

  def _write_table(self) -> None:
    lines = (HEAD, *(self.measured[index].line for index in sorted(self.measured)), "")
    write_aside(self.table, "\n".join(lines).encode())
