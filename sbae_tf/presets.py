"""Named configurations: each says its paper, its command and what was measured with it."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

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


# The paper's two losses. Its 50 bins of L are 2 wide.
_CLASSIFIED = (
  Branch(("L",), ("a", "b"), Component("classification", {"quantizer": "gamut"})),
  Branch(("a", "b"), ("L",), Component("classification", {"quantizer": "uniform(bins=50)"})),
)
_REGRESSED = (
  Branch(("L",), ("a", "b"), Component("regression")),
  Branch(("a", "b"), ("L",), Component("regression")),
)
_SPLIT_BRAIN = PretrainConfig(
  data=DataConfig(image_size=224),
  branches=_CLASSIFIED,
  backbone=Component("alexnet", {"width": 0.5}),
  optimizer=Component("sgd", {"momentum": 0.9, "weight_decay": 5e-4}),
  schedule=Component("step"),
  learning_rate=0.01,
  batch_size=256,
  epochs=90,
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


_DEPTH = "../depth/{stem}.png"


_HHA = ("D", "H", "A")
_FROM_LAB = Branch(_LAB, _HHA, Component("regression"))


def _command(name: str, more: str = "") -> str:
  return f"python -m sbae_tf.pretrain --preset={name} --data=PHOTOGRAPHS{more}"


def _variant(
  name: str, summary: str, paper: str, branches: str, **fields: Any
) -> tuple[str, Preset]:
  """A variant of the CVPR paper's, trained by the recipe of the default preset; by name."""
  parsed = tuple(Branch.parse(text) for text in branches.split(";"))
  return name, Preset(
    summary=summary,
    paper=f"{_CVPR}, {paper}",
    command=_command(name),
    result="Not measured yet.",
    config=dataclasses.replace(_RECIPE, branches=parsed, **fields),
  )


# Of two towers that each have half of its channels: width 1; of one, all of them; of N, 2 / N.
_A_THIRD = Component("simplenet", {"width": 2 / 3})
_LAMBDA = 1 / 3  # Of Eq. 5, as in Sec. 4.1.
_THREE_LAB = "L->a,b; a->L,b; b->L,a"
_THREE_RGB = "R->G,B; G->R,B; B->R,G"
_GRAY_IN_A_BIN = "classification(quantizer=uniform(bins=11))"  # Of an even number it is on an edge.

_VARIANTS = (
  _variant(
    "l_to_ab_regression",
    "Ablation: l_to_ab by an l2 loss.",
    "Sec. 4.1: L->ab(reg).",
    "L->a,b:regression",
    backbone=_ALL_CHANNELS,
  ),
  _variant(
    "ab_to_l_regression",
    "Ablation: ab_to_l by an l2 loss.",
    "Sec. 4.1: ab->L(reg).",
    "a,b->L:regression",
    backbone=_ALL_CHANNELS,
  ),
  _variant(
    "l_to_ab_ensemble",
    "Ablation: two towers from L to ab, one by classification and one by an l2 loss.",
    "Sec. 4.1: Ensembled L->ab.",
    "L->a,b; L->a,b:regression",
  ),
  _variant(
    "lab_drop50",
    "Ablation: an autoencoder of Lab, half of whose input is dropped.",
    "Sec. 4.1: Lab(drop50)->Lab. Each channel of a pixel by itself, the rest not doubled.",
    "L,a,b->L,a,b:denoising(noise='masking', amount=0.5)",
    backbone=_ALL_CHANNELS,
  ),
  _variant(
    "shared_l_ab",
    "Ablation: both directions in one tower, by l2 losses.",
    "Eq. 4: (L,ab)->(ab,L). A head for each direction.",
    "L->a,b:regression; a,b->L:regression",
    backbone=_ALL_CHANNELS,
    aggregation=Component("shared"),
  ),
  _variant(
    "shared_l_ab_lab",
    "Ablation: the same with an autoencoder in the same tower.",
    "Eq. 5 with lambda = 1/3: (L,ab,Lab)->(ab,L,Lab). A head for each.",
    f"{_LAMBDA}*L->a,b:regression; {_LAMBDA}*a,b->L:regression; "
    f"{1 - 2 * _LAMBDA}*L,a,b->L,a,b:regression",
    backbone=_ALL_CHANNELS,
    aggregation=Component("shared"),
  ),
  _variant(
    "split_brain_yuv",
    "Variant: split_brain_96 on YUV, split Y | U,V.",
    "Sec. 4.1, which tried YUV and found Lab better.",
    f"Y->U,V:{_GRAY_IN_A_BIN}; U,V->Y",
    color=Component("yuv"),
  ),
  _variant(
    "split_brain_hsv",
    "Variant: split_brain_96 on HSV, split value | hue and chroma.",
    "Sec. 4.1, but for the color space, which is ours.",
    f"V->x,y:{_GRAY_IN_A_BIN}; x,y->V",
    color=Component("hsv"),
  ),
  _variant(
    "three_towers_lab",
    "Variant: a tower for each channel of Lab, together as many channels as two.",
    "Sec. 5: N disjoint sub-networks of a fixed architecture.",
    _THREE_LAB,
    backbone=_A_THIRD,
  ),
  _variant(
    "three_towers_lab_wide",
    "Variant: the same, each tower as large as one of two.",
    "Sec. 5: N sub-networks of a fixed size.",
    _THREE_LAB,
  ),
  _variant(
    "three_towers_rgb",
    "Variant: a tower for each channel of RGB, together as many channels as two.",
    "Sec. 5: N disjoint sub-networks of a fixed architecture.",
    _THREE_RGB,
    color=Component("rgb"),
    backbone=_A_THIRD,
  ),
  _variant(
    "three_towers_rgb_wide",
    "Variant: the same, each tower as large as one of two.",
    "Sec. 5: N sub-networks of a fixed size.",
    _THREE_RGB,
    color=Component("rgb"),
  ),
)

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
        f"{_CVPR}, Sec. 4.1, (cl,cl): L in 50 bins, ab in the 313 that are in gamut. Departs in a "
        "mean of the losses over pixels, where the paper has their sum."
      ),
      command=_command("split_brain"),
      result="Not measured yet.",
      config=_SPLIT_BRAIN,
    ),
    "split_brain_regression": Preset(
      summary="The same by an l2 loss on both sides.",
      paper=(
        f"{_CVPR}, Sec. 4.1, (reg,reg). Departs in channels scaled to [-1, 1], and a mean of the "
        "losses over pixels."
      ),
      command=_command("split_brain_regression"),
      result="Not measured yet.",
      config=dataclasses.replace(_SPLIT_BRAIN, branches=_REGRESSED),
    ),
    "split_brain_96_gamut": Preset(
      summary="split_brain_96 with the CVPR paper's bins: 50 of L, the 313 of ab in gamut.",
      paper=f"{_CVPR}, (cl,cl), in the size and by the recipe of split_brain_96.",
      command=_command("split_brain_96_gamut"),
      result="Not measured yet.",
      config=dataclasses.replace(_RECIPE, branches=_CLASSIFIED),
    ),
    "split_brain_96_l2": Preset(
      summary="split_brain_96 by an l2 loss on both sides.",
      paper=f"{_CVPR}, (reg,reg), in the size and by the recipe of split_brain_96.",
      command=_command("split_brain_96_l2"),
      result="Not measured yet.",
      config=dataclasses.replace(_RECIPE, branches=_REGRESSED),
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
    **dict(_VARIANTS),
    "rgbd": Preset(
      summary="The CVPR paper's on RGB-D: HHA from color, L and ab from HHA. --data.beside: depth.",
      paper=(
        f"{_CVPR}, Sec. 4.2. Departs in the heads, single layers on one tower for L and ab; and in "
        "size and recipe, which it does not tell: split_brain's."
      ),
      command=_command("rgbd"),
      result="Not measured yet.",
      config=PretrainConfig(
        data=DataConfig(beside=_DEPTH, image_size=224),
        color=Component("lab_hha"),
        branches=(
          _FROM_LAB,
          # ab counts 200 times L, in Lab units. SimpleNet's last feature map then gets gradients of
          # L and ab of a ratio of 0.7 to 1.05 over 120 steps: balanced, as the paper says.
          Branch(_HHA, ("L",), Component("regression", {"native": True}), weight=1 / 200),
          Branch(_HHA, ("a", "b"), Component("classification", {"quantizer": "gamut"})),
        ),
        backbone=Component("alexnet"),
        aggregation=Component("by_inputs"),
        optimizer=Component("sgd", {"momentum": 0.9, "weight_decay": 5e-4}),
        schedule=Component("step"),
        learning_rate=0.01,
        batch_size=256,
        epochs=90,
      ),
    ),
    "rgbd_96": Preset(
      summary="The same with SimpleNet at 96 x 96, by the recipe of split_brain_96.",
      paper=(
        f"{_CVPR}, Sec. 4.2, in the size of {_REPORT}. L is in [-1, 1], where ab needs no weight "
        "for gradients of about the size of L's, to which end the paper has its 200."
      ),
      command=_command("rgbd_96"),
      result="Not measured yet.",
      config=dataclasses.replace(
        _RECIPE,
        data=dataclasses.replace(_RECIPE.data, beside=_DEPTH),
        color=Component("lab_hha"),
        branches=(
          _FROM_LAB,
          Branch(_HHA, ("L",), Component("regression")),
          Branch(_HHA, ("a", "b")),
        ),
        aggregation=Component("by_inputs"),
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
