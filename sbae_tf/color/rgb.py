"""sRGB as it is stored: R, G and B."""

from __future__ import annotations

import tensorflow as tf

from sbae_tf.color.color_space import ColorSpace

CHANNELS = {"R": (0.0, 1.0), "G": (0.0, 1.0), "B": (0.0, 1.0)}


def build() -> ColorSpace:
  """R, G, B in [0, 1], gamma-coded.

  Reference: Budhkar, Casabuena, Iyengar 2019, who predict (G, B) from R and R from (G, B).
  """
  return ColorSpace.of("rgb", CHANNELS, tf.identity, tf.identity)
