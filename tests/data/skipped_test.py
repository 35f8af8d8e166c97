"""Tests of sbae_tf.data.skipped."""

from __future__ import annotations

import threading

import pytest

from sbae_tf.data.skipped import Skipped, TooManySkippedError


def test_each_image_is_entered_once(tmp_path):
  file = tmp_path / "skipped.tsv"
  skipped = Skipped(1000, file=file)
  assert not file.exists() and str(skipped) == "0 of 1,000 images skipped"
  for _ in range(3):
    skipped.add("a.jpg", "truncated", "ends early")
    skipped.add("b.jpg", "empty", "No bytes")
  skipped.add("c.jpg", "empty", "No bytes")
  assert len(skipped) == 3
  assert str(skipped) == "3 of 1,000 images skipped (2 empty, 1 truncated)"
  assert file.read_text().splitlines() == [
    "reason\tname\tdetail",
    "truncated\ta.jpg\tends early",
    "empty\tb.jpg\tNo bytes",
    "empty\tc.jpg\tNo bytes",
  ]


def test_a_name_stays_in_its_line_and_column(tmp_path):
  file = tmp_path / "skipped.tsv"
  Skipped(1000, file=file).add("a\tb\nc.jpg", "corrupt", "two\nlines")
  assert file.read_text().splitlines()[1:] == ["corrupt\ta b c.jpg\ttwo lines"]


def test_more_than_the_limit_is_an_error_that_shows_the_first_ten(tmp_path):
  file = tmp_path / "skipped.tsv"
  skipped = Skipped(1200, limit=0.01, file=file)
  for i in range(12):
    skipped.add(f"{i:02}.jpg", "empty", "No bytes")
  skipped.check()
  with pytest.raises(TooManySkippedError) as error:
    skipped.add("12.jpg", "empty", "No bytes")
  message = str(error.value)
  assert message.startswith(
    "13 of 1,200 images cannot be read, more than --data.max_skipped=0.01 accepts. The first: "
    "00.jpg (empty: No bytes); 01.jpg"
  )
  assert "09.jpg" in message and "10.jpg" not in message and "\n" not in message
  with pytest.raises(TooManySkippedError):
    skipped.check()
  assert len(file.read_text().splitlines()) == 14  # The last one, too.


@pytest.mark.parametrize(("limit", "accepted"), [(0.0, 0), (0.5, 5), (1.0, 10)])
def test_limits(limit, accepted):
  skipped = Skipped(10, limit=limit)
  for i in range(accepted):
    skipped.add(str(i), "empty", "")
  if accepted < 10:
    with pytest.raises(TooManySkippedError):
      skipped.add("more", "empty", "")


def test_an_earlier_run_s_entries_stay_and_count_when_met_again(tmp_path):
  file = tmp_path / "skipped.tsv"
  Skipped(100, limit=0.01, file=file).add("a.jpg", "empty", "No bytes")
  with file.open("a") as opened:
    opened.write("empty\tunfin")  # Killed here.
  skipped = Skipped(100, limit=0.01, file=file)
  assert len(skipped) == 0
  skipped.add("a.jpg", "empty", "No bytes")
  with pytest.raises(TooManySkippedError):
    skipped.add("unfinished.jpg", "empty", "No bytes")
  assert [line.split("\t")[1] for line in file.read_text().splitlines()] == [
    *("name", "a.jpg", "unfinished.jpg")
  ]


def test_threads_lose_nothing(tmp_path):
  file = tmp_path / "skipped.tsv"
  skipped = Skipped(10_000, limit=1.0, file=file)

  def add(first: int) -> None:
    for i in range(first, first + 50):
      skipped.add(f"{i}.jpg", "empty", "No bytes")

  threads = [threading.Thread(target=add, args=(first,)) for first in (0, 25, 50, 75)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(skipped) == 125
  lines = file.read_text().splitlines()
  assert lines.count("reason\tname\tdetail") == 1 and len(lines) == 126 == len(set(lines))
