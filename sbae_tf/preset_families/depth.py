"""On photographs with depth."""

from __future__ import annotations

import dataclasses

from sbae_tf.config import Branch, Component
from sbae_tf.preset_families.base import (
  CVPR,
  PAPERS_RECIPE,
  RECIPE,
  REPORT,
  UNMEASURED,
  Preset,
  command,
)

_LAB = ("L", "a", "b")
_HHA = ("D", "H", "A")
_DEPTH = "../depth/{stem}.png"
_FROM_LAB = Branch(_LAB, _HHA, Component("regression"))

PRESETS = {
  "rgbd": Preset(
    summary="The CVPR paper's on RGB-D: HHA from color, L and ab from HHA. --data.beside: depth.",
    paper=(
      f"{CVPR}, Sec. 4.2. Departs in the heads, single layers on one tower for L and ab; and in "
      "size and recipe, which it does not tell: split_brain's."
    ),
    command=command("rgbd"),
    result=UNMEASURED,
    config=dataclasses.replace(
      PAPERS_RECIPE,
      data=dataclasses.replace(PAPERS_RECIPE.data, beside=_DEPTH),
      color=Component("lab_hha"),
      branches=(
        _FROM_LAB,
        # ab counts 200 times L, in Lab units. SimpleNet's last feature map then gets gradients of
        # L and ab of a ratio of 0.7 to 1.05 over 120 steps: balanced, as the paper says.
        Branch(_HHA, ("L",), Component("regression", {"native": True}), weight=1 / 200),
        Branch(_HHA, ("a", "b"), Component("classification", {"quantizer": "gamut"})),
      ),
      aggregation=Component("by_inputs"),
    ),
  ),
  "rgbd_96": Preset(
    summary="The same with SimpleNet at 96 x 96, by the recipe of split_brain_96.",
    paper=(
      f"{CVPR}, Sec. 4.2, in the size of {REPORT}. L is in [-1, 1], where ab needs no weight "
      "for gradients of about the size of L's, to which end the paper has its 200."
    ),
    command=command("rgbd_96"),
    result="tools/results/reproduction/table6.md (120 steps)",
    config=dataclasses.replace(
      RECIPE,
      data=dataclasses.replace(RECIPE.data, beside=_DEPTH),
      color=Component("lab_hha"),
      branches=(
        _FROM_LAB,
        Branch(_HHA, ("L",), Component("regression")),
        Branch(_HHA, ("a", "b")),
      ),
      aggregation=Component("by_inputs"),
    ),
  ),
}
