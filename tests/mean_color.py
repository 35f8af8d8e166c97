"""A SavedModel that this package did not write, and photographs of which it makes known numbers."""

from __future__ import annotations

import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image


class MeanColor(tf.Module):
  """Colors in [0, 1]: their mean, and that of each 4 x 4 pixels."""

  def __init__(self) -> None:
    super().__init__()
    self.scale = tf.Variable(1 / 255)

  @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="pictures")])
  def colors(self, pictures: tf.Tensor) -> dict[str, tf.Tensor]:
    """The features; also some that are none."""
    values = tf.cast(pictures, tf.float32) * self.scale
    return {
      "color": tf.reduce_mean(values, axis=(1, 2)),
      "blocks/4": tf.nn.avg_pool2d(values, 4, 4, "VALID"),
      "large": tf.reduce_mean(values, axis=(1, 2)) * 1e6,
      "scalar": tf.reduce_sum(values),
    }

  @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.uint8)])
  def small(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Takes one size only."""
    return {"color": self.colors(images)["color"]}

  @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
  def floats(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Takes what no photograph is."""
    return {"color": images}

  @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), tf.uint8)])
  def single(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Takes one photograph at a time."""
    return {"color": self.colors(images)["color"]}


def save(folder: pathlib.Path, *, scale: float = 1 / 255) -> str:
  """Writes the SavedModel; returns its folder."""
  model = MeanColor()
  model.scale.assign(scale)
  signatures = {
    "serving_default": model.colors,
    "small": model.small,
    "floats": model.floats,
    "single": model.single,
  }
  tf.saved_model.save(model, str(folder), signatures=signatures)
  return str(folder)


def color(number: int) -> tuple[int, int, int]:
  """The color of a photograph, in [0, 255]; another one for each number below 5,120."""
  return number % 256, number // 256 * 12 + 5, (number * 37) % 256


def write_photographs(
  folder: pathlib.Path, count: int, *, broken: tuple[int, ...] = ()
) -> pathlib.Path:
  """Writes `red/000.png` and so on, each of one color; every third one in `blue`."""
  for number in range(count):
    file = folder / ("blue" if number % 3 == 2 else "red") / f"{number:03d}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), color(number)).save(file)
    if number in broken:
      file.write_bytes(b"broken")
  return folder


def expected(names: list[str]) -> np.ndarray:
  """(N, 3) float32: the feature `color` of photographs of those names."""
  numbers = [int(pathlib.Path(name).stem) for name in names]
  return np.array([color(number) for number in numbers], np.float32) / 255
