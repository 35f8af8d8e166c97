"""Photographs and pixels that are easily told apart, and encoders of others, for fine-tuning."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf.data import files
from sbae_tf.evaluation.labelled import Labelled
from sbae_tf.evaluation.subject import Subject

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


@pytest.fixture(scope="session")
def write_scenes() -> Callable[..., Labelled]:
  """Writes photographs into a folder, 42 x 53, and masks of their pixels beside it.

  A rectangle of red (number 4) and one of blue (7) on gray noise (0). Around blue nothing is known
  (9).
  """

  def write(folder: pathlib.Path, *, count: int, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    masks = folder.with_name(folder.name + "annot")
    folder.mkdir(parents=True)
    masks.mkdir()
    for number in range(count):
      pixels = rng.integers(100, 150, (42, 53, 1)).repeat(3, axis=2)
      mask = np.zeros((42, 53), np.uint8)
      top, left = rng.integers(2, 20, 2)
      for at, color, label in (
        (left, _COLORS["red"], 4),
        (left + 16, (128, 128, 128), 9),
        (left + 18, _COLORS["blue"], 7),
      ):
        pixels[top : top + 18, at : at + 12] = color
        mask[top : top + 18, at : at + 12] = label
      Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02}.png")
      Image.fromarray(mask).save(masks / f"{number:02}.png")
    return Labelled(files.build(str(folder)), classes=False)

  return write


class AnySize(tf.Module):
  """An encoder of two convolutions, by the seed, that takes photographs of any size."""

  def __init__(self, seed: int) -> None:
    super().__init__()
    self.kernels = [
      tf.Variable(
        tf.random.stateless_normal((3, 3, channels, 8), (seed, channels), stddev=0.3),
        name=f"conv{number}/kernel",
      )
      for number, channels in ((1, 3), (2, 8))
    ]

  def __call__(self, images: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
    x, features = tf.cast(images, tf.float32) / 128 - 1, {}
    for number, kernel in enumerate(self.kernels, 1):
      features[f"conv{number}"] = x = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME"))
    return {**features, "embedding": tf.reduce_mean(x, axis=(1, 2))}


@pytest.fixture(scope="session")
def any_size() -> Callable[[int], AnySize]:
  """Makes an encoder by a seed, `conv1` and `conv2` of strides 2 and 4."""
  return AnySize


@pytest.fixture
def any_size_subject() -> Subject:
  """One of these under evaluation; photographs of 32 x 32."""
  encoder = AnySize(0)
  shapes = {"conv1": (16, 16, 8), "conv2": (8, 8, 8), "embedding": (8,)}
  return Subject(
    name="any",
    image_size=32,
    shapes=shapes,
    checksum="0",
    features=encoder,
    trainable=encoder,
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
