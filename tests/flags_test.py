"""Tests of the command line's flags: what decides, what is reset, and what a mistake says."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import sbae_tf
from sbae_tf import flags, plugins, presets
from sbae_tf.config import GROUPS, Branch, Component, PretrainConfig

_EVERYDAY = (
  "data workdir preset config epochs steps batch_size image_size learning_rate seed strategy"
).split()


def _config(*arguments: str) -> PretrainConfig:
  return flags.parse(arguments)[0]


def _fields(cls: type = PretrainConfig, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
  """Every field that is not itself a dataclass of fields: its path, its flag and its type."""
  hints = typing.get_type_hints(cls)
  for field in dataclasses.fields(cls):
    here = (*path, field.name)
    if hints[field.name] in GROUPS:
      yield from _fields(hints[field.name], here)
    elif hints[field.name] is Component:
      yield here, f"{field.name}.name", Component
    else:
      yield here, field.metadata["flag"] or ".".join(here), hints[field.name]


_FIELDS = list(_fields())

# A text other than the default's, and what it is read to.
_OTHER = {
  "data": ("photographs/*", "photographs/*"),
  "data.beside": ("../d/{stem}.png", "../d/{stem}.png"),
  "data.heldout_path": ("others", "others"),
  "data.heldout_fraction": ("0.25", 0.25),
  "data.heldout_limit": ("7", 7),
  "image_size": ("32", 32),
  "data.crop_area": ("0.4,1", (0.4, 1.0)),
  "data.crop_aspect": ("1,1.5", (1.0, 1.5)),
  "data.flip": ("false", False),
  "data.turns": ("true", True),
  "data.embedded_crops": ("100", 100),
  "data.max_pixels": ("1000", 1000),
  "data.max_skipped": ("0.5", 0.5),
  "data_service": ("grpc://localhost:5050", "grpc://localhost:5050"),
  "data.parallel_calls": ("2", 2),
  "color.name": ("sbae_tf.color.lab", Component("sbae_tf.color.lab")),
  "color_placement": ("pipeline", "pipeline"),
  "branches": ("L->a", (Branch(("L",), ("a",)),)),
  "backbone.name": ("resnet18", Component("resnet18")),
  "aggregation.name": ("sbae_tf.aggregation.concat", Component("sbae_tf.aggregation.concat")),
  "initialization.name": ("random", Component("random")),
  "optimizer.name": ("sgd", Component("sgd")),
  "schedule.name": ("constant", Component("constant")),
  "learning_rate": ("1e-3", 0.001),
  "batch_size": ("8", 8),
  "epochs": ("3", 3),
  "steps": ("10", 10),
  "seed": ("5", 5),
  "strategy": ("mirrored", "mirrored"),
  "num_devices": ("1", 1),
  "precision": ("mixed_bfloat16", "mixed_bfloat16"),
  "jit_compile": ("true", "true"),
  "steps_per_execution": ("10", 10),
  "checkpoints_kept": ("1", 1),
  "checkpoint_minutes": ("0.5", 0.5),
  "log_seconds": ("1", 1.0),
  "panel_images": ("4", 4),
  "profile": ("2,3", (2, 3)),
  "probe.path": ("classes", "classes"),
  "probe.test_path": ("others", "others"),
  "probe.epochs": ("5", 5),
  "probe.limit": ("100", 100),
  "probe.layer": ("conv3", "conv3"),
}


def test_no_flags() -> None:
  config, workdir = flags.parse([])
  assert config == presets.preset(presets.DEFAULT)
  assert workdir == pathlib.Path("runs/split_brain_96_kmeans")


def test_the_cases_are_all_fields() -> None:
  assert set(_OTHER) == {flag for _, flag, _ in _FIELDS}


@pytest.mark.parametrize(("path", "flag", "kind"), _FIELDS, ids=[flag for _, flag, _ in _FIELDS])
def test_every_field_has_a_flag(path: tuple[str, ...], flag: str, kind: Any) -> None:
  assert f"\n  --{flag} " in flags.help_text() or f"\n  --{flag}\n" in flags.help_text()
  text, expected = _OTHER[flag]
  config = _config(f"--{flag}={text}")
  value: Any = config
  default: Any = presets.preset(presets.DEFAULT)
  for name in path:
    value, default = getattr(value, name), getattr(default, name)
  assert value == expected != default
  assert type(value) is type(expected)
  # Nothing else has changed.
  part: Any = {path[-1]: default}
  if len(path) > 1:
    part = {path[0]: dataclasses.replace(getattr(config, path[0]), **part)}
  assert dataclasses.replace(config, **part) == presets.preset(presets.DEFAULT)


@pytest.mark.parametrize("flag", [flag for _, flag, _ in _FIELDS])
def test_a_flag_and_its_value_may_be_apart(flag: str) -> None:
  text, _ = _OTHER[flag]
  if flag not in ("data.flip", "data.turns"):  # A switch takes no value of its own.
    assert _config(f"--{flag}", text) == _config(f"--{flag}={text}")


@pytest.mark.parametrize(
  "kind", ["color", "backbone", "aggregation", "initialization", "optimizer", "schedule"]
)
def test_every_option_has_a_flag(kind: str) -> None:
  for name in plugins.names(kind):
    plugin = plugins.find(kind, name)
    for key, option in plugin.options.items():
      if plugin.needs is None:
        # Some want something there.
        beside = ["--data.beside={stem}.png"] if "BESIDE" in plugin.constants else []
        config = _config(f"--{kind}.name={name}", f"--{kind}.{key}={option.default}", *beside)
        assert getattr(config, kind) == Component(name, {key: option.default})


def test_everyday_flags_are_short() -> None:
  help_text = flags.help_text()
  shown = re.findall(r"^  --(\S+)", help_text.split("Presets")[0], re.MULTILINE)
  assert shown == _EVERYDAY
  assert not any("." in name for name in shown)
  others = re.findall(r"^  --(\S+)", help_text.split("All other flags")[1], re.MULTILINE)
  assert not set(others) & set(_EVERYDAY)
  assert len(others) == len(set(others))


def test_preset_then_file_then_flags(tmp_path: pathlib.Path) -> None:
  file = tmp_path / "config.json"
  file.write_text(json.dumps({"epochs": 5, "seed": 6, "data": {"image_size": 64}}))
  preset = presets.preset("split_brain")
  arguments = [f"--config={file}", "--seed=7", "--preset=split_brain"]
  for order in (arguments, arguments[::-1]):
    config = _config(*order)
    assert config.batch_size == preset.batch_size == 256
    assert config.epochs == 5 != preset.epochs
    assert config.data.image_size == 64 != preset.data.image_size
    assert config.seed == 7
    assert config == dataclasses.replace(
      preset, epochs=5, seed=7, data=dataclasses.replace(preset.data, image_size=64)
    )


def test_a_file_of_text_forms(tmp_path: pathlib.Path) -> None:
  file = tmp_path / "config.json"
  file.write_text('{"color": "rgb", "branches": ["R->G,B"], "backbone": "simplenet(width=0.5)"}')
  config = _config(f"--config={file}", "--backbone.width=0.25")
  assert config.color == Component("rgb")
  assert config.branches == (Branch(("R",), ("G", "B")),)
  assert config.backbone == Component("simplenet", {"width": 0.25})


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets(name: str) -> None:
  config, workdir = flags.parse([f"--preset={name}"])
  assert config == presets.preset(name)
  assert workdir == pathlib.Path("runs") / name


def test_workdir() -> None:
  _, workdir = flags.parse(["--workdir=some/folder", "--preset=split_brain"])
  assert workdir == pathlib.Path("some/folder")


def test_the_last_of_two_decides() -> None:
  assert _config("--epochs=3", "--epochs=4").epochs == 4


def test_switches() -> None:
  assert _config("--nodata.flip").data.flip is False
  assert _config("--data.flip=False").data.flip is False
  assert _config("--nodata.flip", "--data.flip").data.flip is True


def test_options_keep_the_others_of_the_preset() -> None:
  optimizer = _config("--preset=split_brain", "--optimizer.momentum=0.5").optimizer
  assert optimizer == Component("sgd", {"momentum": 0.5, "weight_decay": 5e-4})


@pytest.mark.parametrize("swap", [False, True])
def test_another_name_resets_the_options(swap: bool) -> None:
  assert _config("--preset=split_brain", "--backbone.name=simplenet").backbone == Component(
    "simplenet"
  )
  arguments = ["--preset=split_brain", "--optimizer.name=adam", "--optimizer.beta_1=0.5"]
  optimizer = _config(*(arguments[::-1] if swap else arguments)).optimizer
  assert optimizer == Component("adam", {"beta_1": 0.5})


def test_the_same_name_keeps_the_options() -> None:
  config = _config("--preset=split_brain", "--backbone.name=alexnet")
  assert config == presets.preset("split_brain")


@pytest.mark.parametrize(
  ("text", "value"),
  [("1", 1), ("0.5", 0.5), ("1e-3", 0.001), ("None", None), ("null", None)],
)
def test_option_values(text: str, value: Any) -> None:
  options = _config(f"--optimizer.weight_decay={text}").optimizer.options
  assert options == {"weight_decay": value}
  assert type(options["weight_decay"]) is type(value)


@pytest.mark.parametrize("text", ["true", "True", "false", "False"])
def test_option_switches(text: str) -> None:
  config = _config("--optimizer.name=sgd", f"--optimizer.nesterov={text}")
  assert config.optimizer.options["nesterov"] is (text.lower() == "true")


def test_tasks_of_all_branches() -> None:
  config = _config("--task.quantizer=uniform(bins=20)", "--task.temperature=0.5")
  task = Component("classification", {"quantizer": "uniform(bins=20)", "temperature": 0.5})
  assert [branch.task for branch in config.branches] == [task, task]
  assert [branch.name for branch in config.branches] == ["L->ab", "ab->L"]


def test_tasks_keep_their_other_options() -> None:
  config = _config("--preset=split_brain", "--task.temperature=0.5")
  assert [branch.task.options["quantizer"] for branch in config.branches] == [
    "gamut",
    "uniform(bins=50)",
  ]
  assert all(branch.task.options["temperature"] == 0.5 for branch in config.branches)


def test_an_option_goes_to_the_tasks_that_have_it() -> None:
  config = _config("--preset=l_to_ab_ensemble", "--task.quantizer=uniform(bins=20)")
  assert [branch.task for branch in config.branches] == [
    Component("classification", {"quantizer": "uniform(bins=20)"}),
    Component("regression"),
  ]
  with pytest.raises(flags.FlagError, match="option 'amount' of task 'classification'"):
    _config("--preset=l_to_ab_ensemble", "--task.amount=0.5")


def test_another_task_resets_its_options() -> None:
  config = _config("--preset=split_brain", "--task.name=regression")
  assert [branch.task for branch in config.branches] == [Component("regression")] * 2


def test_task_flags_meet_the_branches_that_are_given() -> None:
  config = _config("--branches=L->a:regression; L->b", "--task.name=classification")
  assert [branch.task for branch in config.branches] == [Component("classification")] * 2


def test_branches() -> None:
  config = _config("--branches= L->a,b ; a,b->L:classification(quantizer=uniform(bins=5));")
  assert config.branches == (
    Branch(("L",), ("a", "b")),
    Branch(("a", "b"), ("L",), Component("classification", {"quantizer": "uniform(bins=5)"})),
  )


def test_blanks_in_pairs() -> None:
  # On Python 3.9, too, whose `ast.literal_eval` takes no blank in front.
  assert _config("--data.crop_area=0.5, 1").data.crop_area == (0.5, 1.0)


def test_help_lists_presets_and_components() -> None:
  help_text = flags.help_text()
  for name, preset in presets.PRESETS.items():
    assert re.search(rf"^  {name} ", help_text, re.MULTILINE)
    assert preset.summary in " ".join(help_text.split())
  assert "linear_probe" not in help_text
  for kind in plugins.KINDS:
    for name in plugins.names(kind):
      if kind == "protocol":  # Of sbae_tf.evaluate.
        continue
      assert re.search(rf"^  {kind} {name} ", help_text, re.MULTILINE), (kind, name)
      for option in plugins.find(kind, name).options:
        assert f"{option}=" in help_text


def test_help_shows_the_defaults() -> None:
  help_text = flags.help_text()
  assert "Side of the square input, in pixels. [96]" in help_text
  assert "the initial weights are exported. [200]" in " ".join(help_text.split())
  assert "[0.5,1]" in help_text
  assert "[L->a,b:classification; a,b->L:classification]" in " ".join(help_text.split())


def test_help_fits_the_screen() -> None:
  help_text = flags.help_text()
  assert help_text.isascii()
  assert max(map(len, help_text.splitlines())) <= 120
  assert all(line == line.rstrip() for line in help_text.splitlines())


@pytest.mark.parametrize(
  ("arguments", "named"),
  [
    # Flags that there are not.
    ("--nonesuch=1", "nonesuch"),
    ("--epoch=1", "'epoch'"),
    ("--backbone.depth=3", "backbone.depth"),
    ("--noepochs", "noepochs"),
    ("--nodata.flip=1", "data.flip"),
    ("photographs", "photographs"),
    ("--epochs=3 photographs", "photographs"),
    ("--epochs 3 4", "4"),
    # Values that there are not.
    ("--data", "data"),
    ("--workdir", "workdir"),
    ("--epochs=three", "--epochs"),
    ("--epochs=1.5", "--epochs"),
    ("--epochs=", "--epochs"),
    ("--learning_rate=fast", "--learning_rate"),
    ("--data.crop_area=a,b", "--data.crop_area"),
    ("--data.crop_area=", "`data.crop_area`"),
    ("--profile=1,x", "--profile"),
    ("--data.flip=maybe", "--data.flip"),
    # Values out of range.
    ("--epochs=-3", "`epochs`"),
    ("--batch_size=0", "`batch_size`"),
    ("--learning_rate=nan", "`learning_rate`"),
    ("--learning_rate=0", "`learning_rate`"),
    ("--steps=-1", "`steps`"),
    ("--seed=-1", "`seed`"),
    ("--image_size=0", "image_size`"),
    ("--image_size=100", "`image_size`"),
    ("--data.crop_area=1", "`data.crop_area`"),
    ("--data.crop_area=0.9,0.5", "`data.crop_area`"),
    ("--data.crop_area=0.5,1.5", "`data.crop_area`"),
    ("--data.crop_aspect=0,1", "`data.crop_aspect`"),
    ("--data.heldout_fraction=1", "`data.heldout_fraction`"),
    ("--data.parallel_calls=-1", "`data.parallel_calls`"),
    ("--profile=3,2", "`profile`"),
    ("--probe.epochs=0", "`probe.epochs`"),
    ("--probe.layer=conv9", "`probe.layer` one of conv1, "),
    ("--strategy=gpu", "`strategy`"),
    ("--jit_compile=yes", "`jit_compile`"),
    ("--steps_per_execution=0", "`steps_per_execution`"),
    ("--num_devices=2", "`strategy` 'mirrored' with `num_devices` 2"),
    ("--precision=half", "`precision`"),
    ("--color_placement=host", "`color_placement`"),
    # Names and options of components.
    ("--preset=nonesuch", "'nonesuch'"),
    ("--color.name=hsv", "'hsv'"),
    ("--color.name=rgb", "'rgb'"),  # Without its branches.
    ("--backbone.name=", "backbone ''"),
    ("--backbone.name=simplenet(width=1)", "'simplenet(width=1)'"),
    ("--backbone.width=wide", "'width'"),
    ("--backbone.width=", "'width'"),
    ("--optimizer.momentum=0.5", "'momentum'"),  # Of sgd; adam is the default.
    ("--optimizer.name=sgd --optimizer.nesterov=1", "'nesterov'"),
    ("--task.name=jigsaw", "'jigsaw'"),
    ("--task.name=regression --task.quantizer=uniform", "'quantizer'"),
    ("--task.quantizer=kmeans", "'kmeans'"),
    ("--task.quantizer=uniform(bins=", "'uniform(bins='"),
    ("--task.quantizer=uniform(size=3)", "'size'"),
    ("--branches=", "`branches`"),
    ("--branches=L", "'L'"),
    ("--branches=L->", "'L->'"),
    ("--branches=L->q", "'q'"),
    ("--branches=L->a;L->a", "`branches`"),
    ("--branches=L->a,a", "`targets`"),
    ("--branches=L->a:jigsaw", "'jigsaw'"),
    ("--branches=L->a:jigsaw(", "'jigsaw('"),
    # Files.
    ("--config=no/such/file.json", "no/such/file.json"),
    ("--flagfile=no/such/file", "no/such/file"),
  ],
)
def test_a_mistake_is_one_line_that_names_it(arguments: str, named: str) -> None:
  with pytest.raises(flags.FlagError) as error:
    flags.parse(arguments.split(" "))
  assert named in str(error.value)
  assert "\n" not in str(error.value)


def test_a_line_break_in_a_value_makes_no_second_line() -> None:
  with pytest.raises(flags.FlagError) as error:
    flags.parse(["--epochs=3\n4"])
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("content", "named"),
  [
    ("", "is not JSON"),
    ("{'epochs': 3}", "is not JSON"),
    ('{"epochs": 3,}', "is not JSON"),
    ("[]", "the configuration"),
    ("3", "the configuration"),
    ('{"epoch": 3}', "`epoch`"),
    ('{"epochs": "3"}', "`epochs`"),
    ('{"epochs": -1}', "`epochs`"),
    ('{"data": {"crop_area": [1]}}', "`data.crop_area`"),
    ('{"color": "hsv"}', "'hsv'"),
    ('{"color": {"name": 5}}', "`color"),
    ('{"color": {"name": "lab", "options": 5}}', "`color"),
    ('{"color": {"name": "lab", "options": [1]}}', "`color"),
    ('{"backbone": {"name": "simplenet", "options": {"width": "wide"}}}', "'width'"),
    ('{"branches": [{"inputs": 5, "targets": ["a"]}]}', "`branches[0]"),
    ('{"branches": [{"inputs": [["L"]], "targets": ["a"]}]}', "`branches[0]"),
    ("\xe4", "is not JSON"),
  ],
)
def test_a_bad_file_is_one_line(content: str, named: str, tmp_path: pathlib.Path) -> None:
  file = tmp_path / "config.json"
  file.write_bytes(content.encode("latin-1"))
  with pytest.raises(flags.FlagError) as error:
    flags.parse([f"--config={file}"])
  assert named in str(error.value)
  assert "\n" not in str(error.value)


def test_a_folder_is_no_file(tmp_path: pathlib.Path) -> None:
  with pytest.raises(flags.FlagError, match=f"^Cannot read --config={tmp_path}: "):
    flags.parse([f"--config={tmp_path}"])


def test_nothing_imports_tensorflow() -> None:
  code = """
    import sys
    from sbae_tf import flags
    flags.parse(["--preset=split_brain", "--task.quantizer=rescaled", "--backbone.width=0.25"])
    flags.help_text()
    print(sorted({"tensorflow", "keras", "tf_keras", "numpy"} & set(sys.modules)))
  """
  done = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(code)],
    cwd=pathlib.Path(sbae_tf.__file__).parent.parent,
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
