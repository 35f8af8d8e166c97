"""Scales the layers of a trained encoder so that in fine-tuning all learn at one rate."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from sbae_tf.encoder import Encoder
from sbae_tf.initialization import between_layers


def rescale_encoder(encoder: Encoder, images: np.ndarray, *, seed: int = 0) -> dict[str, float]:
  """Scales the weights of an encoder's convolutions, each layer by one factor.

  No feature map changes, but for rounding: the batch normalization behind a convolution takes the
  factor out again, without training exactly, and in training but for its epsilon. What changes is
  by how much of itself gradient descent changes a layer in a step: the same part in all of them
  afterwards. Adam's steps do not depend on a gradient's size: there the weights' own size decides.

  ```python
  encoder = sbae_tf.load_encoder("runs/mine/encoder")
  sbae_tf.rescale_encoder(encoder, images)
  sbae_tf.export_encoder(encoder, "encoder_rescaled")
  ```

  Args:
    encoder: the encoder, which is changed.
    images: (N, H, W, 3) uint8, a hundred or more, as `Encoder.__call__` takes them.
    seed: of the random losses that the rates are measured by.

  Returns:
    The rates as they were, as parts of their geometric mean, by tower and layer, such as
    `tower_L_0/conv1`; NaN for a layer that has none, which is left as it is.

  Raises:
    ValueError: the backbone has layers other than convolutions with batch normalization; or as
      `Encoder.__call__`.

  Reference: Krähenbühl et al. 2016, arXiv:1511.06856, Algorithm 2 on a trained network, as Zhang,
    Isola and Efros 2017, arXiv:1611.09842, do before they fine-tune.

  Differs from the paper: what is left of it with batch normalization, see
    `sbae_tf.initialization.between_layers`. There features become larger or smaller by a factor for
    each layer; here they stay as they are.
  """
  between_layers.check(encoder.towers)
  # In 16 bits small gradients would be lost.
  copy = Encoder(dataclasses.replace(encoder.config, precision="float32"))
  for ours, trained in zip(copy.variables, encoder.variables):
    ours.assign(trained)
  inputs = [values.numpy() for values in copy.tower_inputs(tf.constant(images))]
  rates = between_layers.equalize(copy.towers, inputs, seed=seed)
  for trained, ours in zip(encoder.variables, copy.variables):
    trained.assign(ours)
  names = [
    f"{tower.name}/{layer}" for tower in copy.towers for layer in between_layers.layers(tower)
  ]
  return dict(zip(names, map(float, rates)))
