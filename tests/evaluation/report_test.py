"""The report's page: what is told stands in it as it is, and it needs nothing else."""

from __future__ import annotations

import base64
import html.parser
import re

import pytest
from PIL import Image

from sbae_tf.evaluation import report
from sbae_tf.evaluation.protocol import Figure, Section, Table

_EVIL = "<script>alert('&amp;\"x\"')</script>"
_ALONE = {"meta", "link", "img"}  # Elements without an end.


class _Page(html.parser.HTMLParser):
  """Elements with their attributes, and texts, of a page that must be nested rightly."""

  def __init__(self, text: str) -> None:
    super().__init__()
    self.elements: list[tuple[str, dict]] = []
    self.texts: list[str] = []
    self._open: list[str] = []
    self.feed(text)
    self.close()
    assert not self._open

  def handle_starttag(self, tag, attrs) -> None:
    assert len(dict(attrs)) == len(attrs)
    self.elements.append((tag, dict(attrs)))
    if tag not in _ALONE:
      self._open.append(tag)

  def handle_endtag(self, tag) -> None:
    assert self._open.pop() == tag

  def handle_data(self, data) -> None:
    if self._open and self._open[-1] != "style":
      self.texts.append(data)

  def all(self, tag: str) -> list[dict]:
    return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(name="page")
def _page(tmp_path) -> _Page:
  Image.new("RGB", (3, 2), "red").save(tmp_path / "a b.png")
  sections = {
    "linear_probe": Section(
      summary=f"68% {_EVIL}",
      values={},
      tables=(
        Table(
          f"Table {_EVIL}",
          ("layer", "top-1 (%)", _EVIL),
          (("conv1", "67.9 ± 0.4", _EVIL), ("conv2", "-", "7")),
        ),
        Table("Empty", ("a",), ()),
      ),
      figures=(Figure(f"Figure {_EVIL}", "a b.png", f"Caption {_EVIL}"),),
    ),
    "my_package.my protocol": Section("nothing", {}),
  }
  report.write_report(tmp_path, {"Encoder": _EVIL, "Command": "python --a=1 --b=<2>"}, sections)
  assert sorted(file.name for file in tmp_path.iterdir()) == ["a b.png", "report.html"]
  return _Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_everything_is_told_and_escaped(page) -> None:
  assert not page.all("script")
  whole = "".join(page.texts)
  for told in (
    *(f"Evaluation of {_EVIL}", f"68% {_EVIL}", f"Table {_EVIL}", f"Figure {_EVIL}"),
    *(f"Caption {_EVIL}", "linear_probe", "67.9 ± 0.4", "python --a=1 --b=<2>"),
  ):
    assert told in whole
  assert page.all("img")[0]["alt"] == f"Figure {_EVIL}"


def test_it_needs_nothing_else(page, tmp_path) -> None:
  (image,) = page.all("img")
  kind, _, content = image["src"].partition(",")
  assert kind == "data:image/png;base64"
  assert base64.b64decode(content) == (tmp_path / "a b.png").read_bytes()
  links = [a[key] for _, a in page.elements for key in ("src", "href") if key in a]
  assert all(link.startswith(("data:", "#")) for link in links)
  text = (tmp_path / "report.html").read_text(encoding="utf-8")
  assert not re.search(r"https?:|url\(|@import| on\w+=", text)
  assert "prefers-color-scheme: dark" in text
  assert {"viewport", "width=device-width, initial-scale=1"} <= {
    value for meta in page.all("meta") for value in meta.values()
  }


def test_links_lead_to_sections(page) -> None:
  ids = [section["id"] for section in page.all("section")]
  assert len(set(ids)) == 2
  assert [a["href"] for a in page.all("a")] == [f"#{name}" for name in ids]


def test_numbers_stand_to_the_right(page) -> None:
  cells = page.all("td")
  assert ["class" in cell for cell in cells] == [False, True, False] * 2


def test_a_figure_that_was_not_drawn_is_an_error_and_writes_nothing(tmp_path) -> None:
  sections = {"a": Section("", {}, figures=(Figure("", "missing.png", ""),))}
  with pytest.raises(OSError, match="missing.png"):
    report.write_report(tmp_path, {}, sections)
  assert not list(tmp_path.iterdir())
