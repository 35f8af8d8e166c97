"""Lab with bands: which values become which levels, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from sbae_tf import plugins
from sbae_tf.color import lab_bands, lab_hha


def test_values_between_the_ends_of_their_ranges():
  space = lab_bands.build(bands="nir:0:254, T:20000:20508")
  assert [channel.name for channel in space.channels] == ["L", "a", "b", "nir", "T"]
  values = np.array([[[0, 0], [1, 20000], [127, 20001], [254, 20254], [255, 65535], [9, 5]]])
  expected = [[[0, 0], [2, 1], [128, 1], [255, 128], [255, 255], [10, 1]]]
  assert space.levels(values.astype(np.uint16)).tolist() == expected
  assert space.levels(values.astype(np.float32)).tolist() == expected
  nothing_missing = lab_bands.build(bands="nir:0:254,T:20000:20508", missing=None)
  assert nothing_missing.levels(values)[0, 0].tolist() == [1, 1]
  for either in (space, nothing_missing):
    assert either.levels(np.array([[[np.nan, 20254.0]]])).tolist() == [[[0, 128]]]


def test_signed_numbers_and_another_value_that_is_missing():
  levels = lab_bands.build(bands="C:-40:214", missing=-9999).levels
  values = np.array([[[-9999], [-40], [0], [214]]], np.int16)
  assert levels(values).ravel().tolist() == [0, 1, 41, 255]


@pytest.mark.parametrize(
  "bands", ["", "N", "N:0", "N:5:5", "N:9:1", "N:0:inf", "N:nan:1", ":0:1", "N:0:1,", "N:0:1:2"]
)
def test_bands_of_another_form_are_refused(bands):
  with pytest.raises(ValueError, match="Expected option `bands` NAME:LOW:HIGH of each"):
    lab_bands.build(bands=bands)


@pytest.mark.parametrize("bands", ["N:0:1,N:0:2", "L:0:1"])
def test_names_come_once(bands):
  with pytest.raises(ValueError, match="names in option `bands` that differ"):
    lab_bands.build(bands=bands)


def test_other_bands_than_it_says_are_refused():
  with pytest.raises(ValueError, match=r"Expected 1 band \(N\). Received: 4."):
    lab_bands.build().levels(np.zeros((2, 2, 4)))
  with pytest.raises(ValueError, match=r"Expected one band, depth in mm, or HHA .*: 2 of uint16."):
    lab_hha.build().levels(np.zeros((2, 2, 2), np.uint16))


def test_depth_in_mm_becomes_hha_and_hha_stays():
  """A wall 2 m ahead, seen by an upright camera: disparity 31000 / 200 cm, and 90 degrees."""
  depth = np.full((48, 64, 1), 2000, np.uint16)
  depth[5:9, 7:9] = 0
  levels = lab_hha.build(gravity="upright").levels(depth)
  assert levels.shape == (48, 64, 3) and levels.dtype == np.uint8
  assert not levels[5:9, 7:9].any()
  known = levels[depth[..., 0] > 0]
  assert (known[:, 0] == 155).all() and (known[:, 2] == 38 + 90).all()
  # The floor is at the lowest half percent: heights are along columns, 2 m / fy a row of 10.
  rows = levels[:, 30, 1].astype(int)
  assert (np.diff(rows) <= 0).all() and rows[10] - rows[20] == pytest.approx(
    100 * 200 / 519.47, abs=1
  )
  assert lab_hha.build().levels(levels) is levels


def test_intrinsics_in_pixels_of_any_size_or_as_fractions():
  depth = np.random.default_rng(0).integers(1500, 1600, (48, 64, 1)).astype(np.uint16)
  pixels = lab_hha.build(fx=50, fy=50, cx=32, cy=24, frame_width=64, frame_height=48)
  twice = lab_hha.build(fx=100, fy=100, cx=64, cy=48, frame_width=128, frame_height=96)
  parts = lab_hha.build(fx=50 / 64, fy=50 / 48, cx=0.5, cy=0.5, frame_width=1.0, frame_height=1.0)
  for other in (twice, parts):
    np.testing.assert_allclose(
      other.levels(depth).astype(int), pixels.levels(depth).astype(int), atol=1
    )
  with pytest.raises(ValueError, match="shape of 64 x 48, .* Received: 60 x 48"):
    pixels.levels(depth[:, :60])
  assert parts.levels(depth[:, :60]).shape == (48, 60, 3)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"gravity": "down"}, "Expected option `gravity` one of estimated, upright. Received: down."),
    ({"fx": 0.0}, "Expected the camera's `fx` above 0. Received: 0.0"),
  ],
)
def test_options_out_of_range_are_refused(options, message):
  with pytest.raises(ValueError, match=f"^color 'lab_hha': {message}"):
    plugins.find("color", "lab_hha").build(**options)
