"""Of other initial weights."""

from __future__ import annotations

import dataclasses

from sbae_tf.config import Component
from sbae_tf.preset_families.base import RECIPE, Preset, command

PRESETS = {
  "split_brain_96_kmeans": Preset(
    summary="The default: split_brain_96, but from k-means of patches, and for 200 epochs.",
    paper=(
      "Krähenbühl, Doersch, Donahue, Darrell, ICLR 2016 (arXiv:1511.06856): its k-means "
      "initialization, before split_brain_96's training. Its 200 epochs were chosen on 6,900 "
      "photographs: 19,200 steps."
    ),
    command=command("split_brain_96_kmeans"),
    result="tools/results/reproduction (3 epochs), tools/results/recipe.md (up to 200 epochs)",
    config=dataclasses.replace(RECIPE, initialization=Component("kmeans"), epochs=200),
  ),
}
