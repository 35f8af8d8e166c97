"""Writes pages, plots and CSV of what was measured."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from sbae_tf.evaluation.plots import check_matplotlib
from sbae_tf.run_folder import write_aside
from tools.reproduction import findings, other_tables, plots, tables
from tools.reproduction.methods import Lineup
from tools.reproduction.records import Records, to_csv


def check(records: Records) -> None:
  """Raises ValueError where pages could not be written, before hours are spent."""
  check_matplotlib()
  records.read()
  folder = records.file.parent
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise ValueError(f"Cannot write to --out={folder}: {error.strerror}.") from error
  if not os.access(folder, os.W_OK):
    raise ValueError(f"Cannot write to --out={folder}.")


def write(records: Records, methods: Lineup, *, minutes: Sequence[float], command: str) -> None:
  """Writes `cells.csv`, `table1.md` to `table6.md`, their plots, and `README.md`.

  Args:
    records: where the numbers are.
    methods: that the tables compare.
    minutes: of the table of equal wall-clock.
    command: that made them, as it may be typed.
  """
  found = records.read()
  folder = records.file.parent
  pictures = plots.draw_all(folder, found, methods, minutes)
  pages = {
    "table1.md": tables.table1(found, methods),
    "table2.md": tables.table2(found, methods),
    "table3.md": tables.table3(found, methods),
    "table4.md": tables.table4(found, methods, minutes),
    "table5.md": other_tables.table5(found, methods),
    "table6.md": other_tables.table6(found, methods),
    "README.md": findings.index(found, methods, minutes, command),
  }
  for name, page in pages.items():
    _write(folder / name, page.markdown(pictures))
  _write(folder / "cells.csv", to_csv(found))


def _write(file: pathlib.Path, text: str) -> None:
  write_aside(file, text.encode())
