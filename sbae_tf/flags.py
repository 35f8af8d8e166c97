"""The command line's flags, generated from the configuration's dataclasses; and their help.

A preset, then a JSON file (`--config`), then the flags make the configuration. Everyday fields
have short flags (`--epochs`), all others their dotted path (`--data.crop_area`), components their
name and options (`--backbone.name`, `--backbone.width`).
"""

from __future__ import annotations

import ast
import dataclasses
import json
import pathlib
import textwrap
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags as absl_flags

from sbae_tf import config_json, plugins, presets, validation
from sbae_tf.config import GROUPS, Branch, Component, PretrainConfig

_COMPONENTS = ("color", "backbone", "aggregation", "initialization", "optimizer", "schedule")
_EVERYDAY = (
  "data workdir preset config epochs steps batch_size image_size learning_rate seed strategy"
).split()

_COLUMN = 28  # Where the texts of --help begin.


@dataclasses.dataclass(frozen=True)
class _Flag:
  """A flag: its name, its type as shown, its help, and the path of the field that it sets."""

  name: str
  type: str
  help: str
  path: tuple[str, ...]


class FlagError(ValueError):
  """A mistake in the flags: one line that says what would be right."""

  def __init__(self, message: str) -> None:
    super().__init__(" ".join(message.split()))


def parse(arguments: Sequence[str]) -> tuple[PretrainConfig, pathlib.Path]:
  """Reads the arguments after the program's name.

  Args:
    arguments: such as `["--preset=resnet18_lab", "--backbone.width=1.0"]`.

  Returns:
    The validated configuration, and the run's folder.

  Raises:
    FlagError: a flag, a value or the file of `--config` is wrong.
  """
  values = absl_flags.FlagValues()
  for flag in _all_flags():
    if flag.type == "bool":
      absl_flags.DEFINE_bool(flag.name, None, flag.help, flag_values=values)
    else:
      absl_flags.DEFINE_string(flag.name, None, flag.help, flag_values=values)
  try:
    rest = values(["pretrain", *arguments])[1:]
    if rest:
      raise FlagError(f"Expected flags only, such as --data=FOLDER. Received: {rest[0]}")
    given = {f: values[f.name].value for f in _all_flags() if values[f.name].present}
    config = _resolve(given)
    validation.validate(config)
  except FlagError:
    raise
  except (absl_flags.Error, ValueError) as error:
    raise FlagError(str(error)) from error
  chosen = {flag.name: value for flag, value in given.items()}
  workdir = chosen.get("workdir") or f"runs/{chosen.get('preset') or presets.DEFAULT}"
  return config, pathlib.Path(workdir)


def help_text() -> str:
  """All flags with their defaults, the presets, and the components with their options."""
  lines = [
    "Pretrains a split-brain autoencoder on photographs and exports its encoder.",
    "",
    "  python -m sbae_tf.pretrain --data=FOLDER --strategy=mirrored",
    "",
    "Without --data it trains on photographs that ship with the package's requirements. Run the",
    "same command again to resume. A preset, then the file of --config, then flags decide.",
    "",
    "Everyday flags:",
  ]
  defaults = _defaults()
  everyday: list[_Flag] = []
  others: list[_Flag] = []
  for flag in _all_flags():
    (everyday if flag.name in _EVERYDAY else others).append(flag)
  lines += [
    _line(flag, defaults) for flag in sorted(everyday, key=lambda f: _EVERYDAY.index(f.name))
  ]
  lines += ["", "Presets (--preset):"]
  lines += [_entry(name, preset.summary) for name, preset in presets.PRESETS.items()]
  lines += ["", "All other flags:"]
  lines += [_line(flag, defaults) for flag in others if len(flag.path) < 3]
  lines += ["", "Components; their options are flags too, such as --backbone.width=0.5:"]
  for kind in (*_COMPONENTS, "task", "quantizer"):
    for name in plugins.names(kind):
      plugin = plugins.find(kind, name)
      options = ", ".join(
        f"{key}{'' if option.required else f'={option.default}'}"
        for key, option in plugin.options.items()
      )
      lines.append(_entry(f"{kind} {name}", plugin.summary))
      if options:
        lines.append(_entry("", f"options: {options}"))
  lines += [
    "",
    "A quantizer is an option of a task, with its own options in parentheses:",
    "  --task.quantizer='uniform(bins=20)'",
    'A JSON file takes the same names: {"data": {"image_size": 64}, "color": "yuv"}.',
  ]
  return "\n".join(lines) + "\n"


def _line(flag: _Flag, defaults: dict[str, str]) -> str:
  default = defaults.get(flag.name, "")
  text = f"{flag.help} [{default}]" if default else flag.help
  return _entry(f"--{flag.name}", text)


def _entry(name: str, text: str) -> str:
  """A name in the left column, and its text, wrapped, in the right one."""
  wrapped = textwrap.wrap(text, 98 - _COLUMN) or [""]
  head = f"  {name}"
  lines = [head] if len(head) >= _COLUMN else [f"{head:<{_COLUMN}}{wrapped.pop(0)}"]
  return "\n".join([*lines, *(" " * _COLUMN + line for line in wrapped)])


def _defaults() -> dict[str, str]:
  config = presets.preset(presets.DEFAULT)
  found = {"preset": presets.DEFAULT, "workdir": "runs/PRESET", "task.name": "classification"}
  for flag in _all_flags():
    value: Any = config
    if flag.path and flag.path[0] != "task" and len(flag.path) < 3:
      for name in flag.path:
        value = getattr(value, name)
      if isinstance(value, tuple):
        value = ("; " if flag.name == "branches" else ",").join(
          f"{v:.4g}" if isinstance(v, float) else str(v) for v in value
        )
      found[flag.name] = str(value)
  return found


def _all_flags() -> Iterator[_Flag]:
  """The flags, in the order of the fields; those of no field have an empty path."""
  yield _Flag("workdir", "str", "The run's folder.", ())
  yield _Flag("preset", "str", "Where the configuration starts from.", ())
  yield _Flag("config", "str", "A JSON file that changes the preset.", ())
  yield from _field_flags(PretrainConfig, ())
  yield from _component_flags("task", "Task of every branch.")


def _field_flags(cls: type, path: tuple[str, ...]) -> Iterator[_Flag]:
  hints = typing.get_type_hints(cls)
  for field in dataclasses.fields(cls):
    here = (*path, field.name)
    if hints[field.name] in GROUPS:
      yield from _field_flags(hints[field.name], here)
    elif hints[field.name] is Component:
      yield from _component_flags(field.name, field.metadata["help"])
    else:
      hint = hints[field.name]
      name = field.metadata["flag"] or ".".join(here)
      yield _Flag(name, getattr(hint, "__name__", "tuple"), field.metadata["help"], here)


def _component_flags(kind: str, text: str) -> Iterator[_Flag]:
  known = plugins.names(kind)
  yield _Flag(f"{kind}.name", "str", f"{text} Known: {', '.join(known)}.", (kind, "name"))
  owners: dict[str, list[str]] = {}
  for name in known:
    for option in plugins.find(kind, name).options:
      owners.setdefault(option, []).append(name)
  for option, names in owners.items():
    text = f"Option of {', '.join(names)}."
    yield _Flag(f"{kind}.{option}", "option", text, (kind, "options", option))


def _resolve(given: dict[_Flag, Any]) -> PretrainConfig:
  """Preset, then file, then flags."""
  plain = {flag.name: value for flag, value in given.items() if not flag.path}
  config = presets.preset(plain.get("preset") or presets.DEFAULT)
  if plain.get("config"):
    config = config_json.from_json(_read_file(plain["config"]), base=config)
  task: dict[str, Any] = {}
  changes: dict[str, Any] = {}
  # In the order of `_all_flags`: a component's name, which makes its options start anew, is first.
  for flag, value in given.items():
    if not flag.path:
      continue
    if flag.path[0] == "task":
      task[flag.path[-1]] = value if flag.path[-1] == "name" else _option(value)
    elif flag.path[0] in _COMPONENTS:
      kind = flag.path[0]
      component = changes.get(kind, getattr(config, kind))
      if flag.path[1] == "name":
        changes[kind] = component if component.name == value else Component(value)
      else:
        options = {**component.options, flag.path[2]: _option(value)}
        changes[kind] = Component(component.name, options)
    elif len(flag.path) > 1:
      changes.setdefault(flag.path[0], {})[flag.path[1]] = _value(flag, value)
    else:
      changes[flag.path[0]] = _value(flag, value)
  changes = {k: config_json.to_plain(v) for k, v in changes.items()}
  config = config_json.from_json(changes, base=config)
  if task:
    config = dataclasses.replace(config, branches=_with_task(config.branches, **task))
  return config


def _with_task(
  branches: Sequence[Branch], *, name: str | None = None, **options: Any
) -> tuple[Branch, ...]:
  """The branches with another task, or with other options of those tasks that have them."""
  tasks = [b.task if name in (None, b.task.name) else Component(name) for b in branches]
  known = [plugins.find("task", task.name).options for task in tasks]
  # An option of none of them is given to all: validation names the right ones.
  common = {key for key in options if not any(key in each for each in known)}
  return tuple(
    dataclasses.replace(
      branch,
      task=Component(
        task.name,
        {**task.options, **{k: v for k, v in options.items() if k in each or k in common}},
      ),
    )
    for branch, task, each in zip(branches, tasks, known)
  )


def _value(flag: _Flag, text: Any) -> Any:
  """A flag's text as the JSON of its field."""
  try:
    if flag.name == "branches":
      return [part.strip() for part in text.split(";") if part.strip()]
    if flag.type == "tuple":
      return [ast.literal_eval(part.strip()) for part in text.split(",") if text]
    if flag.type in ("int", "float"):
      return {"int": int, "float": float}[flag.type](text)
  except (ValueError, SyntaxError):
    kind = {"int": "a whole number", "float": "a number"}.get(flag.type, "numbers, such as 1,2")
    raise FlagError(f"Expected --{flag.name} to be {kind}. Received: {text}") from None
  return text


def _option(text: str) -> Any:
  """An option's text as a JSON value: a literal where it reads as one, else the text."""
  try:
    return json.loads(text.lower() if text in ("True", "False", "None") else text)
  except ValueError:
    return None if text == "None" else text


def _read_file(path: str) -> dict[str, Any]:
  try:
    values = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
  except OSError as error:
    raise FlagError(f"Cannot read --config={path}: {error.strerror}.") from error
  except ValueError as error:
    raise FlagError(f"--config={path} is not JSON: {error}.") from error
  return values
