"""The encoder as a graph that converters to other formats read."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.color.color_space import ColorSpace
from sbae_tf.encoder import Encoder

# Begins the names of what converts colors, in the graph and in what is made of it.
COLOR_SCOPE = "color_conversion"


def save_portable(encoder: Encoder, path: str | os.PathLike[str], *, image_size: int) -> None:
  """Writes a SavedModel of plain operations: no choice by device, no checks, no 16 bits.

  Colors are converted by their definition on every device. The SavedModel of `export_encoder`
  chooses between that and a faster way when it runs, by operations that other formats do not have.

  Its one signature, `serving_default`, takes `images`, (B, S, S, 3) uint8 sRGB, any B, or as many
  planes as the color space takes, and gives what `Encoder.__call__` does.

  Args:
    encoder: the encoder; its weights are copied.
    path: the SavedModel's folder.
    image_size: S, the side of the photographs in pixels.

  Raises:
    ValueError: the stride does not divide `image_size`.
  """
  if image_size <= 0 or image_size % encoder.stride:
    raise ValueError(
      f"Expected `image_size` a multiple of {encoder.stride} above 0. Received: {image_size}."
    )
  # Variables are float32 under every precision, and so are all numbers under this one.
  copy = Encoder(dataclasses.replace(encoder.config, precision="float32"))
  for ours, theirs in zip(copy.variables, encoder.variables):
    ours.assign(theirs)
  fields = {field.name: getattr(copy.color, field.name) for field in dataclasses.fields(copy.color)}
  copy.color = _ByDefinition(**{**fields, "encode_on_cpu": None})
  shape = (None, image_size, image_size, encoder.color.planes)
  images = tf.TensorSpec(shape, tf.uint8, name="images")
  # Variables alone: Keras models in a SavedModel take seconds and megabytes, which nobody reads.
  module = tf.Module()
  module.weights = copy.variables
  function = tf.function(copy.__call__, autograph=False).get_concrete_function(images)
  with runtime.quiet_logs():
    tf.saved_model.save(module, str(path), signatures=function)


class _ByDefinition(ColorSpace):
  """A color space that never chooses by device."""

  def encode(self, images: tf.Tensor) -> tf.Tensor:
    with tf.name_scope(COLOR_SCOPE):
      return super().encode(images)

  def scale(self, values: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
    chosen = self.select(names)
    low = np.array([channel.low for channel in chosen], np.float32)
    high = np.array([channel.high for channel in chosen], np.float32)
    with tf.name_scope(COLOR_SCOPE):
      return (self.slice(values, names) - (high + low) / 2) / ((high - low) / 2)
