"""The head that all tasks on a map share: one 1 x 1 convolution, in float32."""

from __future__ import annotations

import tensorflow as tf


def pointwise_head(features: int, outputs: int, *, name: str) -> tf.keras.Model:
  """(B, h, w, features) to (B, h, w, outputs) float32, whatever the precision policy."""
  inputs = tf.keras.Input((None, None, features), name="features")
  outputs = tf.keras.layers.Conv2D(outputs, 1, dtype="float32", name="prediction")(inputs)
  return tf.keras.Model(inputs, outputs, name=name)
