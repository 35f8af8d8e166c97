"""Lab and any other registered bands, such as near infrared; --data.beside says where they lie."""

from __future__ import annotations

import math

import numpy as np

from sbae_tf.color import lab
from sbae_tf.color.color_space import ColorSpace

BESIDE = "the bands"  # What --data.beside has to find.

# Those of photographs: the option `bands` names the others.
CHANNELS = {"L": (0.0, 100.0), "a": (-86.19, 98.24), "b": (-107.87, 94.49)}


def build(*, bands: str = "N:0:255", missing: float | None = 0.0) -> ColorSpace:
  """Lab; each band between the ends of its range.

  Args:
    bands: `NAME:LOW:HIGH` of each, with commas between them, in the order of the files and of the
      bands in each: a channel's name, and the values between which it is told apart, in 254 steps.
      What lies outside counts as the end. By default near infrared of 8 bits; thermal infrared in
      16 bits may be `T:27000:32000`.
    missing: the value that says that there is none; NaN always does. None: no other does.

  Raises:
    ValueError: `bands` is of another form, or a name comes twice or is one of Lab's.
  """
  ranges = _parse(bands)
  low, high = np.array(list(ranges.values())).T

  def levels(values: np.ndarray) -> np.ndarray:
    if values.shape[2] != len(ranges):
      raise ValueError(
        f"Expected {len(ranges)} {'band' if len(ranges) == 1 else 'bands'} ({', '.join(ranges)}). "
        f"Received: {values.shape[2]}."
      )
    unknown = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    if missing is not None:
      unknown |= values == missing
    # In 64 bits: 32 do not hold every number of so many.
    parts = np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return np.where(unknown, 0, 1 + np.rint(254 * np.nan_to_num(parts))).astype(np.uint8)

  return lab.build().with_bands("lab_bands", ranges, levels)


def _parse(text: str) -> dict[str, tuple[float, float]]:
  """Each band's name and range."""
  ranges: dict[str, tuple[float, float]] = {}
  for part in text.split(","):
    name, *ends = (piece.strip() for piece in part.split(":"))
    try:
      low, high = map(float, ends)
    except ValueError:
      low = high = math.nan
    if not name or not -math.inf < low < high < math.inf:
      raise ValueError(
        f"Expected option `bands` NAME:LOW:HIGH of each, such as N:0:255. Received: {part.strip()}."
      )
    if name in CHANNELS or name in ranges:
      raise ValueError(
        f"Expected names in option `bands` that differ, and other ones than "
        f"{', '.join(CHANNELS)}. Received: {text}."
      )
    ranges[name] = low, high
  return ranges
