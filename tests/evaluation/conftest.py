"""Photographs that are easily told apart, and a SavedModel of others, for fine-tuning."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf.data import files
from sbae_tf.evaluation.labelled import Labelled

_COLORS = {"blue": (40, 60, 220), "green": (40, 200, 60), "red": (220, 50, 40)}


@pytest.fixture(scope="session")
def write_squares() -> Callable[..., Labelled]:
  """Writes `each` photographs a class into a folder: squares of its color on gray noise."""

  def write(folder: pathlib.Path, *, each: int, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    for name, color in _COLORS.items():
      (folder / name).mkdir(parents=True)
      for number in range(each):
        pixels = rng.integers(90, 160, (40, 40, 1)).repeat(3, axis=2)
        top, left = rng.integers(4, 16, 2)
        side = rng.integers(12, 20)
        pixels[top : top + side, left : left + side] = color
        kind = ("png", "jpg")[number % 2]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number:02}.{kind}")
    return Labelled(files.build(str(folder)))

  return write


@pytest.fixture(scope="session")
def squares(write_squares, tmp_path_factory) -> tuple[Labelled, Labelled]:
  """12 to train on and 10 others to test on, of each of three classes."""
  folder = tmp_path_factory.mktemp("squares")
  return (
    write_squares(folder / "train", each=12, seed=0),
    write_squares(folder / "test", each=10, seed=1),
  )


class _Others(tf.train.Checkpoint):
  """Three convolutions, by TensorFlow's convention for reusable SavedModels."""

  def __init__(self) -> None:
    super().__init__()
    self.variables = []
    for number, name in enumerate(("conv1", "conv2_block_conv1", "conv10")):
      kernel = tf.random.stateless_normal((3, 3, 3 + 5 * (number > 0), 8), (0, number), stddev=0.2)
      self.variables.append(tf.Variable(kernel, name=f"{name}/kernel"))
    self.trainable_variables = self.variables

  @tf.function(
    input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.uint8), tf.TensorSpec((), tf.bool)]
  )
  def __call__(self, images, training):
    x, features = tf.cast(images, tf.float32) / 255, {}
    for name, kernel in zip(("conv1", "conv2", "conv10"), self.variables):
      features[name] = x = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME"))
    return features

  @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.uint8)])
  def serve(self, images):
    return self(images, tf.constant(False))


@pytest.fixture(scope="session")
def others_model(tmp_path_factory) -> pathlib.Path:
  """A SavedModel that this package did not write: `conv1`, `conv2` and `conv10` of 32 x 32."""
  others = _Others()
  path = tmp_path_factory.mktemp("others") / "model"
  tf.saved_model.save(others, str(path), signatures=others.serve)
  return path
