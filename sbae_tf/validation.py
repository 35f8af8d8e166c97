"""Checks a configuration against the components' modules, before TensorFlow is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sbae_tf import plugins
from sbae_tf.config import Branch, Component, Json, PretrainConfig


def validate(config: PretrainConfig) -> None:
  """Checks that all components, options and channels exist and fit each other.

  Raises:
    ValueError: one line that names the field and what would be right.
  """
  for kind in ("color", "backbone", "aggregation", "initialization", "optimizer", "schedule"):
    component: Component = getattr(config, kind)
    _check_component(kind, component.name, component.options)
  channels = _channels(config.color)
  _check_beside(config)
  for branch in config.branches:
    _check_component("task", branch.task.name, branch.task.options)
    _check_channels(branch, channels, config.color.name)
    _check_bins(branch)
    if "VIEWS" in plugins.find("task", branch.task.name).constants:
      _check_views(branch, config.color_placement)
  stride = _constant("backbone", config.backbone.name, "STRIDE")
  size = config.data.image_size
  if size % stride:
    near = max(stride, size // stride * stride)
    raise ValueError(
      f"Expected `image_size` to be a multiple of {stride}, the stride of backbone "
      f"'{config.backbone.name}', such as {near} or {near + stride}. Received: {size}."
    )
  layers = (*_constant("backbone", config.backbone.name, "FEATURES"), "embedding")
  if config.probe.layer not in layers:
    raise ValueError(
      f"Expected `probe.layer` one of {', '.join(layers)}. Received: {config.probe.layer}."
    )


def remarks(config: PretrainConfig) -> list[str]:
  """What is allowed but hardly meant, each in a line."""
  return [
    f"Branch {branch.name} predicts its own input: without corruption or a bottleneck that is "
    "trivial, and its features will be worth little."
    for branch in config.branches
    if set(branch.inputs) & set(branch.targets)
    and not {"VIEWS", "CORRUPTS"} & set(plugins.find("task", branch.task.name).constants)
  ]


def _constant(kind: str, name: str, constant: str) -> Any:
  """A literal that every module of a kind has."""
  plugin = plugins.find(kind, name)
  if constant not in plugin.constants:
    raise ValueError(
      f"{kind} '{name}': expected its module {plugin.module} to have a literal {constant}."
    )
  return plugin.constants[constant]


def _channels(color: Component) -> tuple[str, ...]:
  """The names of a color space's channels: its literal, and those that its option names."""
  channels = tuple(_constant("color", color.name, "CHANNELS"))
  options = plugins.find("color", color.name).options
  if "bands" not in options:
    return channels
  bands = color.options.get("bands", options["bands"].default)
  return (*channels, *(band.partition(":")[0].strip() for band in bands.split(",")))


def _check_beside(config: PretrainConfig) -> None:
  """Checks that it is said where that lies which the color space wants beside photographs."""
  wanted = plugins.find("color", config.color.name).constants.get("BESIDE")
  if wanted and not config.data.beside:
    raise ValueError(
      f"Color space '{config.color.name}' needs {wanted} beside each photograph. Expected "
      "`data.beside` to say where, such as --data.beside='../depth/{stem}.png'."
    )
  for branch in config.branches:
    if wanted and "VIEWS" in plugins.find("task", branch.task.name).constants:
      raise ValueError(
        f"Branch {branch.name}: task '{branch.task.name}' makes views of photographs alone, and "
        f"color space '{config.color.name}' has more."
      )


def _check_component(kind: str, name: str, options: Mapping[str, Json]) -> None:
  plugin = plugins.find(kind, name)
  plugin.check(options)
  for key in plugin.options:
    if key in plugins.KINDS:  # An option that is itself a component, in text form.
      nested = Component.parse(options.get(key, plugin.options[key].default))
      _check_component(key, nested.name, nested.options)


def _check_channels(branch: Branch, channels: tuple[str, ...], color: str) -> None:
  for channel in (*branch.inputs, *branch.targets):
    if channel not in channels:
      raise ValueError(
        f"Branch {branch.name}: color space '{color}' has no channel '{channel}', it has "
        f"{', '.join(channels)}. Set --branches, such as "
        f"--branches='{channels[0]}->{','.join(channels[1:])}; "
        f"{','.join(channels[1:])}->{channels[0]}'."
      )


def _check_bins(branch: Branch) -> None:
  """Checks a quantizer that is for certain channels, which its module names as CHANNELS."""
  options = plugins.find("task", branch.task.name).options
  if "quantizer" not in options:
    return
  name = Component.parse(branch.task.options.get("quantizer", options["quantizer"].default)).name
  targets = plugins.find("quantizer", name).constants.get("CHANNELS", branch.targets)
  if tuple(targets) != branch.targets:
    raise ValueError(
      f"Branch {branch.name}: quantizer '{name}' has bins of {','.join(targets)} alone. Give it to "
      f"the branch that predicts them, by --branches with a task to each, such as "
      f"'L->{','.join(targets)}:{branch.task.name}(quantizer={name})'."
    )


def _check_views(branch: Branch, color_placement: str) -> None:
  """Checks a branch whose task makes views of photographs, and predicts no channels."""
  task = branch.task.name
  if set(branch.inputs) != set(branch.targets):
    raise ValueError(
      f"Branch {branch.name}: task '{task}' predicts no channels. Expected the same on both sides, "
      f"such as '{','.join(branch.inputs)}->{','.join(branch.inputs)}:{task}'."
    )
  if color_placement != "device":
    raise ValueError(
      f"Expected `color_placement` 'device' with task '{task}': it makes views of the photographs "
      f"in the step, before color. Received: '{color_placement}'."
    )
