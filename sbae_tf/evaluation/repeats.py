"""Measurements that are repeated: their seeds, and how they spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def seed_of(seed: int, index: int) -> int:
  """The seed of a repetition: none of a seed is one of the next seed's.

  Args:
    seed: of all of them, 0 or more.
    index: of the repetition, 0 or more.
  """
  return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def std(values: Sequence[float]) -> float:
  """The standard deviation of what values were drawn from; 0 of a single one."""
  return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def in_percent(values: Sequence[float]) -> str:
  """Mean and standard deviation of fractions, such as `67.9 ± 0.4`."""
  return f"{100 * np.mean(values):.1f} ± {100 * std(values):.1f}"
