"""The held-out losses of a run, out of its metrics."""

from __future__ import annotations

import json

import pytest

from tools.reproduction import held_out


def _write(folder, *lines) -> None:
  text = "".join(json.dumps({"time": 0.0, **line}) + "\n" for line in lines)
  (folder / "metrics.jsonl").write_text(text)


def test_the_newest_ones(tmp_path):
  _write(
    tmp_path,
    {"step": 1, "heldout/total": 9.0, "heldout/L->ab": 9.0},
    {"step": 2, "heldout/total": 3.0, "heldout/L->ab": 1.0, "heldout/ab->L": 2.0},
    {"step": 2, "loss/total": 7.0},
  )
  assert held_out.read(tmp_path) == {"total": 3.0, "L->ab": 1.0, "ab->L": 2.0}


def test_a_run_that_has_not_ended_is_an_error(tmp_path):
  with pytest.raises(ValueError, match="Cannot read .*metrics.jsonl"):
    held_out.read(tmp_path)
  _write(tmp_path, {"step": 2, "loss/total": 7.0})
  with pytest.raises(ValueError, match="no held-out loss"):
    held_out.read(tmp_path)
