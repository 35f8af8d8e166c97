"""The configuration of a pretraining run: frozen dataclasses that check themselves.

The one source of truth: the command line's flags are generated from these fields, the resolved
configuration is written to the run's folder and into the SavedModel (`sbae_tf.config_json`).
Imports no TensorFlow.
What needs the components' modules (names, options, channels, strides) is checked by
`sbae_tf.validation`.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import re
import types
from collections.abc import Mapping
from typing import Any

_STRATEGIES = ("default", "one_device", "mirrored", "multi_worker_mirrored", "tpu")

_PLACEHOLDERS = ("{stem}", "{name}", "{folder}")  # Of the path of what lies beside a photograph.

Json = Any  # str, int, float, bool, None, and lists and mappings of these.


def _field(default: Any, text: str, *, flag: str | None = None, changes_result: bool = True) -> Any:
  """A field with its help text.

  Args:
    default: the field's default; immutable.
    text: one line for `--help`.
    flag: the name of its flag where that is not the dotted path.
    changes_result: False where two runs that differ in it end with the same weights, so that a
      run may be resumed with another value.
  """
  metadata = {"help": text, "flag": flag, "changes_result": changes_result}
  return dataclasses.field(default=default, metadata=metadata)


def _pair(name: str, value: Any, kind: type) -> tuple[Any, Any]:
  if len(value) != 2 or not all(isinstance(v, (int, kind)) for v in value):
    raise ValueError(f"Expected `{name}` to be two numbers, such as 1,2. Received: {value}.")
  return kind(value[0]), kind(value[1])


def _check_component(name: str, value: Any) -> None:
  if not isinstance(value, Component):
    raise ValueError(f"Expected `{name}` to be a Component. Received: {value!r}.")


def _check_positive_integer(name: str, value: Any) -> None:
  if type(value) is not int or value < 1:
    raise ValueError(f"Expected `{name}` to be a whole number above 0. Received: {value}.")


def _check_positive(name: str, value: Any) -> None:
  if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
    raise ValueError(f"Expected `{name}` to be a number above 0. Received: {value}.")


def _check_not_negative(name: str, value: Any) -> None:
  if type(value) is not int or value < 0:
    raise ValueError(f"Expected `{name}` to be a whole number, 0 or more. Received: {value}.")


@dataclasses.dataclass(frozen=True)
class Component:
  """A plug-in by name, with its options.

  Attributes:
    name: a module's name in the kind's folder (`"lab"`), or a dotted module of one's own.
    options: keyword arguments of the module's `build`; JSON values.
  """

  name: str
  options: Mapping[str, Json] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    if not isinstance(self.name, str) or not isinstance(self.options, Mapping):
      raise ValueError(
        f"Expected a component's name and a mapping of options. Received: {self.name!r}, "
        f"{self.options!r}."
      )
    try:  # To JSON and back: what is equal now still is after it was written and read.
      options = json.loads(json.dumps(dict(self.options)))
    except TypeError as error:
      raise ValueError(f"Expected options of '{self.name}' as JSON has them: {error}.") from error
    object.__setattr__(self, "options", types.MappingProxyType(options))

  def __hash__(self) -> int:
    return hash((self.name, *sorted(self.options)))

  def __reduce__(self) -> tuple[Any, ...]:
    return Component, (self.name, dict(self.options))

  def __str__(self) -> str:
    """The text form that `parse` reads: `simplenet(width=0.5)`."""
    options = ", ".join(f"{k}={v!r}" for k, v in self.options.items())
    return f"{self.name}({options})" if options else self.name

  @classmethod
  def parse(cls, text: str) -> Component:
    """Reads the text form: a name, or a call with literal keyword arguments.

    An argument that is itself a component stays text: `classification(quantizer=uniform(bins=50))`.

    Raises:
      ValueError: the text is neither.
    """
    try:
      node = ast.parse(text.strip(), mode="eval").body
      if isinstance(node, (ast.Name, ast.Attribute)):
        return cls(ast.unparse(node))
      if isinstance(node, ast.Call) and not node.args:
        names = [keyword.arg for keyword in node.keywords]
        if None not in names and len(set(names)) == len(names):
          options = {str(k.arg): _literal(k.value) for k in node.keywords}
          return cls(ast.unparse(node.func), options)
    except (SyntaxError, ValueError):
      pass
    raise ValueError(
      f"Expected a component such as 'name' or 'name(option=1)'. Received: '{text}'."
    )


def _literal(node: ast.expr) -> Json:
  if isinstance(node, (ast.Name, ast.Attribute, ast.Call)):
    return ast.unparse(node)
  return ast.literal_eval(node)


@dataclasses.dataclass(frozen=True)
class Branch:
  """One prediction: these channels from those.

  Attributes:
    inputs: channel names of the color space that the tower sees.
    targets: channel names that it predicts.
    task: how: a module of `sbae_tf/tasks`, such as `classification` or `regression`.
    weight: the factor of its loss in the sum; positive.
  """

  inputs: tuple[str, ...]
  targets: tuple[str, ...]
  task: Component = Component("classification")
  weight: float = 1.0

  def __post_init__(self) -> None:
    for side in ("inputs", "targets"):
      channels = getattr(self, side)
      if not isinstance(channels, (list, tuple)) or not all(isinstance(c, str) for c in channels):
        raise ValueError(f"Expected `{side}` of a branch to be names. Received: {channels!r}.")
      object.__setattr__(self, side, tuple(channels))
      if not channels or len(set(channels)) != len(channels):
        raise ValueError(f"Expected `{side}` of a branch to be distinct channels. Got {channels}.")
    _check_component("task", self.task)
    _check_positive("weight of a branch", self.weight)

  @property
  def name(self) -> str:
    """Such as `L->ab`: its channels. Two branches of a configuration may have the same ones."""
    return f"{group_name(self.inputs)}->{group_name(self.targets)}"

  def __str__(self) -> str:
    """The text form that `parse` reads: `L->a,b:classification`, `200*L->a,b:regression`."""
    short = f"{self.weight:g}"
    weight = f"{short if float(short) == self.weight else repr(self.weight)}*"
    weight = "" if self.weight == 1 else weight
    return f"{weight}{','.join(self.inputs)}->{','.join(self.targets)}:{self.task}"

  @classmethod
  def parse(cls, text: str) -> Branch:
    """Reads `L->a,b`, `L->a,b:regression`, or with a weight `200*L->a,b`.

    Raises:
      ValueError: the text is not of that form.
    """
    channels, colon, task = text.partition(":")
    inputs, arrow, targets = channels.partition("->")
    weight, _, inputs = inputs.rpartition("*")
    seen, predicted = (
      tuple(c.strip() for c in side.split(",") if c.strip()) for side in (inputs, targets)
    )
    try:
      if arrow and seen and predicted:
        component = Component.parse(task) if colon else Component("classification")
        return cls(seen, predicted, task=component, weight=float(weight or 1))
    except ValueError as error:
      raise ValueError(f"Branch '{text}': {error}") from error
    raise ValueError(f"Expected a branch such as 'L->a,b' or 'L->a,b:regression'. Got '{text}'.")


def group_name(channels: tuple[str, ...]) -> str:
  """`("a", "b")` to `"ab"`; longer names are joined by commas."""
  return ("" if all(len(c) == 1 for c in channels) else ",").join(channels)


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Where the photographs come from, what is done with those that do not read, and the cuts."""

  path: str = _field(
    "",
    "Photographs: a folder, glob, list.txt of paths, zip or tar, TFRecords, or tfds:NAME[:SPLIT]; "
    "several as '3:PATH; 1:PATH' with weights, or without. Empty: the embedded ones.",
    flag="data",
  )
  beside: str = _field(
    "",
    "Files of bands that lie beside each photograph, for a color space that takes some: paths from "
    "its folder, such as '../depth/{stem}.png'; several with ';' between them.",
  )
  heldout_path: str = _field("", "The same for the held-out loss; empty: a part of --data.")
  heldout_fraction: float = _field(0.1, "Part of --data held out where no --data.heldout_path.")
  heldout_limit: int = _field(1024, "At most so many held-out photographs are looked at.")
  image_size: int = _field(96, "Side of the square input, in pixels.", flag="image_size")
  crop_area: tuple[float, float] = _field(
    (0.25, 1.0), "Area of a random crop, as fractions of the photograph's."
  )
  crop_aspect: tuple[float, float] = _field(
    (0.75, 4 / 3), "Width to height of a random crop before it is resized to a square."
  )
  flip: bool = _field(True, "Mirror half of the photographs.")
  turns: bool = _field(False, "Turn by 0, 90, 180 or 270 degrees: where no side is up.")
  embedded_crops: int = _field(2560, "Photographs cut from the embedded ones, for training.")
  max_pixels: int = _field(100_000_000, "Skip photographs of more pixels, by their header.")
  max_skipped: float = _field(
    0.01, "End where more than this part of the photographs cannot be read.", changes_result=False
  )
  service: str = _field(
    "",
    "Read and decode on the workers of this tf.data service, grpc://HOST:PORT.",
    flag="data_service",
    changes_result=False,
  )
  parallel_calls: int = _field(
    0, "Groups of photographs decoded at once; 0: some more than processors.", changes_result=False
  )

  def __post_init__(self) -> None:
    for name in ("heldout_limit", "image_size", "embedded_crops", "max_pixels"):
      _check_positive_integer(f"data.{name}", getattr(self, name))
    if not 0 < self.heldout_fraction < 1:
      raise ValueError(
        f"Expected `data.heldout_fraction` between 0 and 1. Received: {self.heldout_fraction}."
      )
    for name, highest in (("crop_area", 1.0), ("crop_aspect", math.inf)):
      low, high = _pair(f"data.{name}", getattr(self, name), float)
      if not 0 < low <= high <= highest or not math.isfinite(high):
        raise ValueError(
          f"Expected `data.{name}` LOW,HIGH with 0 < LOW <= HIGH"
          f"{' <= 1' if highest == 1 else ''}. Received: {low},{high}."
        )
      object.__setattr__(self, name, (low, high))
    if not 0 <= self.max_skipped <= 1:
      raise ValueError(
        f"Expected `data.max_skipped` between 0 and 1. Received: {self.max_skipped}."
      )
    _check_not_negative("data.parallel_calls", self.parallel_calls)
    _check_beside(self)


def _check_beside(data: DataConfig) -> None:
  for path in data.beside.split(";") if data.beside else ():
    unknown = set(re.findall(r"\{.*?\}", path)) - set(_PLACEHOLDERS)
    if unknown or not any(placeholder in path for placeholder in ("{stem}", "{name}")):
      raise ValueError(
        "Expected `data.beside` to be paths with {stem} or {name}, and no more in braces than "
        f"{', '.join(_PLACEHOLDERS)}. Received: {data.beside}."
      )
  if data.beside and data.service:
    raise ValueError(
      "Expected no `data.service` with `data.beside`: what lies beside photographs is read by the "
      f"process that trains. Received: {data.service}."
    )


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
  """What the representation is tried on while it is trained, by nearest neighbors."""

  path: str = _field(
    "",
    "Photographs with classes, such as a folder with a sub-folder for each, for a kNN probe during "
    "training; as --data takes them. Empty: no probe.",
    changes_result=False,
  )
  test_path: str = _field(
    "", "The same to be classified; empty: a fifth of --probe.path.", changes_result=False
  )
  epochs: int = _field(
    1, "Probe at the end of every so many epochs, and at the end.", changes_result=False
  )
  limit: int = _field(
    2048,
    "At most so many photographs, a fifth of them classified; they stay in memory.",
    changes_result=False,
  )
  layer: str = _field(
    "embedding",
    "Whose features are compared; of a map, such as conv3, the means over its pixels.",
    changes_result=False,
  )

  def __post_init__(self) -> None:
    for name in ("epochs", "limit"):
      _check_positive_integer(f"probe.{name}", getattr(self, name))


# Those of `PretrainConfig`'s fields that have fields of their own.
GROUPS = (DataConfig, ProbeConfig)


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
  """Everything that decides what a pretraining run does."""

  data: DataConfig = DataConfig()
  color: Component = _field(Component("lab"), "Color space.")
  color_placement: str = _field(
    "device", "Where color is encoded: 'device' (in the step) or 'pipeline' (in tf.data)."
  )
  branches: tuple[Branch, ...] = _field(
    (Branch(("L",), ("a", "b")), Branch(("a", "b"), ("L",))),
    "Predictions, such as 'L->a,b; a,b->L:regression'.",
  )
  backbone: Component = _field(Component("simplenet"), "Architecture of each tower.")
  aggregation: Component = _field(Component("concat"), "How the towers make one encoder.")
  initialization: Component = _field(Component("random"), "Weights that the towers start from.")
  optimizer: Component = _field(Component("adam"), "Optimizer.")
  schedule: Component = _field(Component("exponential"), "Learning rate over the steps.")
  learning_rate: float = _field(1e-4, "Learning rate at the start.", flag="learning_rate")
  batch_size: int = _field(64, "Photographs a step, over all devices.", flag="batch_size")
  epochs: int = _field(
    12, "Passes over the photographs; 0: none, the initial weights are exported.", flag="epochs"
  )
  steps: int = _field(0, "Stop after so many steps; 0: after --epochs.", flag="steps")
  seed: int = _field(0, "Seed of weights, crops and order.", flag="seed")
  strategy: str = _field(
    "default",
    "'default' (TensorFlow places), 'one_device', 'mirrored' (every GPU of the machine), "
    "'multi_worker_mirrored' (those of all workers in TF_CONFIG, or of a SLURM step), 'tpu'.",
    flag="strategy",
    changes_result=False,
  )
  num_devices: int = _field(
    0,
    "With --strategy=mirrored: so many devices, the first ones; 0: all.",
    flag="num_devices",
    changes_result=False,
  )
  precision: str = _field(
    "float32",
    "Of the towers: 'float32', 'mixed_bfloat16', or 'mixed_float16' with a loss scale.",
    flag="precision",
  )
  jit_compile: str = _field(
    "auto",
    "Compile the step by XLA: 'true', 'false', or 'auto': on GPUs and TPUs, not on a CPU.",
    flag="jit_compile",
    changes_result=False,
  )
  steps_per_execution: int = _field(
    1,
    "Steps that run without a return to Python.",
    flag="steps_per_execution",
    changes_result=False,
  )
  checkpoints_kept: int = _field(3, "Newest checkpoints that stay.", changes_result=False)
  checkpoint_minutes: float = _field(
    10.0, "A checkpoint also within an epoch, as often as this.", changes_result=False
  )
  log_seconds: float = _field(5.0, "Time between two lines of progress.", changes_result=False)
  panel_images: int = _field(8, "Held-out photographs in the panel.", changes_result=False)
  profile: tuple[int, ...] = _field(
    (), "Steps FIRST,LAST to trace for TensorBoard's profiler.", changes_result=False
  )
  probe: ProbeConfig = ProbeConfig()

  def __post_init__(self) -> None:
    for name in ("color", "backbone", "aggregation", "initialization", "optimizer", "schedule"):
      _check_component(name, getattr(self, name))
    object.__setattr__(self, "branches", tuple(self.branches))
    if not self.branches:
      raise ValueError("Expected at least one of `branches`. Received: none.")
    names = self.branch_names
    if len(set(names)) != len(names):
      raise ValueError(
        f"Expected `branches` to differ in channels or task. Received: {'; '.join(names)}."
      )
    for name, choices in (
      ("color_placement", ("device", "pipeline")),
      ("strategy", _STRATEGIES),
      ("jit_compile", ("auto", "true", "false")),
      ("precision", ("float32", "mixed_bfloat16", "mixed_float16")),
    ):
      if getattr(self, name) not in choices:
        raise ValueError(
          f"Expected `{name}` to be one of {', '.join(choices)}. Received: {getattr(self, name)}."
        )
    for name in ("batch_size", "steps_per_execution", "checkpoints_kept", "panel_images"):
      _check_positive_integer(name, getattr(self, name))
    for name in ("learning_rate", "log_seconds", "checkpoint_minutes"):
      _check_positive(name, getattr(self, name))
    for name in ("epochs", "steps", "seed", "num_devices"):
      _check_not_negative(name, getattr(self, name))
    if self.num_devices > 1 and self.strategy != "mirrored":
      raise ValueError(
        f"Expected `strategy` 'mirrored' with `num_devices` {self.num_devices}. "
        f"Received: '{self.strategy}'."
      )
    if self.seed >= 2**32:  # NumPy takes no more.
      raise ValueError(f"Expected `seed` below {2**32}. Received: {self.seed}.")
    if self.profile:
      first, last = _pair("profile", self.profile, int)
      if not 0 < first <= last:
        raise ValueError(
          f"Expected `profile` FIRST,LAST with 0 < FIRST <= LAST. Got {first},{last}."
        )
      object.__setattr__(self, "profile", (first, last))

  @property
  def branch_names(self) -> tuple[str, ...]:
    """What logs, losses and model cards call each branch.

    Its channels, `L->ab`. Where several branches have the same ones, with their task,
    `L->ab:regression`; and where tasks of one name differ in their options, with these.
    """

    def name(branch: Branch) -> str:
      alike = [other.task for other in self.branches if other.name == branch.name]
      if len(alike) == 1:
        return branch.name
      short = len({task.name for task in alike}) == len(alike)
      return f"{branch.name}:{branch.task.name if short else branch.task}"

    return tuple(name(branch) for branch in self.branches)
