"""The prior of bins: counted as by hand, whole or not there, and mistakes in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from skimage import color

from sbae_tf.quantize.bin_prior import BinPrior
from sbae_tf.quantize.gamut import gamut_centers
from tests import mean_color
from tools import color_prior

_COUNT = 12


@pytest.fixture(scope="module", name="photos")
def _photos(tmp_path_factory):
  """Photographs of 8 x 8 pixels, each of one color, but for the first: half red, half blue."""
  folder = mean_color.write_photographs(tmp_path_factory.mktemp("photos"), _COUNT, broken=(4,))
  halves = np.zeros((8, 8, 3), np.uint8)
  halves[:, :4, 0] = halves[:, 4:, 2] = 255
  Image.fromarray(halves).save(folder / "red" / "000.png")
  return folder


def _run(photos, out, *more):
  flags = ("--image_size=8", "--stride=4", "--max_skipped=0.1")
  return color_prior.main([f"--data={photos}", f"--out={out}", *flags, *more])


def _ids(rgb):
  """The nearest bins of colors, (N, 3) uint8."""
  ab = color.rgb2lab(np.array(rgb, np.uint8)[:, np.newaxis])[:, 0, 1:]
  return np.linalg.norm(ab[:, np.newaxis] - gamut_centers(), axis=-1).argmin(axis=1)


def test_counts_the_pixels_of_the_small_maps(photos, tmp_path, capsys):
  assert _run(photos, tmp_path / "prior.json") == 0
  expected = np.zeros(313, int)
  np.add.at(expected, _ids([(255, 0, 0), (0, 0, 255)]), 2)
  numbers = [number for number in range(1, _COUNT) if number != 4]
  np.add.at(expected, _ids([mean_color.color(number) for number in numbers]), 4)
  prior = BinPrior.loads((tmp_path / "prior.json").read_text(), name="prior.json")
  np.testing.assert_array_equal(prior.counts, expected)
  np.testing.assert_array_equal(prior.centers, gamut_centers())
  assert prior.bins == "gamut of a,b"
  assert {k: prior.provenance[k] for k in ("data", "photographs", "stride", "image_size")} == {
    "data": str(photos),
    "photographs": _COUNT - 1,
    "stride": 4,
    "image_size": 8,
  }
  said = capsys.readouterr()
  assert "44 pixels of 11 photographs in 313 bins" in said.out
  assert "004.png" in said.err and [p.name for p in tmp_path.iterdir()] == ["prior.json"]


def test_other_bins_and_a_part_of_the_photographs(photos, tmp_path):
  flags = ("--limit=3", "--quantizer=uniform(bins=50)", "--channels=L", "--max_skipped=0")
  assert _run(photos, tmp_path / "prior.json", *flags) == 0
  values = json.loads((tmp_path / "prior.json").read_text())
  assert (len(values["counts"]), sum(values["counts"])) == (50, 3 * 4)
  assert values["bins"] == "uniform(bins=50) of L"
  assert values["provenance"]["of"].startswith("3 of 12 images")


@pytest.mark.parametrize(
  ("flags", "named"),
  [
    (["--max_skipped=0"], "more than --max_skipped=0 accepts"),
    (["--quantizer=rescaled"], "bins that all images share"),
    (["--quantizer=nonesuch"], "Unknown quantizer 'nonesuch'. Known: gamut"),
    (["--channels=L"], "quantizer 'gamut' has bins of a,b alone"),
    (["--channels=a,c"], "has no channel 'c'"),
    (["--stride=3"], "--image_size to be a multiple of --stride=3"),
    (["--limit=0"], "--limit of 1 or more"),
    (["--max_skipped=2"], "--max_skipped from 0 to 1"),
    (["--out=nonesuch/prior.json"], "Cannot write --out=nonesuch/prior.json"),
    (["--data=nonesuch"], "No such folder"),
    (["--nonesuch"], "--nonesuch"),
  ],
)
def test_a_mistake_is_one_line(flags, named, photos, tmp_path, capsys):
  assert _run(photos, tmp_path / "prior.json", *flags) == 2
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith("color_prior: ") and named in last
  assert not list(tmp_path.iterdir())


def test_interrupted_leaves_nothing(photos, tmp_path, monkeypatch, capsys):
  def interrupt(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(color_prior, "measure", interrupt)
  assert _run(photos, tmp_path / "prior.json") == 130
  assert "Nothing was written" in capsys.readouterr().err and not list(tmp_path.iterdir())
