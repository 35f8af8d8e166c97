"""Named configurations: each says its paper, its command and what was measured with it."""

from __future__ import annotations

import dataclasses
import types

from sbae_tf.config import Branch, Component, DataConfig, PretrainConfig

DEFAULT = "split_brain_96"


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


_LAB = ("L", "a", "b")
_RGB = (Branch(("R",), ("G", "B")), Branch(("G", "B"), ("R",)))
_REPORT = "Budhkar, Casabuena, Iyengar, Le Project Quotidien, NYU 2019"
_CVPR = "Zhang, Isola, Efros, CVPR 2017 (arXiv:1611.09842)"
# What single networks are made of. The paper's have all channels, of which its split brain's halves
# have half each: twice its parameters. Others have as many as the two towers of simplenet_lab
# together, and so train in its time: 656,000 and 213 MFLOP a photograph, the pair 685,000 and 218.
_ALL_CHANNELS = Component("simplenet", {"width": 2.0})
_LIKE_THE_PAIR = Component("simplenet", {"width": 1.4})
_ALL_CHANNELS_TEXT = (
  "All channels of the pair in one tower, as there: twice the parameters of simplenet_lab."
)
_LIKE_THE_PAIR_TEXT = (
  "Width 1.4: about the parameters and arithmetic of simplenet_lab's two towers together."
)


# Chosen on imagenette96 by linear probes of one or two seeds. What mattered: thirty times the
# learning rate of the report's presets, a cosine instead of a slow exponential, and training two to
# five times as long; less: larger crops. Bins of another number, soft targets, bins over each
# image's own range of a and b, noise on the input, a hidden layer in the head and weight decay made
# no difference beyond that between two seeds. Group normalization was worse. Wider towers are
# better, and slower.
_RECIPE = PretrainConfig(
  data=DataConfig(crop_area=(0.5, 1.0)),
  schedule=Component("cosine", {"warmup_epochs": 1.0}),
  learning_rate=3e-3,
  epochs=60,
)


def _command(name: str, more: str = "") -> str:
  return f"python -m sbae_tf.pretrain --preset={name} --data=PHOTOGRAPHS{more}"


PRESETS = types.MappingProxyType(
  {
    "split_brain_96": Preset(
      summary="SimpleNet, Lab, trained by the recipe that measured best here. The default.",
      paper=(
        f"{_CVPR}, in the size of {_REPORT}: simplenet_lab's model. Learning rate, schedule, crops "
        "and epochs are ours."
      ),
      command=_command("split_brain_96"),
      result="Not measured yet.",
      config=_RECIPE,
    ),
    "simplenet_lab": Preset(
      summary="SimpleNet, Lab, 100 bins for L and 10 x 10 for ab.",
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
        f"{_CVPR}, Sec. 4.1. Departs in the ab bins: 20 x 20 over all of Lab's range, where the "
        "paper has the 313 of its grid that are in gamut."
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
    "random": Preset(
      summary="Baseline: split_brain_96's initial weights, nothing trained.",
      paper=f"{_CVPR}, Sec. 4: the random initialization of its tables.",
      command=_command("random"),
      result="Not measured yet.",
      config=dataclasses.replace(_RECIPE, epochs=0),
    ),
    "l_to_ab": Preset(
      summary="Baseline: color from lightness alone, one tower.",
      paper=f"{_CVPR}, Sec. 4: its cross-channel encoder L->ab. {_ALL_CHANNELS_TEXT}",
      command=_command("l_to_ab"),
      result="Not measured yet.",
      config=dataclasses.replace(
        _RECIPE, branches=(Branch(("L",), ("a", "b")),), backbone=_ALL_CHANNELS
      ),
    ),
    "ab_to_l": Preset(
      summary="Baseline: lightness from color alone, one tower.",
      paper=f"{_CVPR}, Sec. 4: its cross-channel encoder ab->L. {_ALL_CHANNELS_TEXT}",
      command=_command("ab_to_l"),
      result="Not measured yet.",
      config=dataclasses.replace(
        _RECIPE, branches=(Branch(("a", "b"), ("L",)),), backbone=_ALL_CHANNELS
      ),
    ),
    "autoencoder_lab": Preset(
      summary="Baseline: a plain autoencoder of Lab, one tower.",
      paper=f"{_CVPR}, Sec. 4: its autoencoder Lab->Lab. {_ALL_CHANNELS_TEXT}",
      command=_command("autoencoder_lab"),
      result="Not measured yet.",
      config=dataclasses.replace(
        _RECIPE, branches=(Branch(_LAB, _LAB, Component("regression")),), backbone=_ALL_CHANNELS
      ),
    ),
    "denoising_lab": Preset(
      summary="Baseline: a denoising autoencoder of Lab; see --task.noise and --task.amount.",
      paper=(
        "Vincent et al., JMLR 11 (2010); the DAE of five layers that the NYU report of 2019 "
        f"compares with. Which noise is ours. {_LIKE_THE_PAIR_TEXT}"
      ),
      command=_command("denoising_lab"),
      result="Not measured yet.",
      config=dataclasses.replace(
        _RECIPE,
        branches=(
          Branch(_LAB, _LAB, Component("denoising", {"noise": "salt_and_pepper", "amount": 0.1})),
        ),
        backbone=_LIKE_THE_PAIR,
      ),
    ),
    "simclr": Preset(
      summary="Baseline: SimCLR, which of all views are of one photograph.",
      paper=(
        "Chen et al. 2020 (arXiv:2002.05709). Adam on small batches, where the paper has LARS on "
        f"4,096. {_LIKE_THE_PAIR_TEXT} Each photograph goes through it twice."
      ),
      command=_command("simclr"),
      result="Not measured yet.",
      config=dataclasses.replace(
        _RECIPE,
        data=DataConfig(crop_area=(1.0, 1.0)),  # Views are cropped from all of a photograph.
        color=Component("rgb"),
        branches=(Branch(("R", "G", "B"), ("R", "G", "B"), Component("contrastive")),),
        backbone=_LIKE_THE_PAIR,
        learning_rate=1e-3,
        batch_size=128,
      ),
    ),
    "split_brain_96_kmeans": Preset(
      summary="split_brain_96 with k-means of patches as initial filters; --epochs=0: these alone.",
      paper=(
        "Krähenbühl, Doersch, Donahue, Darrell, ICLR 2016 (arXiv:1511.06856): its k-means "
        "initialization, before split_brain_96's training."
      ),
      command=_command("split_brain_96_kmeans"),
      result="Not measured yet.",
      config=dataclasses.replace(_RECIPE, initialization=Component("kmeans")),
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
