"""Whole sources: names, what is measured, what cannot be read, going on, and refusals."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import skimage.color
from PIL import Image

from sbae_tf.colorization import runner
from sbae_tf.colorization.colorized_folder import ColorizedFolder
from sbae_tf.colorization.file_names import file_names
from sbae_tf.colorization.photograph_colorizer import PhotographColorizer
from sbae_tf.data.skipped import TooManySkippedError
from sbae_tf.data.sources import open_source
from sbae_tf.failures import WriteError
from sbae_tf.output_folder import FolderError
from tests import sure_colors

_FILES = ["gray.png", "red/odd.png", "red/wide.png", "same.bmp.png", "same.png.png"]


@pytest.fixture(scope="module", name="photos")
def _photos(tmp_path_factory) -> pathlib.Path:
  return sure_colors.write_photographs(tmp_path_factory.mktemp("data") / "photos")


def _colorize(
  colorizer: PhotographColorizer,
  photos: pathlib.Path,
  out: pathlib.Path,
  *,
  max_skipped: float = 1.0,
  check: Callable[[], None] = lambda: None,
  format: str = "png",
  quality: int = 95,
) -> ColorizedFolder:
  source, folder, form = (
    open_source(str(photos)),
    ColorizedFolder(out),
    runner.FORMS[format](quality),
  )
  settings = runner.describe(source, colorizer, form, data=str(photos), max_pixels=10**6)
  with folder.locked():
    folder.begin(file_names(source, form.extension), settings=settings, about={})
    runner.colorize(
      source,
      colorizer,
      folder,
      form,
      max_pixels=10**6,
      max_skipped=max_skipped,
      check=check,
      seconds=60.0,
    )
  return folder


def _state(folder: pathlib.Path) -> dict[str, tuple[int, bytes]]:
  """Inode and content of each file."""
  files = (path for path in folder.rglob("*") if path.is_file())
  return {
    path.relative_to(folder).as_posix(): (path.stat().st_ino, path.read_bytes()) for path in files
  }


def _stop_after(photographs: int) -> Callable[[], None]:
  left = iter(range(photographs - 1))

  def check() -> None:
    if next(left, None) is None:
      raise KeyboardInterrupt

  return check


def test_every_photograph_and_its_measures(colorizer, photos, tmp_path):
  folder = _colorize(colorizer, photos, tmp_path / "out")
  files = sorted(
    p.relative_to(folder.photographs).as_posix() for p in folder.photographs.rglob("*.*")
  )
  assert files == _FILES
  head, *lines = folder.table.read_text().splitlines()
  assert head.split("\t")[:4] == ["index", "file", "width", "height"]
  rows = [dict(zip(head.split("\t"), line.split("\t"))) for line in lines]
  assert [row["file"] for row in rows] == _FILES
  psnr, rmse, pixels = [], [], []
  originals = "gray.png red/odd.png red/wide.jpg same.bmp same.png".split()
  for row, name in zip(rows, originals):
    original = np.asarray(Image.open(photos / name).convert("RGB"))
    result = np.asarray(Image.open(folder.photographs / row["file"]))
    assert result.shape == original.shape
    assert (int(row["height"]), int(row["width"])) == result.shape[:2]
    assert float(row["rmse_l"]) < 0.2
    if name == "gray.png":
      assert not row["psnr_db"] and not row["rmse_ab"] and not row["gray_psnr_db"]
      continue
    squared = (original.astype(np.float64) - result) ** 2
    psnr.append(10 * np.log10(255**2 / squared.mean()))
    ab = (skimage.color.rgb2lab(original) - skimage.color.rgb2lab(result))[..., 1:]
    rmse.append(np.sqrt((ab**2).sum(-1).mean()))
    pixels.append(original.shape[0] * original.shape[1])
    assert float(row["psnr_db"]) == pytest.approx(psnr[-1], abs=1e-3)
    assert float(row["rmse_ab"]) == pytest.approx(rmse[-1], rel=1e-3)
  metrics = json.loads(folder.metrics.read_text())
  assert (metrics["photographs"], metrics["colorized"], metrics["gray_originals"]) == (7, 5, 1)
  assert metrics["skipped"] == {"empty": 1, "not_an_image": 1}
  assert metrics["psnr_db"] == pytest.approx(np.mean(psnr), abs=1e-3)
  assert metrics["rmse_ab"] == pytest.approx(np.mean(rmse), rel=1e-3)
  over_pixels = math.sqrt(np.average(np.square(rmse), weights=pixels))
  assert metrics["rmse_ab_all_pixels"] == pytest.approx(over_pixels, rel=1e-3)
  assert metrics["without_color"]["rmse_ab"] > 1 and metrics["rmse_l"] < 0.2
  assert sorted(line.split("\t")[0] for line in folder.skipped.read_text().splitlines()[1:]) == [
    "empty",
    "not_an_image",
  ]
  runner.write_grid(open_source(str(photos)), colorizer, folder, rows=3, max_pixels=10**6)
  grid = Image.open(folder.grid)
  assert grid.width == 3 * 264 + 8 and grid.height > 3 * 160


@pytest.mark.parametrize("photographs", [1, 3, 6])
def test_goes_on_where_it_was_stopped(colorizer, photos, tmp_path, photographs):
  whole, out = tmp_path / "whole", tmp_path / "out"
  _colorize(colorizer, photos, whole)
  with pytest.raises(KeyboardInterrupt):
    _colorize(colorizer, photos, out, check=_stop_after(photographs))
  assert not (out / "metrics.json").exists() and not list(out.rglob(".*"))
  table = out / "metrics.tsv"
  done = {line.split("\t")[1] for line in table.read_text().splitlines()[1:]}
  before = _state(out / "colorized")
  table.write_text(table.read_text() + "4\tsame.png.p")  # The rest of a line that was cut off.
  (out / "colorized" / ".x.1.aside").write_bytes(b"of a process that was killed")
  _colorize(colorizer, photos, out)
  after = _state(out / "colorized")
  assert {name: after[name] for name in done} == {name: before[name] for name in done}
  assert {k: v[1] for k, v in _state(out).items()} == {k: v[1] for k, v in _state(whole).items()}


def test_makes_again_only_what_is_gone(colorizer, photos, tmp_path):
  out = tmp_path / "out"
  _colorize(colorizer, photos, out)
  before = _state(out)
  (out / "colorized" / "red" / "odd.png").unlink()
  _colorize(colorizer, photos, out)
  after = _state(out)
  assert {k: v[1] for k, v in after.items()} == {k: v[1] for k, v in before.items()}
  again = {k for k in after if k.startswith("colorized") and after[k][0] != before[k][0]}
  assert again <= {"colorized/red/odd.png"}


def test_refuses_other_settings_and_other_things(colorizer, photos, tmp_path):
  out = tmp_path / "out"
  _colorize(colorizer, photos, out)
  before = _state(out)
  colorizer.image_size = 64
  message = "made otherwise: image_size is 32 there and 64 here. Give another"
  with pytest.raises(FolderError, match=message):
    _colorize(colorizer, photos, out)
  colorizer.image_size = 32
  with pytest.raises(FolderError, match="format is png there and jpeg here"):
    _colorize(colorizer, photos, out, format="jpeg")
  with pytest.raises(FolderError, match="data is .*photos there and .*red here, .*names differs"):
    _colorize(colorizer, photos / "red", out)
  with pytest.raises(FolderError, match="holds other files and no colorization"):
    _colorize(colorizer, photos, photos)
  sure_colors.be_sure(colorizer.colorizer.model, sure_colors.VIVID)
  with pytest.raises(FolderError, match="made otherwise: model differs"):
    _colorize(colorizer, photos, out)
  assert _state(out) == before


def test_too_many_cannot_be_read(colorizer, photos, tmp_path):
  message = "2 of 7 images cannot be read, more than --max_skipped=0.2 accepts"
  with pytest.raises(TooManySkippedError, match=message):
    _colorize(colorizer, photos, tmp_path / "out", max_skipped=0.2)
  with pytest.raises(ValueError, match="Expected photographs that can be read: 1 image"):
    _colorize(colorizer, photos / "broken.jpg", tmp_path / "other")
  assert not list(tmp_path.rglob(".*"))


def test_jpeg_keeps_its_colors(colorizer, tmp_path):
  (tmp_path / "photos").mkdir()
  Image.fromarray(sure_colors.photograph(31, 45)).save(tmp_path / "photos" / "1.png")
  folder = _colorize(colorizer, tmp_path / "photos", tmp_path / "out", format="jpeg", quality=100)
  with Image.open(folder.photographs / "1.jpg") as image:
    assert image.format == "JPEG" and image.size == (45, 31)
    ab = skimage.color.rgb2lab(np.asarray(image))[..., 1:]
  assert np.abs(ab.mean((0, 1)) - (-3.2, 3.4)).max() < 0.5


def test_a_full_disk_is_one_line(colorizer, photos, tmp_path, monkeypatch):
  def fail(*_: object) -> None:
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("sbae_tf.run_folder.os.replace", fail)
  with pytest.raises(WriteError, match="Cannot write .*No space left on device. .*then goes on"):
    _colorize(colorizer, photos, tmp_path / "out")
