"""Work on pixels in blocks, for channels are too few to be a vector."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# TensorFlow's CPU kernels are slow where the last axis is 3 long: a constant added to each channel
# takes five times as long as to rows of 24.
PIXELS = 8


def rows(values: tf.Tensor) -> tf.Tensor:
  """(..., C) to (ceil(pixels / 8), 8 C), the last row filled up with zeros.

  Nothing is copied where the number of pixels is a multiple of 8.
  """
  channels = values.shape[-1]
  flat = tf.reshape(values, [-1])
  flat = tf.pad(flat, [[0, -tf.size(flat) % (PIXELS * channels)]])
  return tf.reshape(flat, [-1, PIXELS * channels])


def pixels(blocks: tf.Tensor, like: tf.Tensor, channels: int) -> tf.Tensor:
  """The way back: rows of 8 pixels to the shape of `like` with `channels` on the last axis."""
  shape = tf.concat([tf.shape(like)[:-1], [channels]], axis=0)
  flat = tf.reshape(blocks, [-1])[: tf.reduce_prod(shape)]
  result = tf.reshape(flat, shape)
  result.set_shape([*like.shape[:-1], channels])
  return result


def matrix(weights: np.ndarray) -> tf.Tensor:
  """(C, D) of one pixel to the float32 (8 C, 8 D) that does the same to each of a row."""
  return tf.constant(np.kron(np.eye(PIXELS), weights), tf.float32)


def vector(numbers: np.ndarray) -> tf.Tensor:
  """(C) of one pixel to float32 (8 C)."""
  return tf.constant(np.tile(numbers, PIXELS), tf.float32)
