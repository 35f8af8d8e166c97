"""Flags of the protocols, generated from their options; and their help. Imports no TensorFlow."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from typing import Any

from sbae_tf import plugins
from sbae_tf.config import Component
from sbae_tf.plugins import Option, Plugin

_COLUMN = 16  # Where the texts of --help begin.


def chosen(arguments: Sequence[str], *, default: str) -> list[Plugin]:
  """The protocols that `--protocol` asks for.

  Args:
    arguments: a whole command line's.
    default: without `--protocol`.

  Raises:
    ValueError: none, one twice, or one is unknown; or a flag is an option of another one.
  """
  parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
  # Without a value: the command line's own parser says so.
  parser.add_argument("--protocol", nargs="?", default=default, const=default)
  names = parser.parse_known_args(arguments)[0].protocol.split(",")
  names = [name.strip() for name in names if name.strip()]
  known = plugins.names("protocol")
  if not names or len(set(names)) < len(names):
    raise ValueError(
      f"Expected --protocol of {', '.join(known)}, each once. Received: "
      f"{', '.join(names) or 'none'}"
    )
  found = [plugins.find("protocol", name) for name in names]
  for argument in arguments:
    owner = argument.partition("=")[0].rpartition(".")[0].lstrip("-")
    if argument.startswith("--") and owner in known and owner not in names:
      raise ValueError(
        f"{argument} is an option of {owner}, which is not run. Add it to --protocol"
      )
  return found


def add_options(parser: argparse.ArgumentParser, protocols: Sequence[Plugin]) -> None:
  """Adds the protocols' options as flags, such as `--knn.k`; `help_text` is their help."""
  for plugin in protocols:
    for key in plugin.options:
      parser.add_argument(f"--{plugin.name}.{key}", help=argparse.SUPPRESS)


def components(flags: argparse.Namespace, protocols: Sequence[Plugin]) -> list[Component]:
  """The protocols with the options that were given.

  Raises:
    ValueError: an option is of another type.
  """
  found = []
  for plugin in protocols:
    texts = {key: getattr(flags, f"{plugin.name}.{key}") for key in plugin.options}
    given = {k: _value(text, plugin.options[k]) for k, text in texts.items() if text is not None}
    plugin.check(given)
    found.append(Component(plugin.name, given))
  return found


def help_text() -> str:
  """The protocols with their options and defaults."""
  lines = ["Protocols; their options are flags, too, such as --few_shot.draws=3:"]
  for name in plugins.names("protocol"):
    plugin = plugins.find("protocol", name)
    lines += _entry(name, plugin.summary)
    options = " ".join(
      f"{key}={'' if option.required else option.default}" for key, option in plugin.options.items()
    )
    lines += _entry("", f"options: {options}") if options else []
  return "\n".join(lines)


def _value(text: str, option: Option) -> Any:
  """An option's text as its value. `Plugin.check` refuses what is of another type."""
  if text in ("None", "null") and "None" in option.type:
    return None
  if "str" in option.type:
    return text
  try:
    return json.loads(text.lower() if text in ("True", "False") else text)
  except ValueError:
    return text


def _entry(name: str, text: str) -> list[str]:
  """A name in the left column, and its text, wrapped, in the right one."""
  first, *rest = textwrap.wrap(text, 98 - _COLUMN, break_long_words=False)
  return [f"  {name:<{_COLUMN - 2}}{first}", *(" " * _COLUMN + line for line in rest)]
