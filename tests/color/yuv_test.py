"""YUV against its definition."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.color import yuv


def test_agrees_with_the_definition():
  images = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
  r, g, b = np.moveaxis(images / 255, -1, 0)
  y = 0.299 * r + 0.587 * g + 0.114 * b
  expected = np.stack([y, 0.492111 * (b - y), 0.877283 * (r - y)], -1)
  ours = yuv.build().encode(tf.constant(images)).numpy()
  np.testing.assert_allclose(ours, expected, atol=1e-4)
