"""The filters of an encoder's first layer, as a picture."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from PIL import Image

from sbae_tf import pictures
from sbae_tf.evaluation.subject import Subject

_PICTURE = "assets/filters.png"  # In the SavedModels of this package.
_SIDE, _GAP = 48, 2  # Pixels of a filter, about, and between two.


def draw_filters(subject: Subject) -> np.ndarray | None:
  """Draws the filters.

  Those of a live encoder, and of this package's SavedModels, are shown as the color that their
  weights mean, as `pictures.filters` does. Of another SavedModel the first variable is taken that
  is a convolution's kernel for 1 to 3 channels, in the order in which the SavedModel lists them or
  uses them; each filter is scaled so that 0 is gray and its largest weight black or white in a
  channel, and one channel is gray, while of two channels the third stays gray.

  Args:
    subject: whose.

  Returns:
    (H, W, 3) uint8; None where there is no such variable.
  """
  if subject.encoder is not None:
    return pictures.filters(subject.encoder)
  assert subject.path is not None, "a subject is an encoder or a SavedModel"
  drawn = tf.io.gfile.join(subject.path, _PICTURE)
  if tf.io.gfile.exists(drawn):
    with tf.io.gfile.GFile(drawn, "rb") as file:
      return tf.io.decode_png(file.read(), channels=3).numpy()
  loaded = tf.saved_model.load(subject.path)
  variables = list(getattr(loaded, "variables", ())) or [
    variable for signature in loaded.signatures.values() for variable in signature.variables
  ]
  kernels = (v for v in variables if v.shape.rank == 4 and 1 <= v.shape[2] <= 3)
  kernel = next(kernels, None)
  return None if kernel is None else _grid(kernel.numpy())


def _grid(weights: np.ndarray) -> np.ndarray:
  """(height, width, C, N) weights to filters on white, (H, W, 3) uint8."""
  filters = np.moveaxis(weights.astype(np.float32), -1, 0)
  filters = 0.5 + 0.5 * filters / (np.abs(filters).max(axis=(1, 2, 3), keepdims=True) + 1e-12)
  if filters.shape[-1] == 1:
    filters = filters.repeat(3, axis=-1)
  missing = 3 - filters.shape[-1]
  filters = np.pad(filters, [(0, 0)] * 3 + [(0, missing)], constant_values=0.5)
  images = np.round(255 * filters).astype(np.uint8)
  zoom = max(1, _SIDE // max(images.shape[1:3]))
  images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
  columns = math.ceil(math.sqrt(len(images)))
  height, width = images.shape[1] + _GAP, images.shape[2] + _GAP
  rows = math.ceil(len(images) / columns)
  canvas = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
  for i, image in enumerate(images):
    corner = (_GAP + i % columns * width, _GAP + i // columns * height)
    canvas.paste(Image.fromarray(image), corner)
  return np.asarray(canvas)
