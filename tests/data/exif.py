"""EXIF orientations, for the tests of everything that turns pictures upright."""

from __future__ import annotations

# How a camera stores an upright picture, by its EXIF orientation: where the stored first row and
# first column lie in what is seen (EXIF 2.32, table of tag 274).
STORED = {
  1: lambda upright: upright,  # Top, left.
  2: lambda upright: upright[:, ::-1],  # Top, right.
  3: lambda upright: upright[::-1, ::-1],  # Bottom, right.
  4: lambda upright: upright[::-1],  # Bottom, left.
  5: lambda upright: upright.swapaxes(0, 1),  # Left, top.
  6: lambda upright: upright.swapaxes(0, 1)[::-1],  # Right, top.
  7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],  # Right, bottom.
  8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],  # Left, bottom.
}
