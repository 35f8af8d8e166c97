"""The page of a report: one HTML file that needs nothing else, and no network."""

from __future__ import annotations

import base64
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from sbae_tf.evaluation.protocol import Figure, Section, Table
from sbae_tf.run_folder import write_aside

FILE = "report.html"

# No script and nothing from elsewhere, whatever a name that is shown contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """\
:root { color-scheme: light dark; --text: #1b1b1b; --faint: #5c5c5c; --line: #d5d5d5;
  --back: #fff; --panel: #f5f6f8; --link: #0059a8; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e8e8; --faint: #a8a8a8; --line: #3d4148; --back: #15171a; --panel: #1f2226;
    --link: #7db8ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1rem; background: var(--back);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0 1rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 0.4rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 0.5rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
a { color: var(--link); }
dl { background: var(--panel); border-radius: 0.5rem; padding: 0.75rem 1rem; margin: 1rem 0;
  display: grid; grid-template-columns: max-content 1fr; gap: 0.3rem 1.25rem; }
dt { color: var(--faint); }
dd { margin: 0; }
dd span { display: inline-block; max-width: 100%; }
@media (max-width: 36rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 0.5rem; }
}
.summary { font-size: 1.1rem; margin: 0.5rem 0 1rem; }
.scroll { overflow-x: auto; margin-bottom: 1.25rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.8rem;
  border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 600; border-bottom-width: 2px; vertical-align: bottom; }
th:first-child, td:first-child { min-width: 7rem; }
.number { text-align: right; white-space: nowrap; }
figure { margin: 1.5rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 0.25rem; }
figcaption { color: var(--faint); padding-top: 0.5rem; }
figcaption strong { color: var(--text); }
"""

# What stands in a column of numbers: 67.9, 1,000, 67.9% and 67.9 ± 0.4, and a dash for none.
_NUMBER = re.compile(r"[-+−]?\d[\d,.]*(e[-+]?\d+)?\s?%?(\s?±\s?[\d,.]+\s?%?)?|[-–—]?")


def write_report(
  folder: pathlib.Path, facts: Mapping[str, str], sections: Mapping[str, Section]
) -> None:
  """Writes `report.html`, pictures included; under its name it is whole or absent.

  Args:
    folder: the report's, with the figures' files in it.
    facts: what was measured and how, a name to its value, the encoder first; shown at the top.
    sections: what each protocol found, by its name.

  Raises:
    OSError: a figure's file is not there, or the page cannot be written.
  """
  subject = next(iter(facts.values()), "")
  title = f"Evaluation of {subject}" if subject else "Evaluation"
  lines = [
    "<!DOCTYPE html>",
    '<html lang="en">',
    "<head>",
    '<meta charset="utf-8">',
    f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<link rel="icon" href="data:,">',
    f"<title>{escape(title)}</title>",
    f"<style>\n{_STYLE}</style>",
    "</head>",
    "<body>",
    f"<h1>{escape(title)}</h1>",
    *_facts(facts),
    *_contents(sections),
  ]
  for name, section in sections.items():
    lines += _section(folder, name, section)
  lines += ["</body>", "</html>"]
  write_aside(folder / FILE, ("\n".join(lines) + "\n").encode())


def _facts(facts: Mapping[str, str]) -> Iterator[str]:
  yield "<dl>"
  for name, value in facts.items():
    # A browser would break a line behind the dashes of a flag.
    whole_flags = re.sub(r"(?<!\S)--\S+", r"<span>\g<0></span>", escape(value))
    yield f"<dt>{escape(name)}</dt><dd>{whole_flags}</dd>"
  yield "</dl>"


def _contents(sections: Mapping[str, Section]) -> Iterator[str]:
  """Each protocol's result in a line, with a link to more."""
  yield "<ul>"
  for name, section in sections.items():
    link = f'<a href="#{_anchor(name)}">{escape(name)}</a>'
    yield f"<li>{link}: {escape(section.summary)}</li>"
  yield "</ul>"


def _section(folder: pathlib.Path, name: str, section: Section) -> Iterator[str]:
  yield f'<section id="{_anchor(name)}">'
  yield f"<h2>{escape(name)}</h2>"
  yield f'<p class="summary">{escape(section.summary)}</p>'
  for table in section.tables:
    yield from _table(table)
  for figure in section.figures:
    yield _figure(folder, figure)
  yield "</section>"


def _table(table: Table) -> Iterator[str]:
  """The table; columns of numbers stand to the right. Wide ones scroll by themselves."""
  numeric = [_is_numeric([row[i] for row in table.rows]) for i in range(len(table.head))]
  kinds = [' class="number"' if each else "" for each in numeric]
  yield f"<h3>{escape(table.title)}</h3>"
  # With the keyboard, too, hence the index.
  yield f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
  head = "".join(f'<th scope="col"{kind}>{escape(c)}</th>' for kind, c in zip(kinds, table.head))
  yield f"<table><thead><tr>{head}</tr></thead><tbody>"
  for row in table.rows:
    yield f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for kind, cell in zip(kinds, row))}</tr>"
  yield "</tbody></table></div>"


def _is_numeric(cells: Sequence[str]) -> bool:
  return any(cells) and all(_NUMBER.fullmatch(cell.strip()) for cell in cells)


def _figure(folder: pathlib.Path, figure: Figure) -> str:
  content = base64.b64encode((folder / figure.file).read_bytes()).decode()
  title, caption = escape(figure.title), escape(figure.caption)
  return (
    f'<figure><img alt="{title}" src="data:image/png;base64,{content}">'
    f"<figcaption><strong>{title}.</strong> {caption}</figcaption></figure>"
  )


def _anchor(name: str) -> str:
  return escape(re.sub(r"[^A-Za-z0-9_.-]", "-", name))
