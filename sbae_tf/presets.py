"""Named configurations: each says its paper, its command and what was measured with it."""

from __future__ import annotations

import types

from sbae_tf.config import PretrainConfig
from sbae_tf.preset_families import (
  baselines,
  depth,
  initialized,
  report,
  split_brain,
  variants,
)
from sbae_tf.preset_families.base import Preset as Preset

DEFAULT = "split_brain_96_kmeans"

PRESETS = types.MappingProxyType(
  {
    **initialized.PRESETS,
    **report.PRESETS,
    **split_brain.PRESETS,
    **baselines.PRESETS,
    **variants.PRESETS,
    **depth.PRESETS,
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
