"""How far features in another format are off those of the SavedModel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def largest_differences(
  found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> dict[str, float]:
  """The largest difference of each feature, as a part of its largest number.

  Args:
    found: feature's name to its numbers, by the other format.
    expected: the same by the SavedModel.

  Returns:
    Feature's name to a number of 0 or more, in the order of `expected`; NaN where one found is.

  Raises:
    ValueError: names or shapes are not the same.
  """
  if set(found) != set(expected):
    raise ValueError(f"Expected the features {sorted(expected)}. Received: {sorted(found)}.")
  differences = {}
  for name, numbers in expected.items():
    if found[name].shape != numbers.shape:
      raise ValueError(
        f"Expected `{name}` of the shape {numbers.shape}. Received: {found[name].shape}."
      )
    largest = float(np.abs(numbers).max())
    difference = float(np.abs(found[name].astype(np.float64) - numbers).max())
    differences[name] = difference / largest if largest else difference
  return differences
