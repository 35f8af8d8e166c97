"""Named configurations: each says its paper, its command and what was measured with it."""

from __future__ import annotations

import dataclasses
import types

from sbae_tf.config import Branch, Component, DataConfig, PretrainConfig

DEFAULT = "simplenet_lab"


@dataclasses.dataclass(frozen=True)
class Preset:
  """A named configuration.

  Attributes:
    summary: one line for `--help`.
    paper: what it follows, and where it departs.
    command: how to train it for real.
    result: what that command measured, and on what machine; where the record lies.
    config: the configuration.
  """

  summary: str
  paper: str
  command: str
  result: str
  config: PretrainConfig


_RGB = (Branch(("R",), ("G", "B")), Branch(("G", "B"), ("R",)))
_REPORT = "Budhkar, Casabuena, Iyengar, Le Project Quotidien, NYU 2019"


def _command(name: str, more: str = "") -> str:
  return f"python -m sbae_tf.pretrain --preset={name} --data=PHOTOGRAPHS{more}"


PRESETS = types.MappingProxyType(
  {
    "simplenet_lab": Preset(
      summary="SimpleNet, Lab, 100 bins for L and 10 x 10 for ab. The default.",
      paper=f"{_REPORT}: SimpleNet, Lab.",
      command=_command("simplenet_lab"),
      result="tools/results/pretraining.md",
      config=PretrainConfig(),
    ),
    "simplenet_rescaled_lab": Preset(
      summary="The same with bins of ab over each image's own range of a and b.",
      paper=f"{_REPORT}: SimpleNet, re-scaled Lab; L as before, as in its published code.",
      command=_command("simplenet_rescaled_lab"),
      result="Not measured yet.",
      config=PretrainConfig(
        branches=(
          Branch(("L",), ("a", "b"), Component("classification", {"quantizer": "rescaled"})),
          Branch(("a", "b"), ("L",)),
        )
      ),
    ),
    "simplenet_rgb": Preset(
      summary="The same on RGB, split R | G,B.",
      paper=f"{_REPORT}: SimpleNet, RGB.",
      command=_command("simplenet_rgb"),
      result="Not measured yet.",
      config=PretrainConfig(color=Component("rgb"), branches=_RGB),
    ),
    "resnet18_lab": Preset(
      summary="ResNet18, half its channels in each tower.",
      paper=f"{_REPORT}: ResNet18, Lab.",
      command=_command("resnet18_lab"),
      result="tools/results/pretraining.md",
      config=PretrainConfig(backbone=Component("resnet18")),
    ),
    "alexnet_lab": Preset(
      summary="Fully convolutional AlexNet, 140 million parameters. Wants a GPU.",
      paper=f"{_REPORT}: FC-AlexNet, Lab.",
      command=_command("alexnet_lab"),
      result="tools/results/pretraining.md (a few steps)",
      config=PretrainConfig(backbone=Component("alexnet")),
    ),
    "split_brain": Preset(
      summary="The CVPR paper's: AlexNet, half its channels in each tower, SGD, 224 x 224.",
      paper=(
        "Zhang, Isola, Efros, CVPR 2017 (arXiv:1611.09842), Sec. 4.1. Departs in the ab bins: 20 "
        "x 20 over all of Lab's range, where the paper has the 313 of its grid that are in gamut."
      ),
      command=_command("split_brain"),
      result="Not measured yet.",
      config=PretrainConfig(
        data=DataConfig(image_size=224),
        branches=(
          Branch(
            ("L",), ("a", "b"), Component("classification", {"quantizer": "uniform(bins=20)"})
          ),
          Branch(
            ("a", "b"), ("L",), Component("classification", {"quantizer": "uniform(bins=50)"})
          ),
        ),
        backbone=Component("alexnet", {"width": 0.5}),
        optimizer=Component("sgd", {"momentum": 0.9, "weight_decay": 5e-4}),
        schedule=Component("step"),
        learning_rate=0.01,
        batch_size=256,
        epochs=90,
      ),
    ),
  }
)


def preset(name: str) -> PretrainConfig:
  """The configuration of a preset.

  Raises:
    ValueError: there is none of that name; lists those that there are.
  """
  if name not in PRESETS:
    raise ValueError(f"Unknown preset '{name}'. Known: {', '.join(PRESETS)}.")
  return PRESETS[name].config
