"""Scores of classes for every pixel, from feature maps of any sizes."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from sbae_tf.evaluation.standardized import Standardized


class ScoreHead(tf.Module):
  """The head of a fully convolutional network: scores of several maps, upsampled and summed.

  A convolution of 1 x 1 scores the classes on each map. From the smallest map up, scores are
  resized bilinearly to the next larger one's size and added to its own; the sum is resized to the
  photograph's. With maps of strides 32, 16 and 8 that is FCN-8s. Where the last map has stride 8,
  as in all backbones of this package, that one alone is as fine as FCN-8s, with no skip from an
  earlier layer; maps of strides 4 and 2 add such.

  Attributes:
    layers: names of the maps, as given.

  Reference: Long, Shelhamer and Darrell 2015, arXiv:1411.4038, Sec. 4.2 and Fig. 3; scores start
    at zero, as theirs of skips do.

  Differs from the paper: maps are standardized, as `Standardized` does, and all scores are learnt
  at once, where the paper adds one skip after the other; upsampling is not learnt.
  """

  def __init__(self, channels: Mapping[str, int], *, classes: int) -> None:
    """Makes a head that finds all classes equally likely everywhere.

    Args:
      channels: names of the maps, the largest map first, and C of each.
      classes: K.
    """
    super().__init__(name="score_head")
    self.layers = tuple(channels)
    self._standardized = []
    self._scores = []
    for name, count in channels.items():
      self._standardized.append(Standardized(count, name=f"score_{name}"))
      # Zeros: they depend on no seed, and the first step leaves the encoder as it is.
      score = tf.keras.layers.Conv2D(classes, 1, kernel_initializer="zeros", name=f"score_{name}")
      score.build((None, None, None, count))
      self._scores.append(score)

  def __call__(
    self, features: Mapping[str, tf.Tensor], *, size: tf.Tensor, training: bool
  ) -> tf.Tensor:
    """Scores of the classes.

    Args:
      features: by name, (B, h, w, C) of any float type; others than `layers` may be among them.
      size: (2,) int32, H and W of the photographs.
      training: whether the batch's own statistics are used, and remembered.

    Returns:
      (B, H, W, K) float32, unnormalized.
    """
    scores = []
    for name, standardized, score in zip(self.layers, self._standardized, self._scores):
      values = tf.cast(features[name], tf.float32)
      scores.append(score(standardized(values, training=training)))
    total = scores.pop()
    while scores:
      finer = scores.pop()
      total = finer + _resized(total, tf.shape(finer)[1:3])
    return _resized(total, size)


def _resized(scores: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
  return tf.image.resize(scores, size, method="bilinear")
