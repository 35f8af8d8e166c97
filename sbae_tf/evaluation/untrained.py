"""The network of an encoder with fresh weights: what training from scratch starts from."""

from __future__ import annotations

import json

import tensorflow as tf

from sbae_tf import config_json
from sbae_tf.encoder import Encoder
from sbae_tf.evaluation.subject import Subject

_CONFIG = "assets/config.json"


def untrained(subject: Subject, *, seed: int) -> Encoder:
  """Builds the same network anew.

  Args:
    subject: a live encoder, or a SavedModel of this package, which holds its configuration.
    seed: of the weights; becomes the global one of Python, NumPy and TensorFlow.

  Raises:
    ValueError: how the network is built is not known.
  """
  config = subject.encoder.config if subject.encoder is not None else None
  if config is None and subject.path is not None:
    try:
      with tf.io.gfile.GFile(tf.io.gfile.join(subject.path, _CONFIG), "rb") as file:
        config = config_json.from_json(json.loads(file.read()))
    except (tf.errors.OpError, ValueError, TypeError, AttributeError):
      pass  # Written by others.
  if config is None:
    raise ValueError(
      f"Expected an encoder of this package to train from scratch. {subject.name} does not tell "
      "how its network is built: leave out the option from_scratch."
    )
  tf.keras.utils.set_random_seed(seed)
  return Encoder(config)
