"""The NYU report's, and one in its size by a recipe of our own."""

from __future__ import annotations

from sbae_tf.config import Branch, Component, PretrainConfig
from sbae_tf.preset_families.base import CVPR, RECIPE, REPORT, UNMEASURED, Preset, command

_RGB = (Branch(("R",), ("G", "B")), Branch(("G", "B"), ("R",)))

PRESETS = {
  "split_brain_96": Preset(
    summary="SimpleNet, Lab, trained by a recipe of our own, from random weights.",
    paper=(
      f"{CVPR}, in the size of {REPORT}: simplenet_lab's model. Learning rate, schedule, crops "
      "and epochs are ours."
    ),
    command=command("split_brain_96"),
    result="tools/results/reproduction/table3.md, table5.md (3 epochs)",
    config=RECIPE,
  ),
  "simplenet_lab": Preset(
    summary="SimpleNet, Lab, 100 bins for L and 10 x 10 for ab.",
    paper=f"{REPORT}: SimpleNet, Lab.",
    command=command("simplenet_lab"),
    result="tools/results/pretraining.md",
    config=PretrainConfig(),
  ),
  "simplenet_rescaled_lab": Preset(
    summary="The same with bins of ab over each image's own range of a and b.",
    paper=f"{REPORT}: SimpleNet, re-scaled Lab; L as before, as in its published code.",
    command=command("simplenet_rescaled_lab"),
    result=UNMEASURED,
    config=PretrainConfig(
      branches=(
        Branch(("L",), ("a", "b"), Component("classification", {"quantizer": "rescaled"})),
        Branch(("a", "b"), ("L",)),
      )
    ),
  ),
  "simplenet_rgb": Preset(
    summary="The same on RGB, split R | G,B.",
    paper=f"{REPORT}: SimpleNet, RGB.",
    command=command("simplenet_rgb"),
    result=UNMEASURED,
    config=PretrainConfig(color=Component("rgb"), branches=_RGB),
  ),
  "resnet18_lab": Preset(
    summary="ResNet18, half its channels in each tower.",
    paper=f"{REPORT}: ResNet18, Lab.",
    command=command("resnet18_lab"),
    result="tools/results/pretraining.md",
    config=PretrainConfig(backbone=Component("resnet18")),
  ),
  "alexnet_lab": Preset(
    summary="Fully convolutional AlexNet, 140 million parameters. Wants a GPU.",
    paper=f"{REPORT}: FC-AlexNet, Lab.",
    command=command("alexnet_lab"),
    result="tools/results/pretraining.md (a few steps)",
    config=PretrainConfig(backbone=Component("alexnet")),
  ),
}
