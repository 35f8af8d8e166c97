"""Filters of the first layer: of encoders in the color they mean, of other models as numbers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from PIL import Image

from sbae_tf import pictures
from sbae_tf.encoder import Encoder
from sbae_tf.evaluation.first_layer import draw_filters
from sbae_tf.evaluation.subject import of_encoder, of_saved_model
from tests import mean_color

SIDE, GAP = 48, 2


def test_an_encoder_is_drawn_in_the_colors_its_filters_mean(small_config) -> None:
  encoder = Encoder(small_config)
  np.testing.assert_array_equal(draw_filters(of_encoder(encoder)), pictures.filters(encoder))


def test_the_picture_that_a_saved_model_brings_along_is_taken(tmp_path) -> None:
  subject = of_saved_model(mean_color.save(tmp_path), image_size=8)
  picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
  Image.fromarray(picture).save(tmp_path / "assets" / "filters.png")  # As `export_encoder` does.
  np.testing.assert_array_equal(draw_filters(subject), picture)


class _Foreign(tf.Module):
  """Two convolutions, and a dense layer before them in the order of names."""

  def __init__(self, kernel: np.ndarray) -> None:
    super().__init__()
    channels = kernel.shape[2]
    self.a_dense = tf.Variable(tf.ones((channels, 3, 3, 5)))  # Of four dimensions, and no kernel.
    self.b_kernel = tf.Variable(kernel)
    self.c_kernel = tf.Variable(tf.ones((1, 1, kernel.shape[3], 3)))

  @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.uint8)])
  def features(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """A map, by both kernels."""
    values = tf.cast(images, tf.float32)[..., : self.b_kernel.shape[2]]
    values = tf.nn.conv2d(values, self.b_kernel, 1, "SAME")
    return {"map": tf.nn.conv2d(values, self.c_kernel, 1, "SAME")}


def _drawn(kernel: np.ndarray, folder) -> np.ndarray:
  """The picture's filters, in the middle of each of their pixels, (N, height, width, 3)."""
  model = _Foreign(kernel)
  tf.saved_model.save(model, str(folder), signatures={"serving_default": model.features})
  picture = draw_filters(of_saved_model(folder))
  zoom = SIDE // kernel.shape[0]
  cells = [picture[GAP : GAP + SIDE, GAP + i * (SIDE + GAP) :][:, :SIDE] for i in range(2)]
  return np.stack([cell[zoom // 2 :: zoom, zoom // 2 :: zoom] for cell in cells])


def test_a_foreign_kernel_is_drawn_about_gray(tmp_path) -> None:
  kernel = np.zeros((2, 2, 3, 2), np.float32)
  kernel[0, 1, 0, 0] = 4.0  # The first filter: red above on the right,
  kernel[1, 0, :, 0] = -2.0  # and half as dark below on the left.
  kernel[:, :, 2, 1] = 0.1  # The second: blue.
  first, second = _drawn(kernel, tmp_path / "model")
  assert first.tolist() == [[[128] * 3, [255, 128, 128]], [[64] * 3, [128] * 3]]
  assert (second == [128, 128, 255]).all()


def test_one_channel_is_gray_and_of_two_the_third_stays_so(tmp_path) -> None:
  white, black = _drawn(np.float32([1.0, -1.0]).reshape(1, 1, 1, 2), tmp_path / "1")
  assert (white == 255).all() and (black == 0).all()
  two, _ = _drawn(np.ones((1, 1, 2, 2), np.float32), tmp_path / "2")
  assert (two == [255, 255, 128]).all()


def test_without_a_kernel_there_is_no_picture(tmp_path) -> None:
  assert draw_filters(of_saved_model(mean_color.save(tmp_path), image_size=8)) is None
