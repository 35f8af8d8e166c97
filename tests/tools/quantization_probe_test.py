from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sbae_tf.encoder import Encoder
from sbae_tf.export import export_encoder
from sbae_tf.model_card import Provenance
from tools import quantization_probe
from tools.quantization_probe import Photographs, Row, markdown, measure, read


@pytest.fixture
def folders(tmp_path):
  """Photographs of two classes, dark and bright."""
  rng = np.random.default_rng(0)
  for part, count in (("train", 20), ("test", 10)):
    for label, low in (("bright", 140), ("dark", 20)):
      (tmp_path / part / label).mkdir(parents=True)
      for i in range(count):
        pixels = rng.integers(low, low + 90, (8, 8, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(pixels).save(tmp_path / part / label / f"{i}.png")
  return tmp_path


@pytest.fixture
def saved_model(small_config, tmp_path):
  path = tmp_path / "encoder"
  provenance = Provenance("a folder", "another", 5)
  export_encoder(Encoder(small_config), path, provenance=provenance)
  return path


def test_reads_evenly_and_with_classes(folders):
  photographs = read(str(folders / "train"), count=10, image_size=32)
  assert photographs.images.shape == (10, 32, 32, 3)
  assert np.bincount(photographs.labels).tolist() == [5, 5]
  brightness = photographs.images.mean((1, 2, 3))
  np.testing.assert_array_equal(photographs.labels == 0, brightness > 120)
  with pytest.raises(ValueError, match="two classes or more"):
    read(str(folders / "train/dark"), count=10, image_size=32)


@pytest.mark.slow
def test_measures_every_format(folders, saved_model, capsys):
  out = folders / "formats.md"
  flags = [f"--encoder={saved_model}", f"--data={folders}/train", f"--test={folders}/test"]
  assert quantization_probe.main([*flags, f"--out={out}"]) == 0
  page = out.read_text()
  assert capsys.readouterr().out == page
  rows = [line for line in page.splitlines() if line.startswith(("| Saved", "| TensorFlow"))]
  assert [row.split(" | ")[0] for row in rows] == [
    *("| SavedModel", "| TensorFlow Lite, float32", "| TensorFlow Lite, float16"),
    "| TensorFlow Lite, int8",
  ]
  assert all(row.split(" | ")[4] == "100.0%" for row in rows)  # Bright and dark: not hard.
  assert "5 steps of 16 on a folder" in page


@pytest.mark.slow
def test_tells_the_formats_apart(saved_model, folders):
  train = read(str(folders / "train"), count=40, image_size=32)
  test = read(str(folders / "test"), count=20, image_size=32)
  saved, float32, float16, int8 = measure(str(saved_model), train, test)
  assert saved.median == saved.largest == 0.0
  assert 0.0 < float32.largest < 1e-4 < int8.median <= int8.largest
  assert float32.median < float16.median < int8.median
  assert int8.size < float16.size < float32.size


def test_writes_a_page():
  photographs = Photographs("2 of them", np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1]))
  rows = [
    Row("SavedModel", 3_000_000, 0.0, 0.0, 0.5, 0.5, 0),
    Row("int8", 10_000, 0.02, 0.3, 0.25, 0.0, 1),
  ]
  keys = ("command", "date", "revision", "machine", "versions", "encoder")
  page = markdown(rows, {key: f"<{key}>" for key in keys}, photographs, photographs)
  assert all(f"<{key}>" in page for key in keys)
  assert "| SavedModel | 3.00 | 0.0e+00 | 0.0e+00 | 50.0% | 50.0% | 0 of 2 |" in page
  assert "| int8 | 0.01 | 2.0e-02 | 3.0e-01 | 25.0% | 0.0% | 1 of 2 |" in page
  assert "standard deviation of an accuracy is 35.4%; a guess at random has 50%" in page


def test_a_mistake_is_told_in_one_line(tmp_path, capsys):
  flags = [f"--encoder={tmp_path}", "--data=x", "--test=y"]
  assert quantization_probe.main(flags) == 2
  assert capsys.readouterr().err.startswith("quantization_probe: There is no SavedModel")
