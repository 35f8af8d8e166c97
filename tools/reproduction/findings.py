"""Differences between methods, with their spreads, and the page that all others hang from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from sbae_tf.config import Component
from tools.reproduction import spread, tables
from tools.reproduction.cells import IMAGENETTE, complete
from tools.reproduction.methods import OURS, Lineup, Method, is_denoising, timed_name
from tools.reproduction.page import MISSING, Page
from tools.reproduction.records import Record
from tools.reproduction.spread import Group, Spread, Value

# Points of top-1 accuracy, written down before anything was measured.
_RANDOM_AIM = "18 or more"
_DENOISING_AIM = "10 or more"
_SINGLE_AIM = "above 0"
_SIMCLR_AIM = "0 or more"
_FEW_AIM = "8 or more"


@dataclasses.dataclass(frozen=True)
class Difference:
  """How much more one method has than another.

  Attributes:
    what: the protocol and its setting.
    ours: the method.
    than: the other method.
    aim: what was aimed at before anything was measured, in points; None where nothing was.
    value: the difference, a fraction; None where it was not measured.
    steps: that both were trained for; empty where one was not measured.
    minutes: that the steps of both really took, where they were to take as many; else empty.
  """

  what: str
  ours: str
  than: str
  aim: str | None
  value: Spread | None
  steps: str = ""
  minutes: str = ""


def differences(
  records: Sequence[Record], methods: Lineup, minutes: Sequence[float]
) -> list[Difference]:
  """What the default preset has more than the others, and re-scaled Lab than other color spaces.

  Args:
    records: from the oldest to the newest.
    methods: to compare.
    minutes: of the table of equal wall-clock.
  """
  found: list[Difference] = []
  for method in dict.fromkeys((methods.whole, methods.ours)):
    found += _probes(records, method, methods)
    found += _few_shot(records, method, methods)
  return [*found, *_timed(records, methods, minutes), *_colors(records, methods)]


def _probes(records: Sequence[Record], method: Method, methods: Lineup) -> Iterator[Difference]:
  """What the default preset has more than the others, by each form of the linear probe.

  What was not measured has a row for the form that tables have.
  """
  best = best_denoising(records, methods)
  untrained = methods.ours.timed(0)
  usual = spread.group(records, IMAGENETTE, method.name).form("linear_probe")
  wanted = (IMAGENETTE, method.name, "linear_probe")
  texts = {r.protocol for r in records if (r.dataset, r.method, r.protocol_name) == wanted}
  forms = {Component.parse(complete(text)).options["dimensions"]: text for text in texts}
  for dimensions in sorted(forms, reverse=True) or [0]:
    form = forms.get(dimensions)
    ours = spread.group(records, IMAGENETTE, method.name, form=form)
    what = f"linear probe, {dimensions:,} numbers" if form else "linear probe"
    there = spread.top1_where(ours)
    for than, name, aim, their_value in (
      (methods.random.title, methods.random.name, _RANDOM_AIM, None),
      (f"{methods.random.title}, on the same layer", methods.random.name, _RANDOM_AIM, there),
      (untrained.title, untrained.name, None, None),
      (best[1], best[0], _DENOISING_AIM, None),
      (methods.l_to_ab.title, methods.l_to_ab.name, _SINGLE_AIM, None),
      (methods.ab_to_l.title, methods.ab_to_l.name, _SINGLE_AIM, None),
      (methods.autoencoder.title, methods.autoencoder.name, None, None),
      (methods.simclr.title, methods.simclr.name, None, None),
    ):
      theirs = spread.group(records, IMAGENETTE, name, form=form)
      value = spread.difference(ours, theirs, "linear_probe", spread.top1, their_value)
      aimed = aim if method == methods.whole else None
      if value is not None or form == usual:
        yield Difference(what, method.title, than, aimed, value, _steps(value, ours, theirs))


def _steps(value: Spread | None, *groups: Group) -> str:
  """Such as `19,200, 288`: of what a difference is of."""
  if value is None:
    return ""
  found = ({record.steps for record in group.records} for group in groups)
  return ", ".join(" to ".join(f"{n:,}" for n in sorted(steps)) for steps in found)


def best_denoising(records: Sequence[Record], methods: Lineup) -> tuple[str, str]:
  """Name and title of the denoising autoencoder whose linear probe is best, of those measured."""
  first = methods.denoising[0]
  means = {}
  for record in records:
    if record.minutes is None and record.dataset == IMAGENETTE and is_denoising(record.method):
      found = spread.group(records, IMAGENETTE, record.method).spread("linear_probe", spread.top1)
      if found is not None:
        means[record.method, record.title] = found.mean
  if not means:
    return first.name, first.title
  name, title = max(means, key=lambda key: means[key])
  return name, f"{title}, the best of {len(means)}" if len(means) > 1 else title


def _few_shot(records: Sequence[Record], method: Method, methods: Lineup) -> Iterator[Difference]:
  ours = spread.group(records, IMAGENETTE, method.name)
  scratch = spread.group(records, IMAGENETTE, methods.random.name)
  labels = tables.shown_labels([ours, scratch])
  theirs: Value = spread.few_shot("finetuned", labels)
  for way, words in (("frozen", "frozen"), ("finetuned", "fine-tuned")):
    value = spread.difference(ours, scratch, "few_shot", spread.few_shot(way, labels), theirs)
    what = f"{labels} labels a class, {words}"
    aim = _FEW_AIM if method == methods.whole else None
    steps = _steps(value, ours, scratch)
    yield Difference(what, method.title, "supervised from scratch", aim, value, steps)


def _timed(
  records: Sequence[Record], methods: Lineup, minutes: Sequence[float]
) -> list[Difference]:
  """What the default preset has more after the same minutes, and than what no minute gives."""
  random = spread.group(records, IMAGENETTE, methods.random.name)
  denoising = methods.denoising[0]
  found = []
  for hardware in tables.timed_hardware(records) or [""]:
    where = f", {hardware}" if hardware else ""
    for wanted in filter(None, tables.timed_minutes(records, hardware, minutes)):
      ours, simclr, noise = (
        spread.group(records, IMAGENETTE, timed_name(name, wanted), hardware=hardware)
        for name in (OURS, methods.simclr.name, denoising.name)
      )
      what = f"linear probe after {wanted:g} minute{'' if wanted == 1 else 's'}{where}"
      for than, theirs, aim in (
        (methods.simclr.title, simclr, _SIMCLR_AIM),
        (denoising.title, noise, _DENOISING_AIM),
        (methods.random.title, random, _RANDOM_AIM),
      ):
        value = spread.difference(ours, theirs, "linear_probe", spread.top1)
        took = _minutes(ours, theirs) if value and theirs is not random else ""
        steps = _steps(value, ours, theirs)
        found.append(Difference(what, methods.ours.title, than, aim, value, steps, took))
  return found


def _minutes(ours: Group, theirs: Group) -> str:
  """Such as `10.2, 9.8`: the means over seeds."""
  both = (
    group.by_seed(lambda record: record.training_seconds / 60, "linear_probe")
    for group in (ours, theirs)
  )
  return ", ".join("" if each is None else f"{each.mean:.1f}" for each in both)


def _colors(records: Sequence[Record], methods: Lineup) -> list[Difference]:
  """What re-scaled Lab has more than the report's other color spaces."""
  rgb, lab, rescaled = methods.reports[:3]
  group = spread.group(records, IMAGENETTE, rescaled.name)
  found = []
  for protocol, words in (("linear_probe", "linear probe"), ("finetune", "fine-tuned")):
    for other in (rgb, lab):
      theirs = spread.group(records, IMAGENETTE, other.name)
      value = spread.difference(group, theirs, protocol, spread.top1)
      steps = _steps(value, group, theirs)
      aim = "above 0: the report's"
      found.append(Difference(words, rescaled.title, other.title, aim, value, steps))
  return found


def index(
  records: Sequence[Record], methods: Lineup, minutes: Sequence[float], command: str
) -> Page:
  """The page that tells the differences and leads to the others.

  Args:
    records: from the oldest to the newest.
    methods: to compare.
    minutes: of the table of equal wall-clock.
    command: that made it, as it may be typed.
  """
  page = Page(
    "Reproduction",
    f"`{command}`",
    "- [Table 1](table1.md): backbones and color spaces, probed and fine-tuned.\n"
    "- [Table 2](table2.md): accuracy against labels a class.\n"
    "- [Table 3](table3.md): linear probe, layer by layer.\n"
    "- [Table 4](table4.md): equal wall-clock.\n"
    "- [Table 5](table5.md): a class for every pixel.\n"
    "- [Table 6](table6.md): photographs with depth.\n"
    "- [cells.jsonl](cells.jsonl), [cells.csv](cells.csv): every number, with its command, machine "
    "and wall-clock.",
    "## Differences",
    "How many points of top-1 accuracy one method has more than another on the test part of "
    f"{IMAGENETTE}: mean ± standard deviation over seeds of the difference within a seed, the "
    f"number of seeds in parentheses. `{OURS}` is the default preset. What was aimed at with "
    "it was written down before; it is for all of its epochs. A linear probe is of the layer that "
    "the training part chose, for each method and seed; *on the same layer*: of that which it "
    "chose for the first method. After equal minutes, what the steps of both really took stands "
    "beside.",
  )
  page.add_table(
    ("measured by", "method", "than", "points", "aim", "steps of both", "minutes of them"),
    [
      (
        each.what,
        each.ours,
        each.than,
        MISSING if each.value is None else each.value.text(100, sign=True),
        each.aim or "",
        each.steps,
        each.minutes,
      )
      for each in differences(records, methods, minutes)
    ],
  )
  return page
