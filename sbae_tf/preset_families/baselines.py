"""What the split brain is compared with."""

from __future__ import annotations

import dataclasses

from sbae_tf.config import Branch, Component, DataConfig
from sbae_tf.preset_families.base import (
  ALL_CHANNELS,
  CVPR,
  RECIPE,
  TABLE_3,
  TABLE_4,
  Preset,
  command,
)

_LAB = ("L", "a", "b")
# Better on imagenette96, after 150 steps, than the paper's best for 4,096 photographs a step, which
# are the task's defaults; see tools/results/recipe.md.
_VIEWS = Component("contrastive", {"temperature": 0.2, "strength": 0.5})
# As many channels as the two towers of simplenet_lab together, and so trained in their time:
# 656,000 parameters and 213 MFLOP a photograph, the pair 685,000 and 218.
_LIKE_THE_PAIR = Component("simplenet", {"width": 1.4})
_ALL_CHANNELS_TEXT = (
  "All channels of the pair in one tower, as there: twice the parameters of simplenet_lab."
)
_LIKE_THE_PAIR_TEXT = (
  "Width 1.4: about the parameters and arithmetic of simplenet_lab's two towers together."
)

PRESETS = {
  "random": Preset(
    summary="Baseline: split_brain_96's initial weights, nothing trained.",
    paper=f"{CVPR}, Sec. 4: the random initialization of its tables.",
    command=command("random"),
    result="tools/results/reproduction/table3.md",
    config=dataclasses.replace(RECIPE, epochs=0),
  ),
  "l_to_ab": Preset(
    summary="Baseline: color from lightness alone, one tower.",
    paper=f"{CVPR}, Sec. 4: its cross-channel encoder L->ab. {_ALL_CHANNELS_TEXT}",
    command=command("l_to_ab"),
    result=TABLE_3,
    config=dataclasses.replace(
      RECIPE, branches=(Branch(("L",), ("a", "b")),), backbone=ALL_CHANNELS
    ),
  ),
  "ab_to_l": Preset(
    summary="Baseline: lightness from color alone, one tower.",
    paper=f"{CVPR}, Sec. 4: its cross-channel encoder ab->L. {_ALL_CHANNELS_TEXT}",
    command=command("ab_to_l"),
    result=TABLE_3,
    config=dataclasses.replace(
      RECIPE, branches=(Branch(("a", "b"), ("L",)),), backbone=ALL_CHANNELS
    ),
  ),
  "autoencoder_lab": Preset(
    summary="Baseline: a plain autoencoder of Lab, one tower.",
    paper=f"{CVPR}, Sec. 4: its autoencoder Lab->Lab. {_ALL_CHANNELS_TEXT}",
    command=command("autoencoder_lab"),
    result=TABLE_3,
    config=dataclasses.replace(
      RECIPE,
      branches=(Branch(_LAB, _LAB, Component("regression")),),
      backbone=ALL_CHANNELS,
    ),
  ),
  "denoising_lab": Preset(
    summary="Baseline: a denoising autoencoder of Lab; see --task.noise and --task.amount.",
    paper=(
      "Vincent et al., JMLR 11 (2010); the DAE of five layers that the NYU report of 2019 "
      f"compares with. Which noise is ours. {_LIKE_THE_PAIR_TEXT}"
    ),
    command=command("denoising_lab"),
    result=f"{TABLE_4}; there with masking noise",
    config=dataclasses.replace(
      RECIPE,
      branches=(
        Branch(_LAB, _LAB, Component("denoising", {"noise": "salt_and_pepper", "amount": 0.1})),
      ),
      backbone=_LIKE_THE_PAIR,
    ),
  ),
  "simclr": Preset(
    summary="Baseline: SimCLR, which of all views are of one photograph.",
    paper=(
      "Chen et al. 2020 (arXiv:2002.05709). Adam on small batches, temperature 0.2 and half the "
      "color jitter, where the paper has LARS on 4,096, 0.1 and all of it. "
      f"{_LIKE_THE_PAIR_TEXT} Each photograph goes through it twice."
    ),
    command=command("simclr"),
    result=TABLE_4,
    config=dataclasses.replace(
      RECIPE,
      data=DataConfig(crop_area=(1.0, 1.0)),  # Views are cropped from all of a photograph.
      color=Component("rgb"),
      branches=(Branch(("R", "G", "B"), ("R", "G", "B"), _VIEWS),),
      backbone=_LIKE_THE_PAIR,
      learning_rate=1e-3,
      batch_size=128,
    ),
  ),
}
