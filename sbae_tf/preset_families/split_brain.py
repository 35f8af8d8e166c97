"""The CVPR paper's split brain by both losses, at its size and at the report's."""

from __future__ import annotations

import dataclasses
from typing import Any

from sbae_tf.config import Branch, Component
from sbae_tf.preset_families.base import (
  CVPR,
  PAPERS_RECIPE,
  RECIPE,
  TABLE_3,
  UNMEASURED,
  ZHANG_2016,
  Preset,
  command,
)

# The paper's two losses. Its 50 bins of L are 2 wide.
_CLASSIFIED = (
  Branch(("L",), ("a", "b"), Component("classification", {"quantizer": "gamut"})),
  Branch(("a", "b"), ("L",), Component("classification", {"quantizer": "uniform(bins=50)"})),
)
_SOFT = {"quantizer": "gamut", "soft_neighbors": 10, "soft_sigma": 5.0}
_REBALANCED = _SOFT | {"prior": "imagenette96", "rebalance": 0.5}
_REGRESSED = (
  Branch(("L",), ("a", "b"), Component("regression")),
  Branch(("a", "b"), ("L",), Component("regression")),
)
_SPLIT_BRAIN = dataclasses.replace(
  PAPERS_RECIPE, branches=_CLASSIFIED, backbone=Component("alexnet", {"width": 0.5})
)


def _by_color_task(**options: Any) -> tuple[Branch, ...]:
  """The classified branches with other options for that of color."""
  color, lightness = _CLASSIFIED
  return dataclasses.replace(color, task=Component("classification", options)), lightness


PRESETS = {
  "split_brain": Preset(
    summary="The CVPR paper's: AlexNet, half its channels in each tower, SGD, 224 x 224.",
    paper=(
      f"{CVPR}, Sec. 4.1, (cl,cl): L in 50 bins, ab in the 313 that are in gamut. Departs in a "
      "mean of the losses over pixels, where the paper has their sum."
    ),
    command=command("split_brain"),
    result=UNMEASURED,
    config=_SPLIT_BRAIN,
  ),
  "split_brain_regression": Preset(
    summary="The same by an l2 loss on both sides.",
    paper=(
      f"{CVPR}, Sec. 4.1, (reg,reg). Departs in channels scaled to [-1, 1], and a mean of the "
      "losses over pixels."
    ),
    command=command("split_brain_regression"),
    result=UNMEASURED,
    config=dataclasses.replace(_SPLIT_BRAIN, branches=_REGRESSED),
  ),
  "split_brain_96_gamut": Preset(
    summary="split_brain_96 with the CVPR paper's bins: 50 of L, the 313 of ab in gamut.",
    paper=f"{CVPR}, (cl,cl), in the size and by the recipe of split_brain_96.",
    command=command("split_brain_96_gamut"),
    result=TABLE_3,
    config=dataclasses.replace(RECIPE, branches=_CLASSIFIED),
  ),
  "split_brain_96_soft": Preset(
    summary="split_brain_96_gamut with colors as soft targets of 10 bins.",
    paper=f"{ZHANG_2016}, Sec. 2.2, for a,b of {CVPR}.",
    command=command("split_brain_96_soft"),
    result=TABLE_3,
    config=dataclasses.replace(RECIPE, branches=_by_color_task(**_SOFT)),
  ),
  "split_brain_96_rebalanced": Preset(
    summary="split_brain_96_soft with larger gradients for rare colors.",
    paper=(
      f"{ZHANG_2016}, Eq. 2 to 4, for a,b of {CVPR}: half of the prior and half of a uniform one. "
      "The prior is Imagenette's; tools.color_prior measures that of other photographs."
    ),
    command=command("split_brain_96_rebalanced"),
    result=TABLE_3,
    config=dataclasses.replace(RECIPE, branches=_by_color_task(**_REBALANCED)),
  ),
  "split_brain_96_l2": Preset(
    summary="split_brain_96 by an l2 loss on both sides.",
    paper=f"{CVPR}, (reg,reg), in the size and by the recipe of split_brain_96.",
    command=command("split_brain_96_l2"),
    result=TABLE_3,
    config=dataclasses.replace(RECIPE, branches=_REGRESSED),
  ),
}
