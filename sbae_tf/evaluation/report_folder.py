"""The folder of a report: what was measured there, each protocol's findings whole or absent."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from sbae_tf import output_folder
from sbae_tf.evaluation import report
from sbae_tf.evaluation.protocol import Figure, Json, Section, Table
from sbae_tf.run_folder import write_aside
from sbae_tf.writing import writing

REPORT = "report.json"


@dataclasses.dataclass(frozen=True)
class Finding:
  """What a protocol found, and how.

  Attributes:
    options: all of the protocol's, defaults too.
    seconds: that it took.
    section: what it found.
  """

  options: Mapping[str, Json]
  seconds: float
  section: Section


class ReportFolder:
  """Where an evaluation writes.

  `report.json` holds what was measured and what each protocol found; `report.html` shows it.

  Attributes:
    path: the folder.
    skipped: the photographs that could not be read, and why, `skipped.tsv`; only if there are any.
    facts: what `begin` was given; from then on.
    findings: by protocol, in the order in which they were found; from `begin` on.
  """

  def __init__(self, path: str | os.PathLike[str]) -> None:
    self.path = pathlib.Path(path).expanduser()
    self.skipped = self.path / "skipped.tsv"
    self.facts: dict[str, Json] = {}
    self.findings: dict[str, Finding] = {}

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Keeps the folder, which it makes, to this process for the length of a block.

    What a killed process was writing is removed.

    Raises:
      ValueError: another process has it, it cannot be made, or holds other things.
    """
    with output_folder.locked_output(self.path, marker=REPORT, holds="report"):
      yield

  def begin(
    self,
    facts: Mapping[str, Json],
    *,
    identity: Mapping[str, Json],
    options: Mapping[str, Mapping[str, Json]],
  ) -> None:
    """Takes up what is there, or starts anew.

    Args:
      facts: for `report.json`, beside the findings.
      identity: what must be the same for findings to stand in one report.
      options: of each protocol that shall be run.

    Raises:
      ValueError: there is a report of something else, or a protocol was run with other options;
        shows what differs.
      WriteError: the folder cannot be written to.
    """
    file = self.path / REPORT
    if file.exists():
      try:
        there = json.loads(file.read_text(encoding="utf-8"))
        before = there["identity"]
        findings = {name: _finding(value) for name, value in there["protocols"].items()}
      except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"Cannot read {file} ({error!r}). Give another --out.") from error
      different = output_folder.differences(before, identity)
      for name in options.keys() & findings.keys():
        lines = output_folder.differences(findings[name].options, options[name])
        different += [f"{name}.{line}" for line in lines]
      output_folder.check_same(self.path, different, holds="a report")
      self.findings = {name: f for name, f in findings.items() if self._has_figures(f.section)}
    self.facts = {**facts, "identity": dict(identity)}
    self._write_json()

  def add(self, name: str, finding: Finding) -> None:
    """Enters what a protocol found.

    Raises:
      WriteError: it cannot be written.
    """
    self.findings[name] = finding
    self._write_json()

  def write_page(self, facts: Mapping[str, str]) -> None:
    """Writes `report.html`.

    Args:
      facts: for the top of the page, a name to a line.

    Raises:
      WriteError: it cannot be written.
    """
    sections = {name: finding.section for name, finding in self.findings.items()}
    with writing(self.path / report.FILE):
      report.write_report(self.path, facts, sections)

  def count_skipped(self) -> int:
    """The number of photographs in `skipped`."""
    if not self.skipped.exists():
      return 0
    return len(self.skipped.read_text(encoding="utf-8").splitlines()) - 1  # Its head.

  def to_json(self) -> dict[str, Json]:
    """What `report.json` holds."""
    protocols = {
      name: {
        "options": dict(finding.options),
        "seconds": round(finding.seconds, 1),
        **dataclasses.asdict(finding.section),
      }
      for name, finding in self.findings.items()
    }
    # To JSON and back: as whoever reads the file has it.
    content: dict[str, Json] = json.loads(json.dumps({**self.facts, "protocols": protocols}))
    return content

  def _write_json(self) -> None:
    text = json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    with writing(self.path / REPORT):
      write_aside(self.path / REPORT, text.encode())

  def _has_figures(self, section: Section) -> bool:
    return all((self.path / figure.file).is_file() for figure in section.figures)


def _finding(value: Mapping[str, Any]) -> Finding:
  """A protocol's entry of `report.json`."""
  tables = tuple(
    Table(table["title"], tuple(table["head"]), tuple(map(tuple, table["rows"])))
    for table in value["tables"]
  )
  figures = tuple(Figure(**figure) for figure in value["figures"])
  section = Section(value["summary"], value["values"], tables, figures)
  return Finding(value["options"], value["seconds"], section)
