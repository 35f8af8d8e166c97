"""The bins in gamut against the published set, and the nearest of them by looking at all."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from skimage import color

from sbae_tf.color.color_space import Channel
from sbae_tf.quantize import gamut

AB = (Channel("a", -86.0, 98.0), Channel("b", -108.0, 94.0))

# For a = -90, -80, ..., 100 the least and the greatest b of `pts_in_hull.npy`; so are all tens
# between them. As OpenCV's samples/dnn/colorization.cpp has that file, and in its order.
_PUBLISHED = (
  *((50, 90), (20, 90), (0, 90), (-20, 90), (-30, 100), (-40, 100), (-50, 100), (-50, 100)),
  *((-60, 100), (-70, 100), (-80, 90), (-80, 90), (-90, 90), (-100, 90), (-100, 80), (-110, 80)),
  *((-110, 80), (-110, 70), (-110, 70), (-90, 0)),
)
_POINTS = [
  (a, b)
  for a, (low, high) in zip(range(-90, 101, 10), _PUBLISHED)
  for b in range(low, high + 1, 10)
]


def _encode(points: np.ndarray) -> np.ndarray:
  """Ids of (N, 2) values of a and b."""
  values = tf.constant(points[np.newaxis, np.newaxis], tf.float32)
  return gamut.build(AB).encode(values).numpy()[0, 0]


def _ab(rgb: np.ndarray) -> np.ndarray:
  """(N, 2) float64 of (N, 3) uint8."""
  return color.rgb2lab(rgb[:, np.newaxis])[:, 0, 1:]


def test_the_published_bins_in_their_order():
  assert len(_POINTS) == 313
  np.testing.assert_array_equal(gamut.gamut_centers(), _POINTS)
  assert gamut.build(AB).bins == 313
  np.testing.assert_array_equal(gamut.build(AB).centers(tf.zeros((1, 1, 1, 2)))[0], _POINTS)


def test_means_of_colors_go_to_the_nearest():
  """Also those between the most saturated ones, where no color may be."""
  rng = np.random.default_rng(0)
  corners = np.stack(np.meshgrid(*[(0, 255)] * 3), -1).reshape(-1, 3).astype(np.uint8)
  some = rng.integers(0, 256, (4000, 3)).astype(np.uint8)
  first, second = (
    np.concatenate([_ab(some), _ab(corners)[rng.integers(0, 8, 4000)]]) for _ in "ab"
  )
  part = rng.uniform(0, 1, (8000, 1))
  points = (part * first + (1 - part) * second).astype(np.float32)
  distances = np.linalg.norm(points[:, np.newaxis] - np.array(_POINTS), axis=-1)
  np.testing.assert_allclose(distances[range(8000), _encode(points)], distances.min(axis=1))


def test_known_colors():
  # Gray, and sRGB's red, green and blue by brucelindbloom.com's calculator.
  values = np.array([(0.0, 0.0), (80.09, 67.20), (-86.18, 83.18), (79.19, -107.86)])
  assert [_POINTS[i] for i in _encode(values)] == [(0, 0), (80, 70), (-90, 80), (80, -110)]


def test_half_way_goes_to_the_greater():
  values = np.array([(5, 0), (-5, 0), (0, 5), (0, -5), (4.99, -5.01), (15, 25)])
  expected = [(10, 0), (0, 0), (0, 10), (0, 0), (0, -10), (20, 30)]
  assert [_POINTS[i] for i in _encode(values)] == expected


def test_what_no_color_is_has_a_bin_too():
  values = np.array([(-90.0, 0.0), (100, 60), (1e6, 1e6), (-1e6, -1e6)])
  ids = _encode(values)
  # At a place of the grid the nearest; beyond the grid that of its nearest place.
  assert _POINTS[ids[0]] == (-70, 0) and _POINTS[ids[1]] == (90, 60)
  assert ((ids >= 0) & (ids < 313)).all()


@pytest.mark.parametrize("names", ["L", "ba", "aL", "UV"])
def test_refuses_other_channels(names):
  channels = [Channel(name, -100.0, 100.0) for name in names]
  with pytest.raises(ValueError, match=rf"a, b of Lab.*Received: {', '.join(names)}\.$"):
    gamut.build(channels)


@pytest.mark.slow
def test_all_colors_make_the_bins():
  """By all 2^24 colors: 268 cells, of whose corners 309 are bins; each is nearest to one."""
  levels = np.arange(256, dtype=np.uint8)
  cells, rounded = set(), set()
  for red in levels:
    rest = np.stack(np.meshgrid([red], levels, levels), -1).reshape(-1, 3)
    ab = _ab(rest) / 10
    cells |= set(map(tuple, np.unique(np.floor(ab).astype(int), axis=0).tolist()))
    rounded |= set(map(tuple, np.unique(np.floor(ab + 0.5).astype(int), axis=0).tolist()))
  corners = {(a + x, b + y) for a, b in cells for x in (0, 1) for y in (0, 1)}
  assert (len(cells), len(corners), len(rounded)) == (268, 309, 261)
  ours = {(a // 10, b // 10) for a, b in gamut.gamut_centers().astype(int).tolist()}
  assert ours - corners == {(4, 9), (10, -9), (10, -1), (10, 0)}
  assert not corners - ours and not rounded - ours
