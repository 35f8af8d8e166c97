"""HHA of a room whose heights and angles are known."""

from __future__ import annotations

import numpy as np
import pytest

from sbae_tf.color import _hha

# Half the size of its frames, and off the middle.
CAMERA = _hha.Camera(fx=130.0, fy=132.0, cx=82.0, cy=58.0, width=160, height=120)
ABOVE_FLOOR, TO_WALL = 1.6, 3.5  # Meters.


def _room(pitch: float, roll: float, *, size: tuple[int, int] = (240, 320)):
  """A floor and a wall, as a camera sees them that is turned down by `pitch` and about its axis.

  Returns:
    Depth (H, W) in meters, the direction of gravity (3,), heights (H, W), and whether it is floor.
  """
  pitch, roll = np.radians((pitch, roll))
  down = np.array([0.0, np.cos(pitch), np.sin(pitch)])
  ahead = np.array([0.0, -np.sin(pitch), np.cos(pitch)])
  turn = np.array(
    [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0.0, 0.0, 1.0]]
  )
  down, ahead = turn @ down, turn @ ahead
  height, width = size
  x = ((np.arange(width) + 0.5) * CAMERA.width / width - CAMERA.cx) / CAMERA.fx
  y = ((np.arange(height) + 0.5) * CAMERA.height / height - CAMERA.cy) / CAMERA.fy
  rays = np.stack([*np.meshgrid(x, y), np.ones(size)], -1)
  to_floor = np.where(rays @ down > 1e-6, ABOVE_FLOOR / np.maximum(rays @ down, 1e-6), np.inf)
  to_wall = TO_WALL / (rays @ ahead)
  depth = np.minimum(to_floor, to_wall)
  return depth, down, ABOVE_FLOOR - depth * (rays @ down), to_floor < to_wall


def _inside(mask: np.ndarray) -> np.ndarray:
  """Where a window of 15 pixels is all of one kind."""
  windows = np.lib.stride_tricks.sliding_window_view(np.pad(mask, 7, mode="edge"), (15, 15))
  return windows.all((2, 3))


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (25, 0), (12, 8), (5, -5)])
def test_a_floor_and_a_wall(pitch, roll):
  depth, _, heights, floor = _room(pitch, roll)
  found = _hha.hha(depth, CAMERA)
  np.testing.assert_allclose(found[..., 0], np.minimum(1 / depth, 1.0), rtol=1e-6)
  np.testing.assert_allclose(found[..., 1], heights, atol=0.02)
  # The normal that points away from the camera: down of a floor, ahead of a wall.
  np.testing.assert_allclose(found[..., 2][_inside(floor)], 0.0, atol=0.6)
  np.testing.assert_allclose(found[..., 2][_inside(~floor)], 90.0, atol=0.6)


def test_an_upright_camera_is_taken_at_its_word():
  depth, down, _, floor = _room(20, 0)
  angles = _hha.hha(depth, CAMERA, gravity="upright")[..., 2]
  np.testing.assert_allclose(angles[_inside(floor)], 20.0, atol=0.1)
  np.testing.assert_allclose(angles[_inside(~floor)], 90.0 + 20.0, atol=0.1)
  with pytest.raises(ValueError, match="one of estimated, upright. Received: up"):
    _hha.hha(depth, CAMERA, gravity="up")


def test_gravity_in_noise_minimizes_what_the_paper_says():
  """Floors' squared sines and walls' squared cosines: by a search over directions."""
  rng = np.random.default_rng(0)
  depth, down, _, _ = _room(15, -6)
  depth = depth * rng.normal(1, 0.003, depth.shape)
  normals = _hha._normals(depth > 0, (1 / depth).astype(np.float32), CAMERA, 4, 2)
  found = _hha._gravity(normals, np.array([0.0, 1.0, 0.0]))
  assert np.degrees(np.arccos(found @ down)) < 1.0
  flat = normals.reshape(-1, 3)
  cosines = np.abs(flat @ found)
  floors, walls = flat[cosines > np.cos(np.pi / 12)], flat[cosines < np.sin(np.pi / 12)]

  def cost(direction):
    return np.sum(1 - (floors @ direction) ** 2) + np.sum((walls @ direction) ** 2)

  others = found + rng.normal(0, 0.02, (200, 3))
  others /= np.linalg.norm(others, axis=1, keepdims=True)
  assert all(cost(found) < cost(other) for other in others)


def test_normals_are_those_of_planes_fitted_one_by_one():
  """Least squares of a X/Z + b Y/Z + c = 1/Z in NumPy, on bins of 2 x 2 that lie on a plane."""
  rng = np.random.default_rng(1)
  inverse = rng.uniform(0.3, 0.5, (20, 24))
  there = rng.random((20, 24)) > 0.4
  found = _hha._normals(there, np.where(there, inverse, 0).astype(np.float32), CAMERA, 1, 2)
  x, y = CAMERA.rays(20, 24)
  for row, column in ((0, 0), (7, 9), (19, 23), (3, 20)):
    rows, columns = np.nonzero(there)
    near = (abs(rows - row) <= 2) & (abs(columns - column) <= 2)
    rows, columns = rows[near], columns[near]
    points = np.stack([x[columns], y[rows], np.ones(len(rows))], 1)
    normal = np.linalg.lstsq(points, inverse[rows, columns], rcond=None)[0]
    np.testing.assert_allclose(found[row, column], normal / np.linalg.norm(normal), atol=1e-4)


def test_a_wall_alone_tells_the_pitch_and_not_the_roll():
  depth, down, _, floor = _room(-12, 0)
  assert not floor.any()
  np.testing.assert_allclose(_hha.hha(depth, CAMERA)[..., 2], 90.0, atol=0.1)


def test_what_is_missing_stays_so_and_disturbs_nothing():
  depth, *_ = _room(12, 3)
  whole = _hha.hha(depth, CAMERA)
  holes = np.random.default_rng(0).random(depth.shape) < 0.3
  broken = np.where(holes, np.nan, depth)
  broken[:40, :50] = 0.0
  missing = holes.copy()
  missing[:40, :50] = True
  found = _hha.hha(broken, CAMERA)
  assert np.isnan(found[missing]).all()
  np.testing.assert_allclose(found[..., :2][~missing], whole[..., :2][~missing], atol=0.02)
  difference = np.abs(found[..., 2] - whole[..., 2])[~missing]
  assert np.isnan(difference).mean() < 0.001
  assert np.nanquantile(difference, 0.95) < 0.3  # All but where the wall meets the floor.
  for nothing in (np.zeros((9, 7)), np.full((8, 8), np.nan), np.eye(8)):
    found = _hha.hha(nothing, CAMERA)
    assert np.isnan(found[~(nothing > 0)]).all() and np.isfinite(found[nothing > 0, :2]).all()


def test_any_size_of_the_frame():
  depth, *_ = _room(10, 2, size=(241, 321))  # Not whole bins, either.
  small, *_ = _room(10, 2, size=(120, 160))
  found, expected = _hha.hha(depth, CAMERA), _hha.hha(small, CAMERA)
  difference = np.abs(found[1::2, 1::2] - expected)
  assert (np.median(difference, axis=(0, 1)) < [0.003, 0.02, 0.3]).all()


def test_without_a_floor_in_sight_the_camera_is_at_a_persons_height():
  found = _hha.hha(np.full((120, 160), 1.0), CAMERA)  # All less than 0.9 m below it.
  middle = found[58, 82, 1]
  assert middle == pytest.approx(1.3, abs=0.01)


def test_levels_are_those_of_published_hha():
  """saveHHA.m of Gupta et al.: 31000 / cm, cm, degrees + 128 - 90."""
  values = np.array([[[0.5, 1.0, 90.0], [1.0, 4.0, 0.0], [0.001, -0.2, 180.0]]], np.float32)
  assert _hha.to_levels(values).tolist() == [[[155, 100, 128], [255, 255, 38], [1, 1, 218]]]
  values[0, 0] = np.nan
  assert _hha.to_levels(values)[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["fx", "fy", "width", "height"])
def test_a_camera_has_lengths(name):
  values = {"fx": 1.0, "fy": 1.0, "cx": 0.5, "cy": 0.5, "width": 1.0, "height": 1.0}
  assert _hha.Camera(**values).rays(2, 4)[0].tolist() == [-0.375, -0.125, 0.125, 0.375]
  with pytest.raises(ValueError, match=f"camera's `{name}` above 0. Received: 0"):
    _hha.Camera(**{**values, name: 0})
