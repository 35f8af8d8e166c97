"""The CVPR paper's ablations, and other splits of other color spaces."""

from __future__ import annotations

import dataclasses
from typing import Any

from sbae_tf.config import Branch, Component
from sbae_tf.preset_families.base import ALL_CHANNELS, CVPR, RECIPE, TABLE_3, Preset, command


def _variant(
  name: str, summary: str, paper: str, branches: str, **fields: Any
) -> tuple[str, Preset]:
  """A variant of the CVPR paper's, trained by the recipe of split_brain_96; by name."""
  parsed = tuple(Branch.parse(text) for text in branches.split(";"))
  return name, Preset(
    summary=summary,
    paper=f"{CVPR}, {paper}",
    command=command(name),
    result=TABLE_3,
    config=dataclasses.replace(RECIPE, branches=parsed, **fields),
  )


# Of two towers that each have half of its channels: width 1; of one, all of them; of N, 2 / N.
_A_THIRD = Component("simplenet", {"width": 2 / 3})
_LAMBDA = 1 / 3  # Of Eq. 5, as in Sec. 4.1.
_THREE_LAB = "L->a,b; a->L,b; b->L,a"
_THREE_RGB = "R->G,B; G->R,B; B->R,G"
_GRAY_IN_A_BIN = "classification(quantizer=uniform(bins=11))"  # Of an even number it is on an edge.


PRESETS = dict(
  (
    _variant(
      "l_to_ab_regression",
      "Ablation: l_to_ab by an l2 loss.",
      "Sec. 4.1: L->ab(reg).",
      "L->a,b:regression",
      backbone=ALL_CHANNELS,
    ),
    _variant(
      "ab_to_l_regression",
      "Ablation: ab_to_l by an l2 loss.",
      "Sec. 4.1: ab->L(reg).",
      "a,b->L:regression",
      backbone=ALL_CHANNELS,
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
      backbone=ALL_CHANNELS,
    ),
    _variant(
      "shared_l_ab",
      "Ablation: both directions in one tower, by l2 losses.",
      "Eq. 4: (L,ab)->(ab,L). A head for each direction.",
      "L->a,b:regression; a,b->L:regression",
      backbone=ALL_CHANNELS,
      aggregation=Component("shared"),
    ),
    _variant(
      "shared_l_ab_lab",
      "Ablation: the same with an autoencoder in the same tower.",
      "Eq. 5 with lambda = 1/3: (L,ab,Lab)->(ab,L,Lab). A head for each.",
      f"{_LAMBDA}*L->a,b:regression; {_LAMBDA}*a,b->L:regression; "
      f"{1 - 2 * _LAMBDA}*L,a,b->L,a,b:regression",
      backbone=ALL_CHANNELS,
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
)
