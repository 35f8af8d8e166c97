"""What follows from the step's measurements: the peak, fractions of it, ratios and goals."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

from tools.benchmarks.results import Comparison, Measurement, Ratio, compare

_PEAKS = ("gemm_tensorflow", "gemm_torch")


@dataclasses.dataclass(frozen=True)
class Group:
  """Contestants that took turns.

  Attributes:
    name: such as `simplenet_float32`.
    title: its name in tables and plots.
    measurements: one a contestant. In those of matrix products a rate counts floating-point
      operations in place of images.
  """

  name: str
  title: str
  measurements: tuple[Measurement, ...]


RATIOS = (
  Ratio(
    "sbae_tf / best PyTorch",
    "sbae",
    ("torch_eager", "torch_compiled"),
    {
      "simplenet_float32": 1.25,
      "simplenet_bfloat16": 1.1,
      "resnet18_float32": 1.05,
      "resnet18_bfloat16": 1.0,
    },
  ),
  Ratio(
    "from files / resident batch",
    "sbae_files",
    ("sbae",),
    {
      f"{model}_{precision}": 0.95
      for model in ("simplenet", "resnet18")
      for precision in ("float32", "bfloat16")
    },
  ),
  Ratio("XLA / default", "sbae_xla", ("sbae",), {}),
  Ratio("loops / single steps", "sbae_loop", ("sbae",), {}),
  Ratio("oneDNN / Eigen", "sbae", ("sbae_eigen",), {}),
)


def is_peak(key: str) -> bool:
  """Whether a contestant makes matrix products, and so counts operations in place of images."""
  return key in _PEAKS


def rate_text(key: str, rate: float) -> str:
  """A rate as tables have it: `318`, `43.5`, `205 GFLOP/s`.

  Args:
    key: the contestant's.
    rate: images a second, or operations where it makes matrix products.
  """
  if is_peak(key):
    return f"{_number(rate / 1e9)} GFLOP/s"
  return _number(rate)


def fraction_of_peak(measurement: Measurement, group: Group) -> float | None:
  """The part of the faster library's matrix products that a step's convolutions reach.

  Args:
    measurement: of a step.
    group: its own, in whose rounds the products were made.

  Returns:
    The median over rounds; None where no products were made.
  """
  ratio = Ratio("", measurement.key, _PEAKS, {})
  comparison = compare(ratio, group.measurements)
  if comparison is None or "flop_per_image" not in measurement.about:
    return None
  return comparison.median * int(measurement.about["flop_per_image"])


def disturbance(groups: Sequence[Group]) -> float | None:
  """The part of the cores' time that other work took while matrices were multiplied, in [0, 1].

  Products never wait: what they do not get, something else did.

  Args:
    groups: what was measured.

  Returns:
    The highest median of a library and group; None where no products were made.
  """
  busy = [
    statistics.median(m.busy) for group in groups for m in group.measurements if is_peak(m.key)
  ]
  return max(0.0, 1.0 - min(busy)) if busy else None


def comparison(ratio: Ratio, group: Group) -> Comparison | None:
  """A ratio in a group; None where one side was not measured."""
  return compare(ratio, group.measurements)


def check_same_model(group: Group) -> None:
  """Compares what the contestants said of their models.

  Args:
    group: what was measured.

  Raises:
    RuntimeError: they differ in parameters or in arithmetic: nothing was compared.
  """
  steps = [m for m in group.measurements if not is_peak(m.key)]
  for what in ("parameters", "flop_per_image"):
    found = {m.title: m.about.get(what) for m in steps}
    if len(set(found.values())) > 1:
      listed = ", ".join(f"{title} {value}" for title, value in found.items())
      raise RuntimeError(f"The models of {group.title} differ in their {what}: {listed}.")


def _number(value: float) -> str:
  return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
