"""Lab and the HHA of a depth camera: disparity D, height H and angle A; --data.beside says where.

Depth lies beside each photograph in millimeters, 0 where there is none, such as PNG of 16 bits. It
becomes HHA in the pipeline, by whole frames (`_hha`), and travels in 8 bits: by the levels of the
HHA that Gupta et al. publish, from which the ranges below follow.
"""

from __future__ import annotations

import numpy as np

from sbae_tf.color import _hha, lab
from sbae_tf.color.color_space import ColorSpace

BESIDE = "depth in mm"  # What --data.beside has to find.

# D in 1/m, as far as 1.2 m near; H in m; A in degrees, of which 0 to 180 come.
CHANNELS = {
  "L": (0.0, 100.0),
  "a": (-86.19, 98.24),
  "b": (-107.87, 94.49),
  "D": (0.0032258, 0.8225806),
  "H": (0.01, 2.55),
  "A": (-37.0, 217.0),
}

_PIXELS = 1.0  # By which a frame's shape may differ from the camera's: rounding.


def build(
  *,
  fx: float = 518.86,
  fy: float = 519.47,
  cx: float = 325.58,
  cy: float = 253.74,
  frame_width: float = 640.0,
  frame_height: float = 480.0,
  gravity: str = "estimated",
) -> ColorSpace:
  """Lab; disparity in 1/m, height above the floor in m, angle of the surface with gravity.

  A file of one band is depth. One of three bands of 8 bits is HHA already, in that order and in the
  levels of `_hha.to_levels`, 0 where there is none: made once it saves the time.

  Args:
    fx: the depth camera's focal length along rows, in pixels of a frame of `frame_width` x
      `frame_height`. By default that of NYU Depth's color camera, as the paper has it.
    fy: along columns.
    cx: of its optical axis, from the frame's left edge.
    cy: from its upper edge.
    frame_width: 1 where the four are fractions of the frame's sides.
    frame_height: as well. Frames may be of any size of this shape.
    gravity: `estimated` from the frame, or `upright`: down its columns.

  Raises:
    ValueError: an option is out of range.

  Reference: Zhang, Isola, Efros 2017 (arXiv:1611.09842), Sec. 4.2; Gupta et al. 2014
    (arXiv:1407.5736).
  """
  camera = _hha.Camera(fx, fy, cx, cy, frame_width, frame_height)
  if gravity not in _hha.GRAVITIES:
    raise ValueError(
      f"Expected option `gravity` one of {', '.join(_hha.GRAVITIES)}. Received: {gravity}."
    )

  def levels(bands: np.ndarray) -> np.ndarray:
    height, width, count = bands.shape
    if count == 3 and bands.dtype == np.uint8:
      return bands
    if count != 1:
      raise ValueError(
        f"Expected one band, {BESIDE}, or HHA in three of uint8. "
        f"Received: {count} of {bands.dtype}."
      )
    # Intrinsics as fractions do not tell the frame's shape.
    shaped = (frame_width, frame_height) != (1.0, 1.0)
    if shaped and abs(width - height * frame_width / frame_height) > _PIXELS:
      raise ValueError(
        f"Expected depth of the shape of {frame_width:g} x {frame_height:g}, for which the "
        f"camera's intrinsics are. Received: {width} x {height}."
      )
    depth = bands[..., 0].astype(np.float32) / 1000.0
    return _hha.to_levels(_hha.hha(depth, camera, gravity=gravity))

  added = {name: CHANNELS[name] for name in CHANNELS if name not in lab.CHANNELS}
  return lab.build().with_bands("lab_hha", added, levels)
