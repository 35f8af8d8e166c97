"""Depth to HHA on the host, in NumPy: horizontal disparity, height above the floor, angle.

It needs whole frames, for gravity and the floor are found in all of one: it comes before crops, in
the pipeline, and so not on the device.

Reference: Gupta, Girshick, Arbelaez, Malik 2014, arXiv:1407.5736, Sec. 2; gravity by Gupta,
  Arbelaez, Malik, CVPR 2013, Sec. 3.1. Thresholds, windows and levels are those of the published
  code (`processDepthImage`, `getYDir`, `saveHHA`).
Differs from the paper: holes in depth are not filled, they stay missing. Normals are those of bins
  of 2 x 2 pixels, for gravity of every second one of 4 x 4, in windows 6 and 20 pixels wide where
  there 7 and 21 are.
  The floor is at the lowest half percent of the points and not at the lowest one, which in real
  depth is noise. Gravity does not jump by more than the threshold of normals, and has a weak
  preference for an upright camera: one wall alone does not determine it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

GRAVITIES = ("estimated", "upright")

_FINE, _COARSE = (2, 1), (4, 2)  # Pixels of a bin, radius of windows in bins: angles, and gravity.
_GRAVITY_STEP = 2  # Bins.
_THRESHOLDS = (45.0, 15.0)  # Degrees up to which a normal is a floor's or a wall's.
_ITERATIONS = 5  # With each.
# As many floors, as a part of all normals, speak for `start`: a wall alone fits any roll.
_UPRIGHT = 1e-3
_LOWEST = 0.5  # Percent of the points that may lie below the floor.
# A floor that is less than the first below the camera is none; the camera is then the second above.
_LEAST_CAMERA_HEIGHT, _CAMERA_HEIGHT = 0.9, 1.3  # Meters.
# What is nearer than a meter counts as one, as there; in levels that is more than 255, in any case.
_MOST_DISPARITY = 1.0
# Points whose spread across a line is this part of that along it, or less, make no plane.
_LEAST_SPREAD = 1e-4

# Of the published pictures: level = scale * value + offset.
_SCALES = (310.0, 100.0, 1.0)
_OFFSETS = (0.0, 0.0, 38.0)


@dataclasses.dataclass(frozen=True)
class Camera:
  """A pinhole camera's intrinsics, in pixels of a frame of `width` x `height`.

  Attributes:
    fx: focal length along rows.
    fy: along columns.
    cx: of the optical axis, from the frame's left edge.
    cy: of it, from the upper edge.
    width: of the frame that these are for.
    height: of it.

  Raises:
    ValueError: a length is not above 0.
  """

  fx: float
  fy: float
  cx: float
  cy: float
  width: float
  height: float

  def __post_init__(self) -> None:
    for name in ("fx", "fy", "width", "height"):
      if not 0 < getattr(self, name) < np.inf:
        raise ValueError(f"Expected the camera's `{name}` above 0. Received: {getattr(self, name)}")

  def rays(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Where pixels look: X / Z of columns and Y / Z of rows.

    Args:
      height: of the frame in pixels: any, its pixels are as much larger or smaller.
      width: of it.

    Returns:
      (width,) and (height,) float64. X points right, Y down, Z along the optical axis.
    """
    columns = (np.arange(width) + 0.5) * self.width / width
    rows = (np.arange(height) + 0.5) * self.height / height
    return (columns - self.cx) / self.fx, (rows - self.cy) / self.fy


def hha(depth: np.ndarray, camera: Camera, *, gravity: str = "estimated") -> np.ndarray:
  """The HHA of a frame.

  Args:
    depth: (H, W) in meters, along the optical axis; what is not above 0, or not finite, is missing.
    camera: of it.
    gravity: `estimated`: the direction that most normals are parallel to, or at a right angle;
      `upright`: down the columns.

  Returns:
    (H, W, 3) float32, NaN where it is not known: 1 / depth in 1/m, to which a stereo pair's
    disparity is proportional; the height above the floor in m; the angle of gravity with the normal
    that points away from the camera, in degrees: 0 of a floor, 90 of a wall, 180 of a ceiling.

  Raises:
    ValueError: `gravity` is unknown.
  """
  if gravity not in GRAVITIES:
    raise ValueError(f"Expected `gravity` one of {', '.join(GRAVITIES)}. Received: {gravity}")
  there = np.isfinite(depth) & (depth > 0)
  depth = np.where(there, depth, 1.0).astype(np.float32)
  inverse = there / depth
  down = np.array([0.0, 1.0, 0.0])
  if gravity == "estimated":
    normals = _normals(there, inverse, camera, *_COARSE)
    down = _gravity(normals[::_GRAVITY_STEP, ::_GRAVITY_STEP], down)
  bin, radius = _FINE
  cosines = _normals(there, inverse, camera, bin, radius) @ down
  angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).astype(np.float32)
  height, width = depth.shape
  planes = (
    np.minimum(inverse, _MOST_DISPARITY),
    _heights(depth, there, camera, down),
    angles.repeat(bin, 0).repeat(bin, 1)[:height, :width],
  )
  result = np.empty((len(planes), height, width), np.float32)
  for plane, values in zip(result, planes):
    plane[:] = np.where(there, values, np.nan)
  return np.moveaxis(result, 0, -1)  # A view: planes one after the other are faster to work on.


def to_levels(values: np.ndarray) -> np.ndarray:
  """HHA as a picture of 8 bits, in the levels of the published ones.

  Args:
    values: (H, W, 3) float32, as `hha` gives it.

  Returns:
    (H, W, 3) uint8: 310 per 1/m, 100 per m, the angle in degrees plus 38, clipped at 1 and 255;
    0 where it is not known.
  """
  levels = np.empty(values.shape, np.uint8)
  # Plane by plane: NumPy is slow where the last axis is 3 long.
  for i, (scale, offset) in enumerate(zip(_SCALES, _OFFSETS)):
    plane = np.clip(np.rint(values[..., i] * scale + offset), 1.0, 255.0)
    levels[..., i] = np.nan_to_num(plane, copy=False, nan=0.0)
  return levels


def _heights(depth: np.ndarray, there: np.ndarray, camera: Camera, down: np.ndarray) -> np.ndarray:
  """(H, W) in meters, of the points that are there; numbers without meaning of others."""
  x, y = camera.rays(*depth.shape)
  # How far down a point is, as a part of its depth.
  along = down[0] * x + (down[1] * y + down[2])[:, np.newaxis]
  heights = -along.astype(np.float32) * depth
  if not there.any():
    return heights
  floor = np.percentile(heights[there], _LOWEST)
  return heights - (floor if floor <= -_LEAST_CAMERA_HEIGHT else -_CAMERA_HEIGHT)


def _gravity(normals: np.ndarray, start: np.ndarray) -> np.ndarray:
  """The direction that floors' normals are closest to, and walls' closest to a right angle with.

  Args:
    normals: (h, w, 3), NaN where there is none.
    start: (3,), of length 1.

  Returns:
    (3,) float64, of length 1.
  """
  normals = normals[np.isfinite(normals[..., 0])]
  down = start
  for threshold in np.repeat(np.radians(_THRESHOLDS), _ITERATIONS):
    cosines = np.abs(normals @ down)
    floors, walls = normals[cosines > np.cos(threshold)], normals[cosines < np.sin(threshold)]
    if not len(floors) + len(walls):
      break
    scatter = walls.T @ walls - floors.T @ floors - _UPRIGHT * len(normals) * np.outer(start, start)
    found = np.linalg.eigh(scatter)[1].T  # Ordered by their eigenvalues.
    near = np.flatnonzero(np.abs(found @ down) > np.cos(threshold))
    if not len(near):
      break
    down = found[near[0]] * np.sign(found[near[0]] @ down)
  return down


def _normals(
  there: np.ndarray, inverse: np.ndarray, camera: Camera, bin: int, radius: int
) -> np.ndarray:
  """Normals of the planes that lie best through the points of windows around bins.

  A plane that misses the camera is a X/Z + b Y/Z + c = 1/Z with the normal (a, b, c): linear in
  what is known, and least squares over a window need sums alone. The pixels of a bin count as so
  many in their middle, where a plane has the mean of their 1/Z.

  Args:
    there: (H, W) bool.
    inverse: (H, W) 1/Z, 0 where it is missing.
    camera: of the frame.
    bin: pixels of a bin, along each side.
    radius: R, in bins; windows are of 2 R + 1, and end at the frame's edges.

  Returns:
    (h, w, 3) float64 of length 1, away from the camera, one a bin; NaN where there is no plane.
  """
  x, y = camera.rays(*there.shape)
  n, z = _binned(there, bin), _binned(inverse, bin)
  nx, ny = _binned(there * x, bin), _binned(there * y[:, np.newaxis], bin)
  x, y = nx / np.maximum(n, 1.0), ny / np.maximum(n, 1.0)
  terms = (n, nx, ny, nx * x, nx * y, ny * y, z, z * x, z * y)
  n, sx, sy, xx, xy, yy, sz, xz, yz = (_window_sums(term, radius) for term in terms)
  n = np.maximum(n, 1.0)
  # Centered: a window is small beside its distance from the axis.
  xx, xy, yy = xx - sx * sx / n, xy - sx * sy / n, yy - sy * sy / n
  xz, yz = xz - sx * sz / n, yz - sy * sz / n
  determinant = xx * yy - xy * xy
  line = determinant <= _LEAST_SPREAD * np.square(xx + yy)
  determinant[line] = 1.0
  a, b = (yy * xz - xy * yz) / determinant, (xx * yz - xy * xz) / determinant
  normals = np.stack([a, b, (sz - a * sx - b * sy) / n], axis=-1)
  normals[line] = np.nan
  return normals / np.sqrt(np.einsum("hwc,hwc->hw", normals, normals))[..., np.newaxis]


def _binned(values: np.ndarray, bin: int) -> np.ndarray:
  """(H, W) to the sums of bins, (ceil(H / bin), ceil(W / bin)) float64."""
  if any(side % bin for side in values.shape):
    values = np.pad(values, [(0, -side % bin) for side in values.shape])
  # Not by reshaping: a sum over an axis that is 2 long takes eight times as long.
  rows = values[::bin].astype(np.float64)
  for i in range(1, bin):
    rows += values[i::bin]
  bins = rows[:, ::bin].copy()
  for i in range(1, bin):
    bins += rows[:, i::bin]
  return bins


def _window_sums(values: np.ndarray, radius: int) -> np.ndarray:
  """(h, w) float64 to the sums of windows around each."""
  size = 2 * radius + 1
  sums = np.cumsum(np.pad(values, (radius + 1, radius)), axis=0)
  sums = np.cumsum(sums[size:] - sums[:-size], axis=1)
  return sums[:, size:] - sums[:, :-size]
