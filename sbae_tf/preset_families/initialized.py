"""Of other initial weights."""

from __future__ import annotations

import dataclasses

from sbae_tf.config import Component
from sbae_tf.preset_families.base import RECIPE, Preset, command

PRESETS = {
  "split_brain_96_kmeans": Preset(
    summary="The default: split_brain_96, but from filters that are k-means of patches.",
    paper=(
      "Krähenbühl, Doersch, Donahue, Darrell, ICLR 2016 (arXiv:1511.06856): its k-means "
      "initialization, before split_brain_96's training."
    ),
    command=command("split_brain_96_kmeans"),
    result="tools/results/reproduction (3 epochs), tools/results/recipe.md (60 epochs)",
    config=dataclasses.replace(RECIPE, initialization=Component("kmeans")),
  ),
}
