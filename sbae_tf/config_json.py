"""A configuration to JSON and back, and the differences between two of them."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any

from sbae_tf.config import GROUPS, Branch, Component, Json, PretrainConfig


def dumps(config: PretrainConfig) -> str:
  """As indented JSON text."""
  return json.dumps(to_plain(config), indent=2) + "\n"


def from_json(
  values: Mapping[str, Json], *, base: PretrainConfig = PretrainConfig()
) -> PretrainConfig:
  """Reads nested mappings.

  Args:
    values: as `to_plain` gives, or a part of it. Components and branches may also be in their text
      forms, such as `"simplenet(width=0.5)"` and `"L->a,b"`.
    base: what the fields that `values` leaves out keep.

  Raises:
    ValueError: a field is unknown (lists the right ones), of the wrong type, or out of range.
  """
  return _from_json(base, values, prefix="")


def differences(ours: PretrainConfig, theirs: PretrainConfig) -> list[str]:
  """The fields in which two configurations would train different weights.

  Returns:
    Lines such as `learning_rate: 0.001 (the run has 0.0001)`; empty where there are none.
  """
  return _differences(ours, theirs, prefix="")


def _differences(ours: Any, theirs: Any, *, prefix: str) -> list[str]:
  lines = []
  for field in dataclasses.fields(ours):
    a, b = getattr(ours, field.name), getattr(theirs, field.name)
    if isinstance(a, GROUPS):
      lines += _differences(a, b, prefix=f"{field.name}.")
    elif a != b and field.metadata["changes_result"]:
      lines.append(f"{prefix}{field.name}: {_brief(a)} (the run has {_brief(b)})")
  return lines


def _brief(value: Any) -> str:
  return "; ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def to_plain(value: Any) -> Json:
  """A configuration or a value in one, as the nested dicts and lists that `from_json` reads."""
  if isinstance(value, Component):
    return {"name": value.name, "options": to_plain(value.options)}
  if dataclasses.is_dataclass(value):
    return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
  if isinstance(value, Mapping):
    return {k: to_plain(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return [to_plain(v) for v in value]
  return value


def _from_json(base: Any, values: Mapping[str, Json], *, prefix: str) -> Any:
  if not isinstance(values, Mapping):
    raise ValueError(f"Expected an object for `{prefix or 'the configuration'}`. Got {values!r}.")
  known = {f.name: f for f in dataclasses.fields(base)}
  hints = typing.get_type_hints(type(base)) if dataclasses.is_dataclass(base) else {}
  changes = {}
  for key, value in values.items():
    if key not in known:
      raise ValueError(f"Unknown field `{prefix}{key}`. Known: {', '.join(known)}.")
    current = getattr(base, key)
    changes[key] = _read(current, value, path=f"{prefix}{key}", scalar=hints.get(key))
  return dataclasses.replace(base, **changes)


def _read(current: Any, value: Json, *, path: str, scalar: Any) -> Any:
  """Reads one field's JSON to the type of its current value."""
  if isinstance(current, Component):
    return _read_component(value, path)
  if isinstance(current, GROUPS):
    return _from_json(current, value, prefix=f"{path}.")
  if isinstance(current, tuple):
    if not isinstance(value, (list, tuple)):
      raise ValueError(f"Expected a list for `{path}`. Received: {value!r}.")
    if path == "branches":
      return tuple(_read_branch(item, f"{path}[{i}]") for i, item in enumerate(value))
    return tuple(value)
  if scalar is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  if scalar in (int, float, str, bool) and type(value) is not scalar:
    raise ValueError(f"Expected `{path}` to be of type {scalar.__name__}. Received: {value!r}.")
  return value


def _read_component(value: Json, path: str) -> Component:
  if isinstance(value, str):
    return Component.parse(value)
  if not isinstance(value, Mapping) or set(value) - {"name", "options"} or "name" not in value:
    raise ValueError(f"Expected `{path}` to be a name or to have name and options. Got {value!r}.")
  try:
    return Component(value["name"], value.get("options", {}))
  except ValueError as error:
    raise ValueError(f"{error} Given for `{path}`.") from error


def _read_branch(value: Json, path: str) -> Branch:
  if isinstance(value, str):
    return Branch.parse(value)
  known = [f.name for f in dataclasses.fields(Branch)]
  if not isinstance(value, Mapping) or not {"inputs", "targets"} <= set(value) <= set(known):
    raise ValueError(f"Expected `{path}` to have {', '.join(known)}. Received: {value!r}.")
  values = dict(value)
  if "task" in values:
    values["task"] = _read_component(values["task"], f"{path}.task")
  try:
    return Branch(**values)
  except ValueError as error:
    raise ValueError(f"{error} Given for `{path}`.") from error
