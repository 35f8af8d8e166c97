"""Recipes: what decides the weights that a method trains, whatever the photographs and the seed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sbae_tf import config_json
from sbae_tf.config import GROUPS, PretrainConfig

Json = Any

_OF_A_CELL = ("path", "heldout_path", "seed")
_LENGTHS = ("steps", "epochs")


def deciding(config: PretrainConfig, *, timed: bool) -> dict[str, Json]:
  """The part of a configuration that decides, as JSON has it.

  Args:
    config: a configuration.
    timed: whether it is trained for some minutes, and not for so many steps.
  """
  found = _deciding(config)
  return {k: v for k, v in found.items() if not (timed and k in _LENGTHS)}


def _deciding(config: Any) -> dict[str, Json]:
  found = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if isinstance(value, GROUPS):
      found[field.name] = _deciding(value)
    elif field.metadata.get("changes_result", True) and field.name not in _OF_A_CELL:
      found[field.name] = config_json.to_plain(value)
  return {name: value for name, value in found.items() if value != {}}


def digest(part: Mapping[str, Json], *, timed: bool) -> str:
  """The same for what trains the same.

  Args:
    part: as `deciding` gave it, of an earlier version of this package perhaps: fields that were
      not there then are taken to be as they are by default, as a run that resumes takes them.
    timed: as there.
  """
  with contextlib.suppress(ValueError):  # A field that is gone: a recipe of its own.
    part = deciding(config_json.from_json(part), timed=timed)
  text = json.dumps(part, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]
