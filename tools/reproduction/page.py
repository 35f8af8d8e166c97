"""A page of results: rows with their commands and machines, as Markdown."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from tools.reproduction.records import Record
from tools.reproduction.spread import Group

MISSING = "not measured"


class Page:
  """Markdown that gathers the commands and the machines of its rows, and tells them at its end."""

  def __init__(self, title: str, *paragraphs: str) -> None:
    """Begins it.

    Args:
      title: stands above.
      *paragraphs: below the title.
    """
    self._lines = [f"# {title}"]
    self._commands: dict[str, list[Record]] = {}  # That pretrain, with all rows' records of them.
    self._measuring: dict[str, set[int]] = {}  # With the numbers of those above.
    self._machines: dict[str, str] = {}  # To their letters.
    self._revisions: dict[str, dict[str, None]] = {}  # On the machines of these letters.
    self._dates: set[str] = set()
    self._groups: list[Group] = []
    self._missing = False
    self._pictures: dict[str, str] = {}
    self.add(*paragraphs)

  def add(self, *paragraphs: str) -> None:
    """Adds paragraphs, headings or pictures."""
    for paragraph in paragraphs:
      self._lines += ["", paragraph]

  def add_table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Adds a table; the cells of the first column stand at its left, all others at the right."""
    self._lines += ["", _row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    for row in rows:
      self._missing = self._missing or MISSING in row
      self._lines.append(_row(row))

  def sources(self, group: Group, *protocols: str) -> tuple[str, str]:
    """What to say of a row's origin: the numbers of its commands, the letters of its machines.

    Args:
      group: whose numbers stand in the row.
      *protocols: whose numbers they are, by name.
    """
    records = [r for name in protocols for r in group.by_protocol.get(name, {}).values()]
    if not any(each is group for each in self._groups):  # It may have several rows.
      self._groups.append(group)
    if not records:
      return "", ""
    records.sort(key=lambda record: record.seed)
    self._commands.setdefault(records[0].commands[0], []).extend(records)
    number = list(self._commands).index(records[0].commands[0]) + 1
    for record in records:
      if record.commands[1]:
        self._measuring.setdefault(_of_any_cell(record), set()).add(number)
    self._dates |= {record.date for record in records}
    letters = sorted({self._letter(record) for record in records})
    return str(number), ", ".join(letters)

  def _letter(self, record: Record) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    machine = f"{record.machine}; {versions}"
    letter = self._machines.setdefault(machine, _letters(len(self._machines)))
    self._revisions.setdefault(letter, {})[record.revision] = None
    return letter

  def add_picture(self, title: str, file: str) -> None:
    """Adds a picture of the page's folder."""
    self._pictures[file] = f"\n![{title}]({file})"
    self._lines.append(self._pictures[file])

  def markdown(self, pictures: Collection[str]) -> str:
    """The whole page.

    Args:
      pictures: the files that were drawn; others are left out.
    """
    absent = [line for file, line in self._pictures.items() if file not in pictures]
    lines = [line for line in self._lines if line not in absent]
    if self._missing:
      lines += ["", f"*{MISSING}*: no record is of it yet."]
    left_out = sum(group.left_out for group in self._groups)
    if left_out:
      what = "Records of earlier recipes or other options, or measured again since"
      lines += ["", f"{what}, in `cells.jsonl` and not here: {left_out}."]
    if self._machines:
      lines += ["", "## Machines", ""]
      for machine, letter in self._machines.items():
        lines.append(f"- {letter}: {machine}; sbae_tf {', '.join(self._revisions[letter])}.")
      lines += ["", f"Measured {_period(self._dates)}."]
    if self._commands:
      lines += ["", "## Commands", "", _COMMANDS, "", "```sh"]
      for number, (command, records) in enumerate(self._commands.items(), start=1):
        lines += [f"# {number}: {_seeds(records)}", command]
      for command, numbers in self._measuring.items():
        everything = len(numbers) == len(self._commands)
        lines += [f"# after {'each' if everything else ', '.join(map(str, sorted(numbers)))}"]
        lines += [command]
      lines.append("```")
    return "\n".join(lines) + "\n"


_COMMANDS = (
  "Of the first seed; the others differ in `--seed`, folders and what stands above the command. "
  "DATA is the folder above the data sets, RUNS that of the runs, RUN the folder of one of them. "
  "`cells.csv` has them as they ran."
)


def _seeds(records: Sequence[Record]) -> str:
  """The seeds, and the flags that some of these records were pretrained with and others not."""
  seeds = sorted({record.seed for record in records})
  words = [{_of_any_seed(word) for word in record.commands[0].split()} for record in records]
  used = Counter(word for each in words for word in each)
  differing = sorted(word for word, times in used.items() if times < len(records))
  text = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
  return "; not always with ".join([text, *differing])


def _of_any_seed(word: str) -> str:
  """A word of a command; of what differs between seeds, the flag alone."""
  flag, _, value = word.partition("=")
  return flag if flag == "--seed" or value.startswith("RUNS/") else word


def _of_any_cell(record: Record) -> str:
  """The command that measured, with the same words for what differs between cells."""
  command = record.commands[1]
  for cells, words in (
    (f"RUNS/{record.dataset}/{record.method}/seed{record.seed}/", "RUN/"),
    (f"DATA/{record.dataset}/", "DATA/DATASET/"),
    (f"--seed={record.seed}", "--seed=SEED"),
  ):
    command = command.replace(cells, words)
  return command


def _row(cells: Sequence[str]) -> str:
  return f"| {' | '.join(cells)} |"


def _letters(number: int) -> str:
  """A to Z, then AA, AB, and so on."""
  letters = string.ascii_uppercase
  rest, last = divmod(number, len(letters))
  return (_letters(rest - 1) if rest else "") + letters[last]


def _period(dates: set[str]) -> str:
  first, last = min(dates), max(dates)
  return f"on {first}" if first == last else f"from {first} to {last}"
