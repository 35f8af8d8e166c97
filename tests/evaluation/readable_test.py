"""What cannot be read is left out and named, or ends the evaluation."""

from __future__ import annotations

import pytest

from sbae_tf.data.skipped import TooManySkippedError
from sbae_tf.evaluation.labelled import open_labelled
from sbae_tf.evaluation.readable import leave_out_unreadable
from sbae_tf.failures import WriteError
from tests import mean_color


def _parts(tmp_path, *, broken: tuple[int, ...]):
  train = mean_color.write_photographs(tmp_path / "train", 9)
  test = mean_color.write_photographs(tmp_path / "test", 6, broken=broken)
  return {"train": open_labelled(str(train)), "test": open_labelled(str(test))}


def _leave_out(parts, file, *, max_skipped: float = 0.2):
  return leave_out_unreadable(
    parts, image_size=8, max_pixels=64, max_skipped=max_skipped, file=file
  )


@pytest.mark.slow
def test_leaves_out(tmp_path):
  parts = _parts(tmp_path, broken=(3,))
  file = tmp_path / "skipped.tsv"
  kept = _leave_out(parts, file)
  assert kept["train"] is parts["train"]
  names = list(parts["test"].source.names)
  assert list(kept["test"].source.names) == [name for name in names if "003" not in name]
  assert len(kept["test"].labels) == 5
  lines = file.read_text().splitlines()
  assert len(lines) == 2 and "003.png" in lines[1]
  with pytest.raises(TooManySkippedError, match="1 of 15 .* than --max_skipped=0.05 accepts"):
    _leave_out(parts, file, max_skipped=0.05)
  # Mended since.
  mean_color.write_photographs(tmp_path / "test", 6)
  assert _leave_out(parts, file)["test"] is parts["test"] and not file.exists()


def test_none_is_left(tmp_path):
  parts = _parts(tmp_path, broken=tuple(range(6)))
  with pytest.raises(ValueError, match="Expected photographs that can be read: 6 images in"):
    _leave_out(parts, tmp_path / "skipped.tsv", max_skipped=1.0)


def test_a_full_disk_is_one_line(tmp_path):
  parts = _parts(tmp_path, broken=(0,))
  with pytest.raises(WriteError, match="Cannot write .*skipped.tsv: "):
    _leave_out(parts, tmp_path / "nowhere" / "skipped.tsv")
