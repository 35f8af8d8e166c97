"""Tests of the presets: that each is valid and says where it comes from."""

from __future__ import annotations

import dataclasses
import pathlib
import shlex

import pytest

from sbae_tf import flags, presets, validation
from sbae_tf.config import Component, PretrainConfig

_NAMES = list(presets.PRESETS)


@pytest.mark.parametrize("name", _NAMES)
def test_a_preset_is_valid(name: str) -> None:
  config = presets.preset(name)
  assert config is presets.PRESETS[name].config
  validation.validate(config)
  # Those that are meant to show what the remark says.
  plain = ("autoencoder_lab", "shared_l_ab_lab")
  assert len(validation.remarks(config)) == (name in plain)


@pytest.mark.parametrize("name", _NAMES)
def test_a_preset_says_where_it_comes_from(name: str) -> None:
  preset = presets.PRESETS[name]
  for field in ("summary", "paper", "command", "result"):
    text = getattr(preset, field)
    assert text.strip() and "\n" not in text, field
  assert preset.summary.endswith(".")
  assert any(year in preset.paper for year in map(str, range(2012, 2030))), "no year of the paper"


@pytest.mark.parametrize("name", _NAMES)
def test_the_command_trains_the_preset(name: str) -> None:
  python, m, module, *arguments = shlex.split(presets.PRESETS[name].command)
  assert (python, m, module) == ("python", "-m", "sbae_tf.pretrain")
  config, workdir = flags.parse(arguments)
  data = dataclasses.replace(config.data, path="")  # The one thing that a command has to give.
  assert config.data.path
  assert dataclasses.replace(config, data=data) == presets.preset(name)
  assert workdir == pathlib.Path("runs") / name


def test_a_configuration_without_a_preset_is_the_report_s() -> None:
  assert presets.preset("simplenet_lab") == PretrainConfig()


def test_presets_differ() -> None:
  assert len({preset.config for preset in presets.PRESETS.values()}) == len(_NAMES)


def test_the_paper_s_split_brain() -> None:
  config = presets.preset("split_brain")
  assert [str(branch) for branch in config.branches] == [
    "L->a,b:classification(quantizer='gamut')",
    "a,b->L:classification(quantizer='uniform(bins=50)')",
  ]
  assert config.color.name == "lab"
  assert (config.backbone.name, config.backbone.options["width"]) == ("alexnet", 0.5)
  assert config.data.image_size == 224


def test_the_paper_s_losses_at_both_sizes() -> None:
  """(reg,reg) is (cl,cl) but for the tasks; both are there by the recipe of split_brain_96, too."""
  paper, ours = presets.preset("split_brain"), presets.preset("split_brain_96")
  regression = presets.preset("split_brain_regression")
  assert [branch.task.name for branch in regression.branches] == ["regression"] * 2
  assert dataclasses.replace(regression, branches=paper.branches) == paper
  for name, branches in (("gamut", paper.branches), ("l2", regression.branches)):
    small = presets.preset(f"split_brain_96_{name}")
    assert small == dataclasses.replace(ours, branches=branches)


def test_the_paper_s_rgbd() -> None:
  config = presets.preset("rgbd")
  assert [str(branch) for branch in config.branches] == [
    "L,a,b->D,H,A:regression",
    "0.005*D,H,A->L:regression(native=True)",
    "D,H,A->a,b:classification(quantizer='gamut')",
  ]
  assert (config.color.name, config.aggregation.name) == ("lab_hha", "by_inputs")


def test_noise_and_amount_are_flags() -> None:
  arguments = ["--preset=denoising_lab", "--task.noise=gaussian", "--task.amount=0.5"]
  (branch,) = flags.parse(arguments)[0].branches
  assert branch.name == "Lab->Lab"
  assert branch.task.options == {"noise": "gaussian", "amount": 0.5}


def test_the_random_baseline_is_split_brain_96_untrained() -> None:
  config = presets.preset("random")
  trained = presets.preset("split_brain_96")
  assert dataclasses.replace(config, epochs=trained.epochs) == trained
  assert (config.epochs, config.steps) == (0, 0)


def test_equation_5_of_the_paper() -> None:
  """lambda L1(F(X1), X2) + lambda L2(F(X2), X1) + (1 - 2 lambda) L3(X, F(X)), lambda = 1/3."""
  config = presets.preset("shared_l_ab_lab")
  assert config.aggregation == Component("shared")
  weights = {branch.name: branch.weight for branch in config.branches}
  assert weights == pytest.approx({"L->ab": 1 / 3, "ab->L": 1 / 3, "Lab->Lab": 1 - 2 / 3})
  (without,) = {branch.weight for branch in presets.preset("shared_l_ab").branches}
  assert without == 1  # Equation 4.


def test_three_towers_have_the_channels_of_two_or_its_towers() -> None:
  """Of SimpleNet's 16, 64, 128, 128 and 96 at width 1, in multiples of 8."""
  for color in ("lab", "rgb"):
    third = presets.preset(f"three_towers_{color}")
    whole = presets.preset(f"three_towers_{color}_wide")
    assert 3 * third.backbone.options["width"] == 2
    assert whole.backbone == presets.preset(presets.DEFAULT).backbone
    channels = {c for branch in third.branches for c in branch.inputs}
    for branch in third.branches:
      assert len(branch.inputs) == 1
      assert set(branch.targets) == channels - set(branch.inputs)
    assert len(third.branches) == len(channels) == 3


@pytest.mark.parametrize("name", ["", "nonesuch", "Split_Brain"])
def test_an_unknown_preset_lists_the_known(name: str) -> None:
  with pytest.raises(ValueError) as error:
    presets.preset(name)
  assert str(error.value) == f"Unknown preset '{name}'. Known: {', '.join(_NAMES)}."


def test_presets_cannot_be_changed() -> None:
  with pytest.raises(TypeError):
    presets.PRESETS["mine"] = presets.PRESETS["split_brain"]  # type: ignore[index]
