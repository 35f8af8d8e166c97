"""The tiny version of everything, by processes that only pretend, through the command line."""

from __future__ import annotations

import functools

from tools import reproduce
from tools.reproduction import cells, filling, processes
from tools.reproduction.methods import OURS, timed_name
from tools.reproduction.records import Records


def test_one_cell_of_each_kind_is_filled_and_told(tmp_path, pretender, monkeypatch, capsys):
  monkeypatch.setattr(processes, "_POLL_SECONDS", 0.001)
  monkeypatch.setattr(filling, "fill", functools.partial(filling.fill, launch=pretender))
  for dataset in cells.DATASETS:
    for part in ("train", "test"):
      for label in "abcd":
        folder = tmp_path / "data" / dataset / part / label
        folder.mkdir(parents=True)
        (folder / "1.jpg").write_bytes(b"")
  runs = tmp_path / "runs"
  command = [f"--data={tmp_path}/data", f"--runs={runs}", "--smoke", "--jobs=2"]
  assert reproduce.main(command) == 0
  names = (OURS, "random", "l_to_ab", "simclr", "denoising_masking_10")
  timed = {timed_name(name, m) for name in (OURS, "denoising_masking_10") for m in (0, 0.02)}
  found = Records(runs / "results").read()
  assert {record.method for record in found} == {*names, *timed}
  assert {record.dataset for record in found} == set(cells.DATASETS)
  assert {record.seed for record in found} == {0}
  # All of them are small; only those that train do so for some steps.
  small = {"--backbone.width=0.25", "--image_size=32", "--batch_size=8"}
  for arguments in pretender.launched:
    if "sbae_tf.pretrain" in arguments:
      assert small <= set(arguments)
      assert any(a.startswith("--steps=") for a in arguments) == (
        "--preset=random" not in arguments and "--epochs=0" not in arguments
      )
    else:
      assert any("imagenette96_test.txt" in a or "caltech101_96_test.txt" in a for a in arguments)
  results = runs / "results"
  for number in (1, 2, 3, 4):
    assert f"](table{number}.png)" in (results / f"table{number}.md").read_text()
    assert (results / f"table{number}.png").is_file()
  assert not list(runs.rglob("features")) and len(list(runs.rglob("calibration.json"))) == 2
  pretender.launched.clear()
  assert reproduce.main(command) == 0 and pretender.launched == []
  assert "0 of 10 cells are to be done." in capsys.readouterr().err
