"""Photographs with masks: which are left out, and that a pair stays a pair."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sbae_tf.data import files
from sbae_tf.data.skipped import Skipped
from sbae_tf.evaluation import segmented
from sbae_tf.evaluation.label_classes import IGNORED, choose_classes
from sbae_tf.evaluation.labelled import Labelled
from sbae_tf.evaluation.masks import MaskRule
from sbae_tf.evaluation.segmented import Segmented, open_segmented

_RULE = MaskRule("{folder}annot/{stem}.png")


def _check_pair(data: Segmented, index: int) -> None:
  photograph, labels = data.pair(index)
  np.testing.assert_array_equal(photograph, Image.open(data.source.names[index]).convert("RGB"))
  numbers = np.asarray(Image.open(data.masks[index]))
  for number, label in {0: 0, 4: 1, 7: 2, 9: IGNORED}.items():
    np.testing.assert_array_equal(labels == label, numbers == number)


@pytest.mark.parametrize("kept", [segmented._KEPT, 20_000])
def test_pairs_and_what_is_left_out(write_scenes, tmp_path, monkeypatch, kept):
  monkeypatch.setattr(segmented, "_KEPT", kept)
  scenes = write_scenes(tmp_path / "train", count=7, seed=0)
  masks = tmp_path / "trainannot"
  (masks / "01.png").unlink()
  (masks / "03.png").write_bytes((masks / "03.png").read_bytes()[:60])
  Image.open(masks / "04.png").crop((0, 0, 40, 40)).save(masks / "04.png")
  ledger = Skipped(7, limit=1.0, file=tmp_path / "left_out.tsv")
  data = open_segmented(scenes, _RULE, skipped=ledger)
  reasons = {name[-6:]: reason for name, (reason, _) in ledger.entries.items()}
  assert reasons == {"01.png": "no_mask", "03.png": "broken", "04.png": "other_size"}
  assert (tmp_path / "left_out.tsv").read_text().count("\n") == 4
  assert [name[-6:] for name in data.source.names] == ["00.png", "02.png", "05.png", "06.png"]
  assert data.numbers == dict.fromkeys((0, 4, 7, 9), str(masks / "00.png"))
  assert len(data.kept) == (4 if kept > 20_000 else 2)
  data = data.labelled(choose_classes(data.numbers, names=(), ignored={9}))
  for part in (data, data.subset(np.array([3, 1, 0]))):
    for index in range(len(part)):
      _check_pair(part, index)


def test_an_upright_photograph_has_an_upright_mask(tmp_path):
  (tmp_path / "p").mkdir()
  exif = Image.Exif()
  exif[0x0112] = 6  # Stored lying on its side.
  Image.new("RGB", (30, 20)).save(tmp_path / "p" / "a.jpg", exif=exif)
  mask = np.zeros((30, 20), np.uint8)
  mask[:9] = 1
  Image.fromarray(mask).save(tmp_path / "a.png")
  photographs = Labelled(files.build(str(tmp_path / "p")), classes=False)
  data = open_segmented(photographs, MaskRule(str(tmp_path)), skipped=Skipped(1, limit=1.0))
  photograph, labels = data.pair(0)
  assert photograph.shape == (30, 20, 3)
  np.testing.assert_array_equal(labels, mask)


def test_no_mask_at_all(write_scenes, tmp_path):
  scenes = write_scenes(tmp_path / "train", count=1, seed=0)
  with pytest.raises(ValueError, match=r"masks='/nowhere'. Received: none of .*00.png: no_mask, "):
    open_segmented(scenes, MaskRule("/nowhere"), skipped=Skipped(1, limit=1.0))


def test_camvid(test_data):
  folder = test_data / "camvid" / "test"
  if not folder.is_dir():
    pytest.skip("there is no camvid")
  ledger = Skipped(233, limit=1.0)
  photographs = Labelled(files.build(str(folder)), classes=False)
  data = open_segmented(photographs, _RULE, skipped=ledger)
  assert (len(data), len(ledger), sorted(data.numbers)) == (233, 0, list(range(12)))
  photograph, labels = data.pair(100)
  assert photograph.shape == (180, 240, 3) and labels.shape == (180, 240)
