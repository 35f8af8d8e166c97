"""Tests of what a configuration is checked for before TensorFlow starts."""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
from typing import Any

import pytest

from sbae_tf import plugins, validation
from sbae_tf.config import Branch, Component, DataConfig, PretrainConfig

_STRIDE_8 = tuple(
  name
  for name in plugins.names("backbone")
  if plugins.find("backbone", name).constants["STRIDE"] == 8
)


def _config(size: int, backbone: str) -> PretrainConfig:
  return PretrainConfig(data=DataConfig(image_size=size), backbone=Component(backbone))


def _with(kind: str, name: str, **options: Any) -> PretrainConfig:
  changes: dict[str, Any] = {kind: Component(name, options)}
  return PretrainConfig(**changes)


def _message(config: PretrainConfig) -> str:
  with pytest.raises(ValueError) as error:
    validation.validate(config)
  assert "\n" not in str(error.value)
  return str(error.value)


def test_the_defaults_are_valid() -> None:
  validation.validate(PretrainConfig())


@pytest.mark.parametrize("backbone", plugins.names("backbone"))
def test_sizes_are_multiples_of_the_stride(backbone: str) -> None:
  stride = plugins.find("backbone", backbone).constants["STRIDE"]
  for size in (stride, 5 * stride):
    validation.validate(_config(size, backbone))
  for size in (stride + 1, 5 * stride - 1, stride // 2):
    message = _message(_config(size, backbone))
    assert message.startswith(f"Expected `image_size` to be a multiple of {stride}, the stride of")
    assert f"'{backbone}'" in message
    assert message.endswith(f"Received: {size}.")


@pytest.mark.parametrize(
  ("size", "sizes"), [(100, "96 or 104"), (9, "8 or 16"), (5, "8 or 16"), (103, "96 or 104")]
)
def test_near_sizes_are_offered(size: int, sizes: str) -> None:
  assert f"such as {sizes}." in _message(_config(size, _STRIDE_8[0]))


@pytest.mark.parametrize(
  ("color", "branch", "channel"),
  [
    ("lab", "R->G,B", "R"),
    ("lab", "L->a,depth", "depth"),
    ("lab", "l->a,b", "l"),
    ("rgb", "L->a,b", "L"),
    ("yuv", "Y->U,W", "W"),
  ],
)
def test_channels_belong_to_the_color_space(color: str, branch: str, channel: str) -> None:
  message = _message(PretrainConfig(color=Component(color), branches=(Branch.parse(branch),)))
  known = list(plugins.find("color", color).constants["CHANNELS"])
  assert f"color space '{color}' has no channel '{channel}', it has {', '.join(known)}." in message
  assert message.startswith(f"Branch {Branch.parse(branch).name}: ")
  assert (
    f"--branches='{known[0]}->{known[1]},{known[2]}; {known[1]},{known[2]}->{known[0]}'" in message
  )


def test_the_offered_branches_are_valid() -> None:
  for color in plugins.names("color"):
    config = PretrainConfig(
      data=DataConfig(beside="{stem}.png"),  # Some want something there.
      color=Component(color),
      branches=(Branch(("none",), ("such",)),),
    )
    offered = _message(config).split("--branches='")[1].rstrip(".").rstrip("'")
    branches = tuple(Branch.parse(part) for part in offered.split(";"))
    validation.validate(dataclasses.replace(config, branches=branches))


@pytest.mark.parametrize(
  "kind", ["color", "backbone", "aggregation", "initialization", "optimizer", "schedule"]
)
def test_components_are_checked(kind: str) -> None:
  assert _message(_with(kind, "nonesuch")) == (
    f"Unknown {kind} 'nonesuch'. Known: {', '.join(plugins.names(kind))}."
  )
  default = getattr(PretrainConfig(), kind)
  message = _message(_with(kind, default.name, nonesuch=1))
  assert message.startswith(f"Unknown option 'nonesuch' of {kind} '{default.name}'. Its options: ")


def _with_noise(**options: Any) -> PretrainConfig:
  task = Component("denoising", options)
  return PretrainConfig(branches=(Branch(("L", "a"), ("a", "L"), task),))


def _contrastive(
  *, branch: str = "R,G->G,R:contrastive", color_placement: str = "device"
) -> PretrainConfig:
  return PretrainConfig(
    color=Component("rgb"), branches=(Branch.parse(branch),), color_placement=color_placement
  )


def _with_task(**options: Any) -> PretrainConfig:
  task = Component("classification", options)
  return PretrainConfig(branches=(Branch(("a",), ("L",)), Branch(("L",), ("a", "b"), task)))


@pytest.mark.parametrize(
  ("config", "message"),
  [
    (
      PretrainConfig(branches=(Branch(("L",), ("a",), Component("nonesuch")),)),
      "Unknown task 'nonesuch'. Known: classification",
    ),
    (_with_task(nonesuch=1), "Unknown option 'nonesuch' of task 'classification'."),
    (_with_task(temperature="cold"), "Expected option 'temperature' of task 'classification'"),
    (
      _with_task(quantizer="nonesuch"),
      "Unknown quantizer 'nonesuch'. Known: gamut, rescaled, uniform.",
    ),
    (_with_task(quantizer="uniform(size=3)"), "Unknown option 'size' of quantizer 'uniform'."),
    (_with_task(quantizer="uniform(bins=2.5)"), "Expected option 'bins' of quantizer 'uniform'"),
    (_with_task(quantizer="uniform(bins="), "Expected a component such as"),
    (_with_task(quantizer=""), "Expected a component such as"),
    (_with_noise(color="pink"), "Unknown option 'color' of task 'denoising'."),
    (
      _contrastive(branch="R->G,B:contrastive"),
      "Branch R->GB: task 'contrastive' predicts no channels. Expected the same on both sides, "
      "such as 'R->R:contrastive'.",
    ),
    (
      _contrastive(color_placement="pipeline"),
      "Expected `color_placement` 'device' with task 'contrastive'",
    ),
    (
      PretrainConfig(
        branches=(Branch(("a", "b"), ("L",), Component("classification", {"quantizer": "gamut"})),)
      ),
      "Branch ab->L: quantizer 'gamut' has bins of a,b alone. Give it to the branch that predicts "
      "them, by --branches with a task to each, such as 'L->a,b:classification(quantizer=gamut)'.",
    ),
    (_with_task(quantizer=5), "Expected option 'quantizer' of task 'classification' to be str."),
    (_with_task(quantizer=None), "Expected option 'quantizer' of task 'classification' to be str."),
  ],
)
def test_tasks_and_their_quantizers_are_checked(config: PretrainConfig, message: str) -> None:
  assert message in _message(config)


def _with_bands(color: str, *branches: str, beside: str = "{stem}.png") -> PretrainConfig:
  return PretrainConfig(
    data=DataConfig(beside=beside),
    color=Component.parse(color),
    branches=tuple(Branch.parse(branch) for branch in branches or ("L->a,b",)),
  )


@pytest.mark.parametrize(
  ("config", "message"),
  [
    (
      _with_bands("lab_hha", beside=""),
      "Color space 'lab_hha' needs depth in mm beside each photograph. Expected `data.beside` to",
    ),
    (
      _with_bands("lab_bands", "L->nir"),
      "Branch L->nir: color space 'lab_bands' has no channel 'nir', it has L, a, b, N.",
    ),
    (
      _with_bands("lab_bands(bands='nir:0:1,T:0:9')", "L->N"),
      "no channel 'N', it has L, a, b, nir, T.",
    ),
    (_with_bands("lab_bands(bands=3)"), "Expected option 'bands' of color 'lab_bands' to be str."),
    (
      _with_bands("lab_hha", "L,D->L,D:contrastive"),
      "Branch LD->LD: task 'contrastive' makes views of photographs alone",
    ),
  ],
)
def test_bands_are_checked(config: PretrainConfig, message: str) -> None:
  assert message in _message(config)


def test_bands_are_named_by_an_option() -> None:
  validation.validate(_with_bands("lab_bands(bands='nir:0:1, T:0:9')", "L,nir->T", "T->nir"))


def test_nested_quantizers_are_valid() -> None:
  for quantizer in ("gamut", "rescaled", "uniform(bins=20)", "uniform(bins=None)"):
    validation.validate(_with_task(quantizer=quantizer))


@pytest.mark.parametrize(
  ("kind", "missing", "source"),
  [
    ("color", "CHANNELS", "def build(): pass\n"),
    ("color", "CHANNELS", "CHANNELS = dict(L=(0.0, 1.0))\ndef build(): pass\n"),
    ("backbone", "STRIDE", "def build(channels): pass\n"),
  ],
)
def test_what_a_module_of_ones_own_lacks_is_named(
  kind: str, missing: str, source: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  package = f"validation_test_{tmp_path.name}"
  (tmp_path / package).mkdir()
  (tmp_path / package / "__init__.py").touch()
  (tmp_path / package / "mine.py").write_text(source, encoding="utf-8")
  monkeypatch.syspath_prepend(str(tmp_path))
  importlib.invalidate_caches()
  message = _message(_with(kind, f"{package}.mine"))
  assert f"{package}.mine" in message
  assert missing in message


def test_remarks() -> None:
  assert validation.remarks(PretrainConfig()) == []
  config = PretrainConfig(
    branches=(Branch(("L", "a"), ("a", "b")), Branch(("L",), ("a",)), Branch(("b",), ("b",)))
  )
  remarks = validation.remarks(config)
  assert len(remarks) == 2
  assert remarks[0].startswith("Branch La->ab predicts its own input")
  assert remarks[1].startswith("Branch b->b predicts its own input")


def test_noise_and_views_are_nothing_to_remark() -> None:
  for config in (_with_noise(), _contrastive()):
    validation.validate(config)
    assert validation.remarks(config) == []
  # Noise comes after color, wherever that is.
  validation.validate(dataclasses.replace(_with_noise(), color_placement="pipeline"))
