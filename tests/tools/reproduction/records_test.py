"""Records: written, read, replaced, and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from tools.reproduction.records import Records, to_csv


def test_what_is_written_is_read(record, tmp_path):
  records = Records(tmp_path / "out")
  assert records.read() == []
  first, second = record(), record(seed=1, minutes=1.0, method="simclr_1min")
  records.add(first)
  records.add(second)
  read = records.read()
  assert [each.identity for each in read] == [first.identity, second.identity]
  plain = [dataclasses.asdict(each) for each in (first, second)]
  for each in plain:
    each["commands"] = list(each["commands"])
  assert [dataclasses.asdict(each) for each in read] == plain
  assert [path.name for path in records.file.parent.iterdir()] == ["cells.jsonl"]


def test_a_later_record_takes_an_earlier_ones_place(record, tmp_path):
  records = Records(tmp_path)
  records.add(record(date="2026-01-01"))
  records.add(record(protocol="knn"))
  records.add(record(protocol="linear_probe(dimensions=100)"))
  records.add(record(config={**record().config, "epochs": 3}))
  records.add(record(date="2026-01-03", hardware="another"))
  dates = [(each.protocol, each.date) for each in records.read()]
  assert dates == [
    ("knn", "2026-01-02"),
    ("linear_probe(dimensions=100)", "2026-01-02"),
    ("linear_probe", "2026-01-02"),
    ("linear_probe", "2026-01-03"),
  ]


def test_what_was_trained_for_minutes_is_another_thing_on_another_machine(record, tmp_path):
  records = Records(tmp_path)
  for hardware in ("one", "another", "one"):
    records.add(record(minutes=1.0, hardware=hardware))
  assert [each.hardware for each in records.read()] == ["another", "one"]


@pytest.mark.parametrize("line", ["{", "[]", '{"dataset": "a"}'])
def test_a_damaged_line_is_named(line, record, tmp_path):
  records = Records(tmp_path)
  records.add(record())
  with records.file.open("a") as file:
    file.write(line + "\n")
  for use in (records.read, lambda: records.add(record())):
    with pytest.raises(ValueError, match=r"line 2 of .*cells\.jsonl"):
      use()
  assert records.file.read_text().endswith(line + "\n")


def test_csv_has_a_row_a_record(record):
  values = {"top1": 0.5, "few": {"16": {"mean": 0.2, "draws": [0.1, 0.2]}}, "none": None}
  text = to_csv([record(values=values), record(minutes=0.5, values={"top1": 0.25, "k": 3})])
  rows = list(csv.DictReader(io.StringIO(text)))
  found = [[row[name] for name in ("minutes", "few.16.mean", "k", "top1")] for row in rows]
  assert found == [["", "0.2", "", "0.5"], ["0.5", "", "3", "0.25"]]
  assert not any("draws" in name or "none" in name for name in rows[0])
  assert rows[0]["pretrain_command"] == "python -m sbae_tf.pretrain --seed=0"
  assert rows[0]["versions"] == "tensorflow 2.15.1" and rows[0]["pretraining_seconds"] == "660.0"
