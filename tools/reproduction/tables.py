"""The pages of the tables, made from records alone."""

from __future__ import annotations

from collections.abc import Sequence

from tools.reproduction import spread
from tools.reproduction.cells import CALTECH, IMAGENETTE, layer_methods, timed_methods
from tools.reproduction.methods import RANDOM, Lineup, Method, timed_name
from tools.reproduction.page import MISSING, Page
from tools.reproduction.records import Record
from tools.reproduction.spread import Group, Spread

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
LABELS = 16  # A class, where one number stands for few labels.

_HOW = (
  "Accuracies are percent of the test part's photographs: mean ± standard deviation over seeds, "
  "the number of seeds in parentheses. A seed decides weights, crops, order, splits and draws. "
  "What the default preset is compared with begins as it does, with k-means of patches as filters; "
  "but not the report's networks, the CVPR paper's family and what says *random weights*."
)


def percent(found: Spread | None) -> str:
  """An accuracy as tables have it."""
  return MISSING if found is None else found.text(100)


def _minutes(found: Spread | None) -> str:
  return MISSING if found is None else found.text(1 / 60)


def _evaluation_minutes(group: Group, protocol: str) -> str:
  return _minutes(group.spread(protocol, lambda record: record.evaluation_seconds))


def _pretraining(group: Group, *protocols: str) -> tuple[str, str, str]:
  """Steps, minutes of the steps alone, and of the whole process, before these protocols."""
  steps = sorted({r.steps for name in protocols for r in group.by_protocol.get(name, {}).values()})
  return (
    " to ".join(dict.fromkeys(f"{n:,}" for n in (steps[0], steps[-1]))) if steps else MISSING,
    _minutes(group.by_seed(lambda record: record.training_seconds, *protocols)),
    _minutes(group.by_seed(lambda record: record.pretraining_seconds, *protocols)),
  )


_PRETRAINING_HEAD = ("steps", "minutes of the steps", "minutes of pretraining")
_SOURCES_HEAD = ("machine", "commands")


def table1(records: Sequence[Record], methods: Lineup) -> Page:
  """Methods by backbone and color space, probed and fine-tuned, a table a data set."""
  page = Page(
    "Table 1: what was learnt without labels, probed and fine-tuned",
    "After Table 1 of Budhkar, Casabuena, Iyengar, *Le Project Quotidien*, NYU 2019: each network "
    "is pretrained on the photographs of a data set's training part without their labels. A "
    "multinomial logistic regression on its frozen features, of the layer that is best on a split "
    "of the training part, is the linear probe; then network and classifier are trained together. "
    "Random weights, fine-tuned, are supervised training from scratch.",
    _HOW + " Minutes are of the pretraining's steps alone, of its whole process with compilation, "
    "held-out losses, checkpoints and export, and of the protocols' processes.",
  )
  for dataset in (IMAGENETTE, CALTECH):
    page.add(f"## {dataset}")
    page.add_table(
      (
        *("pretraining", "probe, top-1", "top-5", "layer", "fine-tuned, top-1", "top-5"),
        *(*_PRETRAINING_HEAD, "of the probe", "of fine-tuning", *_SOURCES_HEAD),
      ),
      [_row1(page, records, dataset, *each) for each in table1_methods(records, methods, dataset)],
    )
  page.add_picture("Linear probe and fine-tuning", "table1.png")
  return page


def table1_methods(
  records: Sequence[Record], methods: Lineup, dataset: str
) -> list[tuple[str, str]]:
  """Names and titles: those of the lineup, then what else was measured on the data set.

  But for the family, which has a table of its own.
  """
  wanted = [methods.ours, *methods.reports, *methods.denoising]
  if dataset == IMAGENETTE:
    wanted = [methods.whole, *wanted]
    wanted += [methods.autoencoder, methods.l_to_ab, methods.ab_to_l, methods.simclr]
  wanted += [methods.random, methods.random_resnet18, methods.alexnet]
  family = {method.name for method in methods.family}
  others = [record for record in records if record.method not in family]
  return with_others(wanted, others, dataset, ("linear_probe", "finetune"))


def with_others(
  wanted: Sequence[Method], records: Sequence[Record], dataset: str, protocols: Sequence[str]
) -> list[tuple[str, str]]:
  """Names and titles of methods, and of those that only records know.

  Args:
    wanted: the methods.
    records: from the oldest to the newest.
    dataset: that they were pretrained on.
    protocols: one of which measured the others.
  """
  found = {method.name: method.title for method in wanted}
  for record in records:
    if record.dataset == dataset and record.minutes is None and record.protocol_name in protocols:
      found.setdefault(record.method, record.title)
  return list(found.items())


def _row1(page: Page, records: Sequence[Record], dataset: str, name: str, title: str) -> list[str]:
  group = spread.group(records, dataset, name)
  probe, tuned = "linear_probe", "finetune"
  layers = sorted({r.values["best_layer"] for r in group.by_protocol.get(probe, {}).values()})
  commands, machines = page.sources(group, probe, tuned)
  return [
    title,
    percent(group.spread(probe, spread.top1)),
    percent(group.spread(probe, spread.top5)),
    ", ".join(layers),
    percent(group.spread(tuned, spread.top1)),
    percent(group.spread(tuned, spread.top5)),
    *_pretraining(group, probe, tuned),
    _evaluation_minutes(group, probe),
    _evaluation_minutes(group, tuned),
    *(machines, commands),
  ]


def few_shot_rows(records: Sequence[Record], methods: Lineup) -> list[tuple[str, Group, str]]:
  """What the table of few labels has: titles, groups, and `frozen` or `finetuned`."""
  wanted = (methods.whole, methods.ours, methods.random, methods.denoising[0], methods.simclr)
  rows = []
  for name, title in with_others(wanted, records, IMAGENETTE, ("few_shot",)):
    group = spread.group(records, IMAGENETTE, name)
    rows.append((f"{title}, frozen", group, "frozen"))
    tuned = "supervised from scratch" if name == RANDOM else f"{title}, fine-tuned"
    rows.append((tuned, group, "finetuned"))
  return rows


def few_shot_records(rows: Sequence[tuple[str, Group, str]]) -> list[Record]:
  """The records of few labels behind such rows."""
  return [r for _, group, _ in rows for r in group.by_protocol.get("few_shot", {}).values()]


def table2(records: Sequence[Record], methods: Lineup) -> Page:
  """Accuracy against labels a class."""
  page = Page(
    f"Table 2: accuracy against labels a class, {IMAGENETTE}",
    "After Table 2 of the same report. Pretrained on all photographs of the training part without "
    "labels; then a classifier learns from so many labelled ones of each class: on frozen "
    "features, or with the network. A seed's number is the mean over several draws of the labelled "
    "photographs.",
    _HOW,
  )
  rows = few_shot_rows(records, methods)
  labels = spread.label_counts(few_shot_records(rows)) or [1, 2, 4, 8, 16, 32, 64]
  table = []
  for title, group, way in rows:
    commands, machines = page.sources(group, "few_shot")
    accuracies = [
      percent(group.spread("few_shot", spread.few_shot(way, count))) for count in labels
    ]
    minutes = _pretraining(group, "few_shot")[2]
    seconds = _evaluation_minutes(group, "few_shot")
    table.append([title, *accuracies, minutes, seconds, machines, commands])
  page.add_table(
    (
      *("labels a class:", *map(str, labels)),
      *("minutes of pretraining", "of both protocols", *_SOURCES_HEAD),
    ),
    table,
  )
  page.add_picture("Accuracy against labels a class", "table2.png")
  return page


def table3(records: Sequence[Record], methods: Lineup) -> Page:
  """A linear probe on each layer."""
  page = Page(
    f"Table 3: linear probe, layer by layer, {IMAGENETTE}",
    "After Table 2 of Zhang, Isola, Efros, *Split-Brain Autoencoders*, CVPR 2017, in small, with "
    "its ablations and variants: a multinomial logistic regression on each layer's frozen "
    "features, resized to about as many numbers as the protocol says; by default 9,000.",
    _HOW,
  )
  rows = []
  for method in (*layer_methods(methods), *methods.family):
    group = spread.group(records, IMAGENETTE, method.name)
    commands, machines = page.sources(group, "linear_probe")
    accuracies = [
      percent(group.spread("linear_probe", spread.layer_top1(layer))) for layer in LAYERS
    ]
    rows.append(
      [method.title, *accuracies, *_pretraining(group, "linear_probe")]
      + [_evaluation_minutes(group, "linear_probe"), machines, commands]
    )
  head = ("pretraining", *LAYERS, *_PRETRAINING_HEAD, "of the probe", *_SOURCES_HEAD)
  page.add_table(head, rows)
  page.add_picture("Linear probe, layer by layer", "table3.png")
  return page


def timed_hardware(records: Sequence[Record]) -> list[str]:
  """The machines on which methods were trained for some minutes, the latest first."""
  return list(dict.fromkeys(r.hardware for r in reversed(records) if r.minutes is not None))


def timed_minutes(
  records: Sequence[Record], hardware: str, minutes: Sequence[float]
) -> list[float]:
  """The minutes that are wanted and those that were measured on a machine, from few to many."""
  measured = {r.minutes for r in records if r.minutes is not None and r.hardware == hardware}
  return sorted({*minutes, *measured})


def shown_labels(groups: Sequence[Group]) -> int:
  """The labels a class that stand for few ones: 16, or the most that were measured."""
  found = [r for group in groups for r in group.by_protocol.get("few_shot", {}).values()]
  counts = spread.label_counts(found)
  return LABELS if LABELS in counts or not counts else counts[-1]


def table4(records: Sequence[Record], methods: Lineup, minutes: Sequence[float]) -> Page:
  """Equal wall-clock, a table a machine."""
  page = Page(
    f"Table 4: equal wall-clock, {IMAGENETTE}",
    "The same backbone is trained for the same minutes by each method, each budget by a run of its "
    "own with its whole schedule; 0 minutes are its initial weights. How many steps fit is told by "
    "a short run of the same command before; initial weights, compilation, held-out losses and "
    "checkpoints do not count. What the steps really took stands beside: a machine is not always "
    "as fast. The learning rate rises in a first epoch: in runs that are shorter, to their end.",
    _HOW,
  )
  for number, hardware in enumerate(timed_hardware(records) or ["no machine yet"], start=1):
    page.add(f"## {hardware}")
    groups = timed_groups(records, methods, hardware, minutes)
    labels = shown_labels([group for _, _, group in groups])
    page.add_table(
      (
        *("pretraining", "minutes wanted", "minutes of the steps", "steps"),
        *("minutes of pretraining", "probe, top-1", "layer"),
        *(f"{labels} labels a class, frozen", *_SOURCES_HEAD),
      ),
      [_row4(page, title, wanted, group, labels) for title, wanted, group in groups],
    )
    names = timed_pictures(number)
    page.add_picture("Linear probe", names[0])
    page.add_picture("Few labels", names[1])
  return page


def timed_pictures(number: int) -> tuple[str, str]:
  """The files of a machine's plots, by its number among the machines, from 1."""
  end = f"_{number}" if number > 1 else ""
  return f"table4{end}.png", f"table4_few_shot{end}.png"


def timed_groups(
  records: Sequence[Record], methods: Lineup, hardware: str, minutes: Sequence[float]
) -> list[tuple[str, float, Group]]:
  """Title, minutes and records of each row of a machine's table."""
  rows = []
  for method in timed_methods(methods):
    for wanted in timed_minutes(records, hardware, minutes):
      name = timed_name(method.name, wanted)
      group = spread.group(records, IMAGENETTE, name, hardware=hardware)
      rows.append((method.title, wanted, group))
  return rows


def _row4(page: Page, title: str, wanted: float, group: Group, labels: int) -> list[str]:
  probe = group.by_protocol.get("linear_probe", {})
  steps, trained, whole = _pretraining(group, "linear_probe", "few_shot")
  commands, machines = page.sources(group, "linear_probe", "few_shot")
  return [
    title,
    f"{wanted:g}",
    *(trained, steps, whole),
    percent(group.spread("linear_probe", spread.top1)),
    ", ".join(sorted({record.values["best_layer"] for record in probe.values()})),
    percent(group.spread("few_shot", spread.few_shot("frozen", labels))),
    *(machines, commands),
  ]
