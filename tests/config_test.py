"""Tests of the configuration's dataclasses: what they hold, and every check of theirs."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from typing import Any

import pytest

from sbae_tf.config import (
  GROUPS,
  Branch,
  Component,
  DataConfig,
  PretrainConfig,
  ProbeConfig,
  group_name,
)

_TEXTS = [
  ("lab", "lab", {}),
  ("my_package.my_space", "my_package.my_space", {}),
  ("simplenet()", "simplenet", {}),
  ("  simplenet( width = 0.5 ) ", "simplenet", {"width": 0.5}),
  ("sgd(momentum=0.9, nesterov=True)", "sgd", {"momentum": 0.9, "nesterov": True}),
  ("adam(weight_decay=None)", "adam", {"weight_decay": None}),
  ("x(low=-1, name='a b', list=[1, 2])", "x", {"low": -1, "name": "a b", "list": [1, 2]}),
  ("x(map={'a': [1, None]})", "x", {"map": {"a": [1, None]}}),
  ("classification(quantizer=rescaled)", "classification", {"quantizer": "rescaled"}),
  (
    "classification(quantizer=uniform(bins=20), temperature=1)",
    "classification",
    {"quantizer": "uniform(bins=20)", "temperature": 1},
  ),
  ("my.task(quantizer=my.bins(bins=2))", "my.task", {"quantizer": "my.bins(bins=2)"}),
]


@pytest.mark.parametrize(("text", "name", "options"), _TEXTS)
def test_component_parse(text: str, name: str, options: dict[str, Any]) -> None:
  component = Component.parse(text)
  assert component.name == name
  assert dict(component.options) == options
  assert all(type(v) is type(options[k]) for k, v in component.options.items())


@pytest.mark.parametrize("text", [text for text, _, _ in _TEXTS])
def test_component_text_round_trip(text: str) -> None:
  component = Component.parse(text)
  assert Component.parse(str(component)) == component


def test_component_text_is_as_documented() -> None:
  assert str(Component("lab")) == "lab"
  assert str(Component("simplenet", {"width": 0.5})) == "simplenet(width=0.5)"


def test_component_parse_keeps_a_nested_component_as_text() -> None:
  quantizer = Component.parse("classification(quantizer=uniform(bins=50))").options["quantizer"]
  assert quantizer == "uniform(bins=50)"
  assert Component.parse(quantizer) == Component("uniform", {"bins": 50})


def test_component_parse_keeps_a_nested_dotted_name_as_text() -> None:
  component = Component.parse("classification(quantizer=my_package.my_bins)")
  assert component == Component("classification", {"quantizer": "my_package.my_bins"})


@pytest.mark.parametrize(
  "text",
  [
    "",
    " ",
    "5",
    "None",
    "'lab'",
    "lab yuv",
    "lab, yuv",
    "simplenet(",
    "simplenet(0.5)",
    "simplenet(0.5, width=1)",
    "simplenet(width=)",
    "simplenet(width=1+x)",
    "simplenet(width=[x])",
    "a = b",
    "a; b",
    "a-b",
    "x[0]",
    "lab\0",
  ],
)
def test_component_parse_names_what_is_no_component(text: str) -> None:
  with pytest.raises(ValueError, match="Expected a component such as 'name'") as error:
    Component.parse(text)
  assert f"Received: '{text}'." in str(error.value)


@pytest.mark.parametrize("text", ["sgd(**{'momentum': 0.5})", "sgd(momentum=0.5, momentum=0.9)"])
def test_component_parse_drops_no_option_silently(text: str) -> None:
  with pytest.raises(ValueError, match="Expected a component"):
    Component.parse(text)


def test_component_is_immutable() -> None:
  options = {"width": 0.5}
  component = Component("simplenet", options)
  options["width"] = 1.0
  assert component.options == {"width": 0.5}
  with pytest.raises(TypeError):
    component.options["width"] = 1.0  # type: ignore[index]
  with pytest.raises(dataclasses.FrozenInstanceError):
    component.name = "alexnet"  # type: ignore[misc]


def test_component_equality_and_hash() -> None:
  a = Component("sgd", {"momentum": 0.9, "nesterov": True})
  b = Component("sgd", {"nesterov": True, "momentum": 0.9})
  assert a == b
  assert hash(a) == hash(b)
  assert a != Component("sgd", {"momentum": 0.9})
  assert a != Component("adam", a.options)
  assert len({a, b, Component("sgd")}) == 2


def test_component_of_nested_options_has_a_hash() -> None:
  a, b = (Component("x", {"list": [1, {"a": None}]}) for _ in range(2))
  assert hash(a) == hash(b)


@pytest.mark.parametrize(("a", "b"), [(1, 1.0), (1, True)])
def test_equal_components_have_equal_hashes(a: Any, b: Any) -> None:
  # `--backbone.width=1` and a preset's 1.0 are equal, so must be one key of a dict.
  first, second = Component("simplenet", {"width": a}), Component("simplenet", {"width": b})
  assert first == second
  assert hash(first) == hash(second)


@pytest.mark.parametrize(
  "value",
  [
    Component("simplenet", {"width": 0.5, "list": [1, 2]}),
    Branch(("L",), ("a", "b"), Component("regression"), weight=2.0),
    PretrainConfig(backbone=Component("alexnet", {"width": 0.5})),
  ],
)
def test_pickle_and_deepcopy_give_equals(value: Any) -> None:
  for other in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value), copy.copy(value)):
    assert other == value
    assert hash(other) == hash(value)
  assert isinstance(value, type(copy.deepcopy(value)))


def test_deepcopy_of_a_component_shares_no_options() -> None:
  component = Component("x", {"list": [1, 2]})
  assert copy.deepcopy(component).options["list"] is not component.options["list"]


def test_a_pickled_component_stays_immutable() -> None:
  component = pickle.loads(pickle.dumps(Component("x", {"a": 1})))
  with pytest.raises(TypeError):
    component.options["a"] = 2


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("L->a,b", Branch(("L",), ("a", "b"))),
    (" a , b -> L ", Branch(("a", "b"), ("L",))),
    ("L->a,b:regression", Branch(("L",), ("a", "b"), Component("regression"))),
    (
      "L->a,b: classification(quantizer=uniform(bins=20))",
      Branch(("L",), ("a", "b"), Component("classification", {"quantizer": "uniform(bins=20)"})),
    ),
    ("depth->L", Branch(("depth",), ("L",))),
  ],
)
def test_branch_parse(text: str, expected: Branch) -> None:
  branch = Branch.parse(text)
  assert branch == expected
  assert Branch.parse(str(branch)) == branch


def test_branch_text_is_as_documented() -> None:
  assert str(Branch(("L",), ("a", "b"))) == "L->a,b:classification"


def test_branch_of_another_weight_has_another_text() -> None:
  # What tells two configurations apart is shown by this text.
  assert str(Branch(("L",), ("a",), weight=2.0)) != str(Branch(("L",), ("a",), weight=1.0))


def test_branch_defaults() -> None:
  branch = Branch(["L"], ["a", "b"])  # type: ignore[arg-type]
  assert branch.inputs == ("L",)
  assert branch.targets == ("a", "b")
  assert branch.task == Component("classification")
  assert branch.weight == 1.0
  assert len({branch, Branch(("L",), ("a", "b"))}) == 1


@pytest.mark.parametrize(
  ("inputs", "targets", "name"),
  [
    (("L",), ("a", "b"), "L->ab"),
    (("a", "b"), ("L",), "ab->L"),
    (("L", "a", "b"), ("depth",), "Lab->depth"),
    (("height", "angle"), ("L",), "height,angle->L"),
    (("L", "depth"), ("a",), "L,depth->a"),
  ],
)
def test_branch_name(inputs: tuple[str, ...], targets: tuple[str, ...], name: str) -> None:
  assert Branch(inputs, targets).name == name
  assert f"{group_name(inputs)}->{group_name(targets)}" == name


@pytest.mark.parametrize(
  "text", ["", "L", "L->", "->L", "L,->,", "L-a", "L-->", "L=>a", ":regression"]
)
def test_branch_parse_names_what_is_no_branch(text: str) -> None:
  with pytest.raises(ValueError, match="Expected a branch such as 'L->a,b'") as error:
    Branch.parse(text)
  assert f"'{text}'" in str(error.value)


def test_branch_parse_names_a_bad_task() -> None:
  with pytest.raises(ValueError, match=r"Expected a component.*'regression\('"):
    Branch.parse("L->a:regression(")


@pytest.mark.parametrize("side", ["inputs", "targets"])
@pytest.mark.parametrize("channels", [(), ("a", "a")])
def test_branch_names_bad_channels(side: str, channels: tuple[str, ...]) -> None:
  sides: dict[str, Any] = {"inputs": ("L",), "targets": ("L",), side: channels}
  with pytest.raises(ValueError, match=f"Expected `{side}` of a branch") as error:
    Branch(**sides)
  assert str(channels) in str(error.value)


@pytest.mark.parametrize("weight", [0, -1.0, math.nan, math.inf, "heavy", None])
def test_branch_names_a_bad_weight(weight: Any) -> None:
  with pytest.raises(ValueError, match="`weight of a branch`") as error:
    Branch(("L",), ("a",), weight=weight)
  assert str(weight) in str(error.value)


_POSITIVE_INTEGERS = [0, -1, 1.5, "many", None]
_POSITIVES = [0, -1.0, math.nan, math.inf, "much", None]
_NOT_NEGATIVE = [-1, 0.5, "none", None]

_BAD_DATA = [
  *[("beside", value) for value in ("depth.png", "{stem}.png;", "{stem}/{channel}.png")],
  *[("heldout_limit", value) for value in _POSITIVE_INTEGERS],
  *[("image_size", value) for value in _POSITIVE_INTEGERS],
  *[("embedded_crops", value) for value in _POSITIVE_INTEGERS],
  *[("max_pixels", value) for value in _POSITIVE_INTEGERS],
  *[("max_skipped", value) for value in (-0.1, 1.1, math.nan)],
  *[("parallel_calls", value) for value in _NOT_NEGATIVE],
  *[("heldout_fraction", value) for value in (0, 1, -0.1, 1.1, math.nan, math.inf)],
  *[
    (name, value)
    for name in ("crop_area", "crop_aspect")
    for value in (
      (0.0, 1.0),
      (-0.5, 0.5),
      (0.9, 0.8),
      (math.nan, 1.0),
      (0.5, math.nan),
      (0.5,),
      (0.1, 0.2, 0.3),
      (),
      ("a", "b"),
      (None, 1.0),
    )
  ],
  ("crop_area", (0.5, 1.01)),
  ("crop_aspect", (1.0, math.inf)),
]

_BAD_PROBE = [(name, value) for name in ("epochs", "limit") for value in _POSITIVE_INTEGERS]

_BAD_PRETRAIN = [
  *[("batch_size", value) for value in _POSITIVE_INTEGERS],
  *[("epochs", value) for value in (-1, 2.5, "1", True)],
  *[("checkpoints_kept", value) for value in _POSITIVE_INTEGERS],
  *[("panel_images", value) for value in _POSITIVE_INTEGERS],
  *[("learning_rate", value) for value in _POSITIVES],
  *[("log_seconds", value) for value in _POSITIVES],
  *[("checkpoint_minutes", value) for value in _POSITIVES],
  *[("steps", value) for value in _NOT_NEGATIVE],
  *[("num_devices", value) for value in (*_NOT_NEGATIVE, 2)],  # Two are for `mirrored`.
  *[("precision", value) for value in ("", "bfloat16", "float16", None)],
  *[("seed", value) for value in (*_NOT_NEGATIVE, 2**32)],  # NumPy takes 32 bits.
  *[("profile", value) for value in ((0, 3), (-1, 3), (4, 3), (1,), (1, 2, 3), (1.5, 2), ("a", 2))],
  *[("strategy", value) for value in ("", "gpu", "Default", None)],
  *[("jit_compile", value) for value in ("", "True", True, None)],
  *[("steps_per_execution", value) for value in _POSITIVE_INTEGERS],
  *[("color_placement", value) for value in ("", "host", None)],
  ("branches", ()),
  ("branches", (Branch(("L",), ("a",)), Branch(("L",), ("a",), weight=2.0))),
]


def _received(value: Any) -> str:
  """The part of a bad value that a message has to show."""
  return str(value[0] if isinstance(value, tuple) and value else value)


@pytest.mark.parametrize(("field", "value"), _BAD_DATA)
def test_data_config_names_a_bad_field(field: str, value: Any) -> None:
  with pytest.raises(ValueError, match=f"^Expected `data.{field}` ") as error:
    DataConfig(**{field: value})
  assert _received(value) in str(error.value)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(("field", "value"), _BAD_PROBE)
def test_probe_config_names_a_bad_field(field: str, value: Any) -> None:
  with pytest.raises(ValueError, match=f"^Expected `probe.{field}` ") as error:
    ProbeConfig(**{field: value})
  assert _received(value) in str(error.value)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(("field", "value"), _BAD_PRETRAIN)
def test_pretrain_config_names_a_bad_field(field: str, value: Any) -> None:
  with pytest.raises(ValueError, match=rf"^Expected .*`{field}`") as error:
    PretrainConfig(**{field: value})
  if field != "branches":
    assert _received(value) in str(error.value)
  assert "\n" not in str(error.value)


def test_a_data_service_reads_nothing_beside_photographs() -> None:
  with pytest.raises(ValueError, match="Expected no `data.service` with `data.beside`"):
    DataConfig(beside="{stem}.png", service="grpc://localhost:5050")


def test_branches_of_one_name_are_named() -> None:
  with pytest.raises(ValueError, match="or task. Received: L->ab:classification; L->ab:classif"):
    PretrainConfig(branches=(Branch(("L",), ("a", "b")),) * 2)


@pytest.mark.parametrize(
  ("branches", "names"),
  [
    ("L->a,b; a,b->L", ["L->ab", "ab->L"]),
    ("L->a,b; a,b->L:regression; L->b,a", ["L->ab", "ab->L", "L->ba"]),
    # Of the same channels: with the task, and with its options where that is not enough.
    (
      "L->a,b; a,b->L; 2*L->a,b:regression",
      ["L->ab:classification", "ab->L", "L->ab:regression"],
    ),
    (
      "L->a,b; L->a,b:classification(temperature=0.5); L->a,b:regression",
      [
        "L->ab:classification",
        "L->ab:classification(temperature=0.5)",
        "L->ab:regression",
      ],
    ),
  ],
)
def test_names_of_branches(branches: str, names: list[str]) -> None:
  config = PretrainConfig(branches=tuple(map(Branch.parse, branches.split(";"))))
  assert list(config.branch_names) == names


def test_a_weight_in_text_is_exact() -> None:
  for weight in (1 / 3, 200.0, 1 - 2 / 3, 1e-7):
    branch = Branch(("L",), ("a",), weight=weight)
    assert Branch.parse(str(branch)) == branch
  assert str(Branch(("L",), ("a",), weight=200.0)).startswith("200*L")


def test_every_field_is_checked_by_a_case() -> None:
  # So that a new number comes with its range check: texts, switches and plug-ins are left.
  unchecked = {"path", "heldout_path", "flip", "turns", "service"}
  assert {field for field, _ in _BAD_DATA} == _names(DataConfig) - unchecked
  assert {field for field, _ in _BAD_PROBE} == _names(ProbeConfig) - {"path", "test_path", "layer"}
  parts = {"data", "probe", "color", "backbone", "aggregation"}
  parts |= {"initialization", "optimizer", "schedule"}
  assert {field for field, _ in _BAD_PRETRAIN} == _names(PretrainConfig) - parts


def _names(config: type) -> set[str]:
  return {field.name for field in dataclasses.fields(config)}


@pytest.mark.parametrize(
  ("config", "field", "value"),
  [
    (DataConfig, "beside", "../{folder}_depth/{stem}.png; {name}.npy"),
    (DataConfig, "image_size", 1),
    (DataConfig, "heldout_limit", 1),
    (DataConfig, "embedded_crops", 1),
    (DataConfig, "parallel_calls", 0),
    (DataConfig, "heldout_fraction", 0.999),
    (DataConfig, "crop_area", (1.0, 1.0)),
    (DataConfig, "crop_area", (1e-6, 1.0)),
    (DataConfig, "crop_aspect", (2.0, 3.0)),
    (ProbeConfig, "epochs", 1),
    (ProbeConfig, "limit", 1),
    (PretrainConfig, "batch_size", 1),
    (PretrainConfig, "epochs", 0),
    (PretrainConfig, "steps", 0),
    (PretrainConfig, "seed", 0),
    (PretrainConfig, "seed", 2**32 - 1),
    (PretrainConfig, "profile", ()),
    (PretrainConfig, "profile", (1, 1)),
    (PretrainConfig, "learning_rate", 1),
    (PretrainConfig, "strategy", "mirrored"),
    (PretrainConfig, "strategy", "one_device"),
    (PretrainConfig, "strategy", "multi_worker_mirrored"),
    (PretrainConfig, "strategy", "tpu"),
    (PretrainConfig, "jit_compile", "false"),
    (PretrainConfig, "steps_per_execution", 1),
    (PretrainConfig, "num_devices", 1),
    (PretrainConfig, "precision", "mixed_float16"),
    (PretrainConfig, "color_placement", "pipeline"),
  ],
)
def test_the_edges_of_the_ranges_are_valid(config: type, field: str, value: Any) -> None:
  assert getattr(config(**{field: value}), field) == value


def test_defaults_are_valid_and_immutable() -> None:
  config = PretrainConfig()
  assert config == PretrainConfig(data=DataConfig(), probe=ProbeConfig())
  assert [branch.name for branch in config.branches] == ["L->ab", "ab->L"]
  with pytest.raises(dataclasses.FrozenInstanceError):
    config.epochs = 3  # type: ignore[misc]
  with pytest.raises(dataclasses.FrozenInstanceError):
    config.data.image_size = 32  # type: ignore[misc]


def test_lists_become_tuples() -> None:
  config = PretrainConfig(branches=[Branch(("L",), ("a",))], profile=[2, 3])  # type: ignore[arg-type]
  assert config.branches == (Branch(("L",), ("a",)),)
  assert config.profile == (2, 3)
  assert DataConfig(crop_area=[1, 1]).crop_area == (1.0, 1.0)  # type: ignore[arg-type]
  hash(config)


def test_every_field_says_what_it_is() -> None:
  for config in (PretrainConfig, *GROUPS):
    for field in dataclasses.fields(config):
      if field.name not in ("data", "probe"):
        assert field.metadata["help"].endswith("."), field.name
