"""What was measured, and what follows from it: medians, spread, ratios."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Measurement:
  """One contestant on one collection.

  Attributes:
    key: the contestant's name in ratios.
    title: its name in tables and plots.
    what: what it does.
    rates: images a second and core, one a round; every contestant in the same rounds.
    busy: the part of the cores' time that was used for them, in [0, 1], one a round. Below 1 the
      contestant waits, or something else runs on the machine.
    about: what its process said of itself: `detail`, `versions` and more.
  """

  key: str
  title: str
  what: str
  rates: tuple[float, ...]
  busy: tuple[float, ...]
  about: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def median(self) -> float:
    """Images a second and core, over the rounds."""
    return statistics.median(self.rates)

  @property
  def per_processor_second(self) -> float:
    """Images in a second of processor time, over the rounds: other work disturbs it less."""
    return statistics.median(rate / busy for rate, busy in zip(self.rates, self.busy))


@dataclasses.dataclass(frozen=True)
class Collection:
  """All contestants on one collection of images.

  Attributes:
    name: `"photos"` or `"small"`.
    folder: where the images lie.
    images: the number of files.
    measurements: one a contestant.
  """

  name: str
  folder: str
  images: int
  measurements: tuple[Measurement, ...]


@dataclasses.dataclass(frozen=True)
class Ratio:
  """How a contestant compares with the best of some others.

  Attributes:
    title: its name in tables.
    key: the contestant.
    others: keys of those it is compared with.
    goals: the least that is wanted of it, by the collection's name; no goal for the others.
  """

  title: str
  key: str
  others: tuple[str, ...]
  goals: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Comparison:
  """A ratio's value on a collection.

  Attributes:
    median: over the rounds, of the ratio within each round.
    low: the lowest of a round.
    high: the highest of a round.
    other: the title of the best of the others, that of the highest median.
  """

  median: float
  low: float
  high: float
  other: str


RATIOS = (
  Ratio(
    "sbae_tf from files / best DataLoader",
    "sbae_tf_files",
    ("torch_pillow", "torch_opencv"),
    {"photos": 2.0},
  ),
  Ratio(
    "sbae_tf from files / bare (c), the faster one",
    "sbae_tf_files",
    ("bare_sliced", "bare_cropped"),
    {"photos": 0.85},
  ),
  Ratio(
    "sbae_tf from TFRecord / from files",
    "sbae_tf_records",
    ("sbae_tf_files",),
    {"photos": 1.0, "small": 1.0},
  ),
)


def disturbance(collections: Sequence[Collection]) -> float:
  """The part of the cores' time that other work took while bare loops were measured, in [0, 1].

  A bare loop never waits, and has a core of its own: what it does not get, something else did. Then
  rates are low, and ratios wrong as well: who has more threads gets more of what is left.

  Args:
    collections: what was measured; 0 without a bare loop.
  """
  busy = [
    part
    for collection in collections
    for measurement in collection.measurements
    if measurement.key.startswith("bare_")
    for part in measurement.busy
  ]
  return max(0.0, 1.0 - statistics.mean(busy)) if busy else 0.0


def compare(ratio: Ratio, measurements: Sequence[Measurement]) -> Comparison | None:
  """Divides a contestant's rates by those of the best of the others, round by round.

  What else happens on a machine changes over minutes and meets a whole round: within a round a
  ratio is steadier than the rates are.

  Args:
    ratio: of what to what.
    measurements: of one collection.

  Returns:
    None where the contestant or all of the others were not measured.
  """
  by_key = {measurement.key: measurement for measurement in measurements}
  others = [by_key[key] for key in ratio.others if key in by_key]
  if ratio.key not in by_key or not others:
    return None
  best = max(others, key=lambda measurement: measurement.median)
  values = [ours / other for ours, other in zip(by_key[ratio.key].rates, best.rates)]
  return Comparison(statistics.median(values), min(values), max(values), best.title)
