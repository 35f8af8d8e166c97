"""Cells: a method, a data set and a seed; their commands, and which of them the tables want."""

from __future__ import annotations

import dataclasses
import fnmatch
import pathlib
import shlex
from collections.abc import Iterable, Mapping, Sequence

from sbae_tf import flags, plugins
from sbae_tf.config import Component, PretrainConfig
from tools.reproduction.methods import Lineup, Method

IMAGENETTE, CALTECH, CAMVID, RGBD = "imagenette96", "caltech101_96", "camvid", "rgbd"
DATASETS = (IMAGENETTE, CALTECH)  # With a class for each photograph.
TABLES = (1, 2, 3, 4, 5, 6)

# What pretraining itself has measured; no process measures it.
HELD_OUT = "held_out"

_CAMVID_CLASSES = "Sky,Building,Pole,Road,Pavement,Tree,SignSymbol,Fence,Car,Pedestrian,Bicyclist"

# Protocols by their names, with their options.
PROTOCOLS: Mapping[str, str] = {
  "linear_probe": "linear_probe",
  "finetune": "finetune",
  "few_shot": "few_shot",
  "segmentation": f"segmentation(classes='{_CAMVID_CLASSES}', ignore='11', from_scratch=True)",
  HELD_OUT: HELD_OUT,
}

# Protocols that measure on other photographs than those that a cell was pretrained on.
_MEASURED_ON: Mapping[str, str] = {"segmentation": CAMVID}

# Of the methods that train for some minutes: what was learnt in them, and not what fine-tuning
# adds, which takes longer than they do. The layer is chosen on the largest draws, so these are as
# large as above; only fewer numbers of labels are tried.
TIMED_PROTOCOLS: Mapping[str, str] = {
  **PROTOCOLS,
  "few_shot": "few_shot(labels='16,64', finetune=False)",
}


@dataclasses.dataclass(frozen=True)
class Places:
  """Where things are.

  Attributes:
    train: a data set's name to what its classifiers and encoders learn from, as `--data` has it.
    test: to what they are measured on.
    runs: the folder of the cells' runs.
  """

  train: Mapping[str, str]
  test: Mapping[str, str]
  runs: str

  @classmethod
  def of(cls, data: str, runs: str) -> Places:
    """Of a folder with a folder for each data set, as `tools.reproduce` tells it."""
    both = (*DATASETS, CAMVID)
    return cls(
      {**{name: f"{data}/{name}/train" for name in both}, RGBD: f"{data}/{RGBD}/rgb"},
      {name: f"{data}/{name}/test" for name in both},
      runs,
    )


# As commands are shown: they are the same wherever photographs and runs are.
SHOWN = Places.of("DATA", "RUNS")


@dataclasses.dataclass(frozen=True)
class Cell:
  """A method, a data set and a seed.

  Attributes:
    method: how to pretrain.
    dataset: on the training part of which one; a key of `Places.train`.
    seed: of everything that is drawn.
    protocols: that measure what was learnt, each with its options: `few_shot(draws=3)`.
  """

  method: Method
  dataset: str
  seed: int
  protocols: tuple[str, ...]

  @property
  def name(self) -> str:
    """Of its folder below that of the runs."""
    return f"{self.dataset}/{self.method.name}/seed{self.seed}"

  def folder(self, places: Places) -> str:
    """The run's folder."""
    return f"{places.runs}/{self.name}"

  def pretrain(self, places: Places, *, steps: int | None = None) -> tuple[str, ...]:
    """The arguments after the interpreter's name that pretrain it.

    Args:
      places: where things are.
      steps: of a method that trains for some minutes.
    """
    return (
      *("-m", "sbae_tf.pretrain", *self.method.flags),
      *([] if steps is None else [f"--steps={steps}"]),
      f"--data={places.train[self.dataset]}",
      f"--seed={self.seed}",
      f"--workdir={self.folder(places)}",
    )

  def evaluate(self, places: Places, protocol: str) -> tuple[str, ...]:
    """The arguments after the interpreter's name that measure it by one of its protocols.

    None where pretraining has measured it.
    """
    folder = self.folder(places)
    component = Component.parse(protocol)
    if component.name == HELD_OUT:
      return ()
    dataset = self.measured_on(protocol)
    return (
      *("-m", "sbae_tf.evaluate", f"--encoder={folder}/encoder"),
      f"--data={places.train[dataset]}",
      f"--test={places.test[dataset]}",
      f"--protocol={component.name}",
      *(f"--{component.name}.{key}={value}" for key, value in component.options.items()),
      f"--seed={self.seed}",
      f"--out={folder}/evaluation/{component.name}",
      f"--cache={folder}/features",
    )

  def measured_on(self, protocol: str) -> str:
    """The data set of a protocol's photographs."""
    return _MEASURED_ON.get(protocol_name(protocol), self.dataset)

  def config(self) -> PretrainConfig:
    """What its flags give, with the photographs of `SHOWN`.

    Raises:
      ValueError: the flags are wrong.
    """
    return flags.parse(self.pretrain(SHOWN)[2:])[0]


def protocol_name(protocol: str) -> str:
  """The name of a protocol with options."""
  return Component.parse(protocol).name


def complete(protocol: str) -> str:
  """A protocol with all of its options: those that it does not tell are the defaults."""
  component = Component.parse(protocol)
  if component.name == HELD_OUT:
    return protocol
  options = plugins.find("protocol", component.name).complete(component.options)
  return str(Component(component.name, options))


def with_options(protocols: Mapping[str, str], changes: Iterable[str]) -> dict[str, str]:
  """The same protocols with other options.

  Args:
    protocols: a protocol's name to its text.
    changes: texts such as `few_shot(draws=2)`, whose options replace those of the same name.

  Raises:
    ValueError: a change is of no such protocol, or has an option that it does not.
  """
  changed = {name: Component.parse(text) for name, text in protocols.items()}
  for text in changes:
    change = Component.parse(text)
    if change.name not in changed or change.name == HELD_OUT:
      known = ", ".join(name for name in protocols if name != HELD_OUT)
      raise ValueError(f"Unknown protocol in --protocol='{text}'. Known: {known}.")
    options = {**changed[change.name].options, **change.options}
    plugins.find("protocol", change.name).check(options)
    changed[change.name] = Component(change.name, options)
  return {name: str(component) for name, component in changed.items()}


def shown(arguments: Sequence[str]) -> str:
  """A command as it may be typed; of arguments made with `SHOWN` for one that fits any machine.

  Empty where there are no arguments.
  """
  return shlex.join(["python", *arguments]) if arguments else ""


def of_tables(
  tables: Iterable[int],
  methods: Lineup,
  *,
  seeds: Sequence[int],
  minutes: Sequence[float],
  protocols: Mapping[str, str] = PROTOCOLS,
  timed_protocols: Mapping[str, str] = TIMED_PROTOCOLS,
) -> list[Cell]:
  """The cells that tables want, each once with the protocols of all of them.

  Those of a seed come before those of the next, and those that are trained for some minutes last:
  they want the machine for themselves.

  Args:
    tables: some of `TABLES`.
    methods: to compare.
    seeds: of each cell.
    minutes: to train for in the table of equal wall-clock.
    protocols: a protocol's name to its text.
    timed_protocols: the same for the methods that train for some minutes.
  """
  wanted: dict[tuple[Method, str], dict[str, None]] = {}
  for table in tables:
    for dataset, method, names in _rows(table, methods, minutes):
      texts = protocols if method.minutes is None else timed_protocols
      wanted.setdefault((method, dataset), {}).update(dict.fromkeys(texts[name] for name in names))
  cells = [
    Cell(method, dataset, seed, tuple(texts))
    for seed in seeds
    for (method, dataset), texts in wanted.items()
  ]
  return sorted(cells, key=lambda cell: cell.method.minutes is not None)  # A stable sort.


def _rows(
  table: int, methods: Lineup, minutes: Sequence[float]
) -> list[tuple[str, Method, tuple[str, ...]]]:
  """Data set, method and protocols of each row of a table."""
  if table == 1:
    both = dict.fromkeys(
      (methods.ours, *methods.reports, *methods.denoising, methods.random)
      + (methods.random_resnet18, methods.alexnet)
    )
    baselines = (
      *(methods.whole, methods.autoencoder),
      *(methods.l_to_ab, methods.ab_to_l, methods.simclr),
    )
    names = ("linear_probe", "finetune")
    return [
      *((IMAGENETTE, method, names) for method in (*both, *baselines)),
      *((CALTECH, method, names) for method in both),
    ]
  if table == 2:
    few = (methods.whole, methods.ours, methods.random, methods.denoising[0], methods.simclr)
    return [(IMAGENETTE, method, ("few_shot",)) for method in few]
  if table == 3:
    compared = (*layer_methods(methods), *methods.family)
    return [(IMAGENETTE, method, ("linear_probe",)) for method in compared]
  if table == 5:
    return [(IMAGENETTE, methods.ours, ("segmentation",))]
  if table == 6:
    return [(RGBD, method, (HELD_OUT,)) for method in (methods.depth_random, methods.depth)]
  names = ("linear_probe", "few_shot")
  return [(IMAGENETTE, m.timed(t), names) for t in minutes for m in timed_methods(methods)]


def layer_methods(methods: Lineup) -> tuple[Method, ...]:
  """Those that a plot compares layer by layer; the table has `Lineup.family` as well."""
  split_brain = dict.fromkeys((methods.whole, methods.ours, methods.ours.timed(0)))
  single = (methods.l_to_ab, methods.ab_to_l)
  return (*split_brain, *single, methods.autoencoder, methods.random)


def timed_methods(methods: Lineup) -> tuple[Method, ...]:
  """Those that are compared at equal wall-clock."""
  return (methods.ours, methods.simclr, methods.denoising[0])


def matching(cells: Sequence[Cell], patterns: Sequence[str]) -> list[Cell]:
  """The cells that one of some patterns fits, as shells have them.

  Args:
    cells: to choose from.
    patterns: of a data set, a method, both with `/` between them, or a cell's whole name.

  Raises:
    ValueError: a pattern fits none.
  """
  found = {}
  for pattern in patterns:
    fits = [c for c in cells if any(fnmatch.fnmatchcase(n, pattern) for n in _names(c))]
    if not fits:
      methods = sorted({cell.method.name for cell in cells})
      raise ValueError(f"--only={pattern} fits no cell. Methods: {', '.join(methods)}.")
    found.update(dict.fromkeys(fits))
  return [cell for cell in cells if cell in found] if patterns else list(cells)


def without(cells: Sequence[Cell], names: Iterable[str]) -> list[Cell]:
  """The cells without some protocols; those of which none is left are not among them.

  Args:
    cells: to choose from.
    names: of the protocols.

  Raises:
    ValueError: no cell is measured by such a protocol.
  """
  known = {protocol_name(protocol) for cell in cells for protocol in cell.protocols}
  left_out = set(names)
  if left_out - known:
    raise ValueError(
      f"--without={','.join(sorted(left_out - known))} fits no cell. Protocols: "
      f"{', '.join(sorted(known))}."
    )
  kept = {c: tuple(p for p in c.protocols if protocol_name(p) not in left_out) for c in cells}
  return [dataclasses.replace(c, protocols=kept[c]) for c in cells if kept[c]]


def _names(cell: Cell) -> tuple[str, ...]:
  return cell.dataset, cell.method.name, f"{cell.dataset}/{cell.method.name}", cell.name


def data_folders(data: pathlib.Path, cells: Iterable[Cell]) -> None:
  """Raises ValueError unless the folders of the cells' data sets are there."""
  places = Places.of(str(data), "")
  names = {name for c in cells for name in (c.dataset, *map(c.measured_on, c.protocols))}
  for dataset in sorted(names):
    for parts in (places.train, places.test):
      if dataset in parts and not pathlib.Path(parts[dataset]).is_dir():
        raise ValueError(
          f"Expected photographs in {parts[dataset]}. There are none. --data is the folder that "
          f"has {' and '.join(sorted(names))}."
        )
