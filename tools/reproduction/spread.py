"""Numbers over seeds: which records belong together, their means and standard deviations."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tools.reproduction.records import Record

Value = Callable[[Record], float]


@dataclasses.dataclass(frozen=True)
class Spread:
  """A number over seeds.

  Attributes:
    mean: over the seeds.
    deviation: the standard deviation over them (of a sample: n - 1); None of a single one.
    count: of the seeds.
  """

  mean: float
  deviation: float | None
  count: int

  @classmethod
  def of(cls, values: Iterable[float]) -> Spread | None:
    """Of a number for each seed; None where there are none."""
    found = list(values)
    if not found:
      return None
    deviation = statistics.stdev(found) if len(found) > 1 else None
    return cls(statistics.fmean(found), deviation, len(found))

  def text(self, factor: float = 1.0, digits: int = 1, *, sign: bool = False) -> str:
    """Such as `67.9 ± 0.4 (3)`: mean, standard deviation, number of seeds.

    Args:
      factor: for mean and deviation; 100 for percent.
      digits: after the point.
      sign: `+` before what is not negative.
    """
    rounded = round(factor * self.mean, digits) + 0.0  # Not -0.0.
    mean = f"{rounded:{'+' if sign else ''}.{digits}f}"
    spread = "" if self.deviation is None else f" ± {factor * self.deviation:.{digits}f}"
    return f"{mean}{spread} ({self.count})"


@dataclasses.dataclass(frozen=True)
class Group:
  """Records of a method that belong together: one recipe, one form of each protocol, one a seed.

  Attributes:
    by_protocol: a protocol's name to a seed's record of it, by the seeds.
    left_out: how many records of the method are of earlier recipes or other forms, or were measured
      again.
  """

  by_protocol: Mapping[str, Mapping[int, Record]]
  left_out: int

  @property
  def records(self) -> list[Record]:
    """All of them."""
    return [record for seeds in self.by_protocol.values() for record in seeds.values()]

  def form(self, protocol: str) -> str | None:
    """A protocol with its options, by its name; None where none of its records is there."""
    return next((r.protocol for r in self.by_protocol.get(protocol, {}).values()), None)

  def values(self, protocol: str, value: Value) -> dict[int, float]:
    """A number for each seed that has it.

    Args:
      protocol: its name.
      value: reads the number from a record; KeyError or TypeError where it has none.
    """
    found = {}
    for seed, record in sorted(self.by_protocol.get(protocol, {}).items()):
      try:
        found[seed] = float(value(record))
      except (KeyError, TypeError):
        continue
    return found

  def spread(self, protocol: str, value: Value) -> Spread | None:
    """A number over the seeds; see `values`."""
    return Spread.of(self.values(protocol, value).values())

  def by_seed(self, value: Value, *protocols: str) -> Spread | None:
    """A number of the pretraining over the seeds.

    A seed that was pretrained again, for another protocol on another day or machine, has several
    such numbers: so only those count that what is shown was measured after.

    Args:
      value: reads the number.
      *protocols: of what is shown, by name; of a seed that several have, the last one's number.
    """
    found = {
      seed: value(record)
      for protocol in protocols
      for seed, record in self.by_protocol.get(protocol, {}).items()
    }
    return Spread.of(found.values())


EMPTY = Group({}, 0)


def group(
  records: Sequence[Record],
  dataset: str,
  method: str,
  *,
  hardware: str | None = None,
  form: str | None = None,
) -> Group:
  """The records of a method that belong together: those of the newest one's recipe.

  Args:
    records: of all methods, from the oldest to the newest.
    dataset: of which data set.
    method: its name.
    hardware: on which machine; None for any.
    form: a protocol with its options, of which alone records are wanted; None for the form of each
      protocol that most methods were measured by, the newest of several.
  """
  mine = [
    record
    for record in records
    if (record.dataset, record.method) == (dataset, method) and hardware in (None, record.hardware)
  ]
  if not mine:
    return EMPTY
  same = [record for record in mine if record.recipe == mine[-1].recipe]
  methods = _methods_by_form(records, dataset, timed=mine[-1].minutes is not None)
  found: dict[str, dict[int, Record]] = {}
  for name in dict.fromkeys(record.protocol_name for record in same):
    forms = dict.fromkeys(r.protocol for r in reversed(same) if r.protocol_name == name)
    usual = max(forms, key=lambda text: len(methods[text]))  # The first of several.
    if form is None or form in forms:
      found[name] = {r.seed: r for r in same if r.protocol == (form or usual)}
  return Group(found, len(mine) - sum(map(len, found.values())))


def _methods_by_form(
  records: Sequence[Record], dataset: str, *, timed: bool
) -> Mapping[str, set[str]]:
  """A protocol with its options to the methods that were measured by it."""
  found: dict[str, set[str]] = {}
  for record in records:
    if record.dataset == dataset and (record.minutes is not None) == timed:
      found.setdefault(record.protocol, set()).add(record.method)
  return found


def difference(
  ours: Group, theirs: Group, protocol: str, value: Value, their_value: Value | None = None
) -> Spread | None:
  """How much more one has than the other, seed by seed.

  None where they have no seed in common, or were measured by other options.

  Args:
    ours: from whose number the other's is taken.
    theirs: of the other.
    protocol: its name.
    value: reads the number.
    their_value: reads the other's; None for `value`.
  """
  if ours.form(protocol) != theirs.form(protocol):
    return None
  a, b = ours.values(protocol, value), theirs.values(protocol, their_value or value)
  return Spread.of(a[seed] - b[seed] for seed in a if seed in b)


def top1(record: Record) -> float:
  """Accuracy in [0, 1]; of a linear probe that of the layer chosen by validation."""
  return record.values["top1"]


def top5(record: Record) -> float:
  """The same of the five likeliest classes."""
  return record.values["top5"]


def layer_top1(layer: str) -> Value:
  """Reads a linear probe's accuracy on a layer."""
  return lambda record: record.values["layers"][layer]["top1"]


def top1_where(ours: Group) -> Value:
  """Reads a linear probe's accuracy on the layer that validation chose for ours, seed by seed."""
  records = ours.by_protocol.get("linear_probe", {})
  chosen = {seed: record.values["best_layer"] for seed, record in records.items()}
  return lambda record: layer_top1(chosen[record.seed])(record)


def few_shot(way: str, labels: int) -> Value:
  """Reads the accuracy with so many labels a class, the mean over draws.

  Args:
    way: `frozen` or `finetuned`.
    labels: a class.
  """
  return lambda record: record.values[way][str(labels)]["mean"]


def label_counts(records: Iterable[Record]) -> list[int]:
  """The numbers of labels a class that records have."""
  ways: list[Mapping[str, Any]] = [
    record.values.get(way) or {} for record in records for way in ("frozen", "finetuned")
  ]
  return sorted({int(labels) for way in ways for labels in way})
