"""Tests of configurations as JSON, and of what tells two of them apart."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from sbae_tf import config_json, presets
from sbae_tf.config import Branch, Component, DataConfig, PretrainConfig, ProbeConfig

# A value other than the default's for every field.
_OTHER = {
  "data.path": "photographs",
  "data.beside": "{stem}.png",
  "data.heldout_path": "others",
  "data.heldout_fraction": 0.2,
  "data.heldout_limit": 7,
  "data.image_size": 32,
  "data.crop_area": (0.5, 0.75),
  "data.crop_aspect": (1.0, 1.0),
  "data.flip": False,
  "data.turns": True,
  "data.embedded_crops": 9,
  "data.max_pixels": 1000,
  "data.max_skipped": 0.5,
  "data.service": "grpc://localhost:5050",
  "data.parallel_calls": 3,
  "color": Component("rgb"),
  "color_placement": "pipeline",
  "branches": (Branch(("L",), ("a", "b")),),
  "backbone": Component("simplenet", {"width": 0.5}),
  "aggregation": Component("my.aggregation"),
  "initialization": Component("kmeans"),
  "optimizer": Component("sgd"),
  "schedule": Component("constant"),
  "learning_rate": 0.25,
  "batch_size": 3,
  "epochs": 5,
  "steps": 11,
  "seed": 13,
  "strategy": "mirrored",
  "num_devices": 1,
  "precision": "mixed_bfloat16",
  "jit_compile": "true",
  "steps_per_execution": 4,
  "checkpoints_kept": 1,
  "checkpoint_minutes": 2.5,
  "log_seconds": 1.5,
  "panel_images": 2,
  "profile": (2, 3),
  "probe.path": "classes",
  "probe.test_path": "others",
  "probe.epochs": 5,
  "probe.limit": 100,
  "probe.layer": "conv3",
}

_GROUPS = {"data": DataConfig, "probe": ProbeConfig}

# Those that change no weight: a run may be resumed with another value.
_FREE = {
  "data.max_skipped",
  "data.service",
  "data.parallel_calls",
  "strategy",
  "num_devices",
  "jit_compile",
  "steps_per_execution",
  "checkpoints_kept",
  "checkpoint_minutes",
  "log_seconds",
  "panel_images",
  "profile",
  "probe.path",
  "probe.test_path",
  "probe.epochs",
  "probe.limit",
  "probe.layer",
}


def _changed(path: str, value: Any) -> PretrainConfig:
  group, dot, field = path.partition(".")
  return PretrainConfig(**{group: _GROUPS[group](**{field: value}) if dot else value})


def test_the_cases_are_all_fields() -> None:
  within = {f"{g}.{field.name}" for g, c in _GROUPS.items() for field in dataclasses.fields(c)}
  others = {field.name for field in dataclasses.fields(PretrainConfig)} - set(_GROUPS)
  assert set(_OTHER) == within | others
  for path, value in _OTHER.items():
    assert _changed(path, value) != PretrainConfig(), path


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_survives_json(name: str) -> None:
  config = presets.preset(name)
  plain = json.loads(config_json.dumps(config))
  other = PretrainConfig(data=DataConfig(image_size=8), epochs=99, seed=7)
  assert config_json.from_json(plain) == config
  assert config_json.from_json(plain, base=other) == config
  assert plain == config_json.to_plain(config)


@pytest.mark.parametrize("path", _OTHER)
def test_every_field_survives_json(path: str) -> None:
  config = _changed(path, _OTHER[path])
  assert config_json.from_json(json.loads(config_json.dumps(config))) == config


def test_weights_and_tasks_of_branches_survive_json() -> None:
  task = Component("classification", {"quantizer": "uniform(bins=20)"})
  branches = (Branch(("L",), ("a", "b"), task, weight=0.5), Branch(("a",), ("b",)))
  config = PretrainConfig(branches=branches)
  assert config_json.from_json(json.loads(config_json.dumps(config))) == config


@pytest.mark.parametrize("text", ["x(sizes=[1, 2])", "x(sizes=(1, 2))", "x(map={'a': (1, 2)})"])
def test_lists_in_options_survive_json(text: str) -> None:
  # Else a run of that configuration refuses to be resumed.
  config = PretrainConfig(backbone=Component.parse(text))
  assert config_json.from_json(json.loads(config_json.dumps(config))) == config


def test_dumps_ends_its_last_line() -> None:
  text = config_json.dumps(PretrainConfig())
  assert text.endswith("}\n")
  assert '\n  "epochs": 12,\n' in text


def test_a_part_changes_only_what_it_names() -> None:
  base = presets.preset("split_brain")
  config = config_json.from_json({"epochs": 3, "data": {"flip": False}}, base=base)
  assert config == dataclasses.replace(
    base, epochs=3, data=dataclasses.replace(base.data, flip=False)
  )
  assert config_json.from_json({}, base=base) == base
  assert config_json.from_json({}) == PretrainConfig()


def test_a_component_is_replaced_as_a_whole() -> None:
  base = presets.preset("split_brain")
  assert config_json.from_json({"backbone": "alexnet"}, base=base).backbone == Component("alexnet")


def test_text_forms() -> None:
  config = config_json.from_json(
    {
      "color": "rgb",
      "backbone": "simplenet(width=0.5)",
      "optimizer": {"name": "sgd"},
      "branches": [
        "R->G,B:regression",
        {"inputs": ["G", "B"], "targets": ["R"], "task": "classification(quantizer=rescaled)"},
        {"inputs": ["G"], "targets": ["R"], "weight": 2},
      ],
    }
  )
  assert config == PretrainConfig(
    color=Component("rgb"),
    backbone=Component("simplenet", {"width": 0.5}),
    optimizer=Component("sgd"),
    branches=(
      Branch(("R",), ("G", "B"), Component("regression")),
      Branch(("G", "B"), ("R",), Component("classification", {"quantizer": "rescaled"})),
      Branch(("G",), ("R",), weight=2.0),
    ),
  )


def test_a_whole_number_does_where_a_number_is_expected() -> None:
  rate = config_json.from_json({"learning_rate": 1}).learning_rate
  assert rate == 1.0
  assert isinstance(rate, float)


@pytest.mark.parametrize(
  ("values", "unknown", "known"),
  [
    ({"epoch": 3}, "`epoch`", "epochs, steps"),
    ({"image_size": 32}, "`image_size`", "data, color"),  # The flag's name; the field is data's.
    ({"data": {"size": 32}}, "`data.size`", "image_size"),
    ({"probe": {"every": 3}}, "`probe.every`", "path, test_path, epochs"),
  ],
)
def test_an_unknown_field_lists_the_known(values: Any, unknown: str, known: str) -> None:
  with pytest.raises(ValueError, match=f"^Unknown field {unknown}. Known: .*{known}"):
    config_json.from_json(values)


@pytest.mark.parametrize(
  ("values", "named"),
  [
    ({"epochs": "three"}, "epochs"),
    ({"epochs": 3.0}, "epochs"),
    ({"epochs": True}, "epochs"),
    ({"epochs": None}, "epochs"),
    ({"learning_rate": "fast"}, "learning_rate"),
    ({"learning_rate": True}, "learning_rate"),
    ({"strategy": 1}, "strategy"),
    ({"data": {"flip": 1}}, "data.flip"),
    ({"data": {"flip": "yes"}}, "data.flip"),
    ({"data": {"path": None}}, "data.path"),
    ({"data": {"crop_area": 0.5}}, "data.crop_area"),
    ({"data": {"crop_area": "0.5,1"}}, "data.crop_area"),
    ({"data": {"crop_area": ["a", 1]}}, "data.crop_area"),
    ({"data": []}, "data"),
    ({"data": 5}, "data"),
    ({"profile": [1]}, "profile"),
    ({"branches": "L->a"}, "branches"),
    ({"branches": {"L": "a"}}, "branches"),
    ({"branches": ["L->a", 5]}, "branches[1]"),
    ({"branches": [{"inputs": ["L"]}]}, "branches[0]"),
    ({"branches": [{"inputs": ["L"], "targets": ["a"], "wait": 1}]}, "branches[0]"),
    ({"branches": [{"inputs": ["L"], "targets": ["a"], "task": 5}]}, "branches[0].task"),
    ({"branches": [{"inputs": 5, "targets": ["a"]}]}, "branches[0]"),
    ({"branches": [{"inputs": [1], "targets": ["a"]}]}, "branches[0]"),
    ({"color": 5}, "color"),
    ({"color": None}, "color"),
    ({"color": {}}, "color"),
    ({"color": {"options": {}}}, "color"),
    ({"color": {"name": "lab", "depth": 3}}, "color"),
    ({"color": {"name": 5}}, "color"),
    ({"color": {"name": "lab", "options": 5}}, "color"),
    ({"color": {"name": "lab", "options": ["a"]}}, "color"),
    ({"color": {"name": "lab", "options": None}}, "color"),
  ],
)
def test_a_wrong_type_names_the_field(values: Any, named: str) -> None:
  with pytest.raises(ValueError, match="^Expected ") as error:
    config_json.from_json(values)
  assert f"`{named}" in str(error.value)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("values", [[], "epochs", 5, None, ["epochs"]])
def test_what_is_no_object_is_said(values: Any) -> None:
  with pytest.raises(ValueError, match="Expected an object for `the configuration`"):
    config_json.from_json(values)


@pytest.mark.parametrize(
  ("values", "named"),
  [({"epochs": -1}, "epochs"), ({"data": {"image_size": -1}}, "data.image_size")],
)
def test_ranges_are_checked(values: Any, named: str) -> None:
  with pytest.raises(ValueError, match=f"Expected `{named}`"):
    config_json.from_json(values)


@pytest.mark.parametrize("path", _OTHER)
def test_differences_show_just_the_field_that_differs(path: str) -> None:
  ours, theirs = _changed(path, _OTHER[path]), PretrainConfig()
  lines = config_json.differences(ours, theirs)
  if path in _FREE:
    assert lines == []
  else:
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}: ")
    shown, _, run = lines[0][len(path) + 2 :].partition(" (the run has ")
    assert shown != run[:-1], "both sides look the same"


def test_differences_show_both_values() -> None:
  ours = PretrainConfig(learning_rate=0.001, branches=(Branch(("L",), ("a",)),))
  theirs = PretrainConfig(
    backbone=Component("simplenet", {"width": 0.5}), data=DataConfig(crop_area=(0.5, 1.0))
  )
  assert config_json.differences(ours, theirs) == [
    "data.crop_area: 0.25; 1.0 (the run has 0.5; 1.0)",
    "branches: L->a:classification (the run has L->a,b:classification; a,b->L:classification)",
    "backbone: simplenet (the run has simplenet(width=0.5))",
    "learning_rate: 0.001 (the run has 0.0001)",
  ]


def test_differences_show_another_weight() -> None:
  ours, theirs = (
    PretrainConfig(branches=(Branch(("L",), ("a",), weight=weight),)) for weight in (2.0, 0.5)
  )
  (line,) = config_json.differences(ours, theirs)
  assert "2*L->a" in line
  assert "0.5" in line


def test_equal_configurations_do_not_differ() -> None:
  for name in presets.PRESETS:
    assert config_json.differences(presets.preset(name), presets.preset(name)) == []
  one, two = (PretrainConfig(backbone=Component("simplenet", {"width": w})) for w in (1, 1.0))
  assert config_json.differences(one, two) == []
