"""Views for contrastive learning: crops against TensorFlow's, colors against Python's."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.tasks import _random_views
from sbae_tf.tasks._random_views import crop, random_views

SEED = tf.constant([0, 7], tf.int64)


def test_crop_agrees_with_crop_and_resize():
  rng = np.random.default_rng(0)
  images = tf.constant(rng.uniform(0, 255, (4, 24, 32, 3)), tf.float32)
  box = np.array([[0, 0, 24, 32], [3, 5, 10, 20], [13, 0, 11, 9], [23, 31, 1, 1]])
  flipped = np.array([True, False, True, False])
  top, left, height, width = box.T
  bottom, right = top + height - 1, left + width - 1
  left, right = np.where(flipped, right, left), np.where(flipped, left, right)
  corners = np.stack([top / 23, left / 31, bottom / 23, right / 31], 1).astype(np.float32)
  expected = tf.image.crop_and_resize(images, corners, tf.range(4), (24, 32))
  ours = crop(images, tf.constant(box, tf.int32), flipped=tf.constant(flipped))
  assert ours.shape == images.shape
  np.testing.assert_allclose(ours, expected, atol=0.01)
  np.testing.assert_allclose(ours[0], images[0, :, ::-1], atol=1e-3)


def _recolored_by_definition(image, draws, strength) -> np.ndarray:
  """One image: brightness, contrast about each channel's mean, then saturation and hue."""
  brightness, contrast, saturation, hue, jittered, gray = draws
  if jittered < 0.8:
    image = np.clip(image + 0.2 * 255 * strength * (2 * brightness - 1), 0, 255)
    mean = image.mean((0, 1))
    image = np.clip((image - mean) * (1 + 0.8 * strength * (2 * contrast - 1)) + mean, 0, 255)
    factor = 0.5 + 0.2 * strength * (2 * saturation - 1)
    factor = factor / (1 - factor)
    turn = 0.1 * strength * (2 * hue - 1)

    def turned(pixel):
      h, s, v = colorsys.rgb_to_hsv(*(pixel / 255))
      return np.array(colorsys.hsv_to_rgb((h + turn) % 1, min(1.0, s * factor), v)) * 255

    image = np.apply_along_axis(turned, 2, image)
  if gray < 0.2:
    image = np.repeat((image @ [0.2989, 0.5870, 0.1140])[..., None], 3, -1)
  return image


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_colors_agree_with_the_definition(strength):
  rng = np.random.default_rng(0)
  images = rng.uniform(0, 255, (6, 5, 4, 3)).astype(np.float32)
  draws = rng.uniform(0, 1, (6, 6)).astype(np.float32)
  draws[:, 4:] = [[0.7, 0.3], [0.7, 0.1], [0.9, 0.3], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]
  ours = _random_views._recolor(tf.constant(images), tf.constant(draws), strength=strength)
  expected = [_recolored_by_definition(i, d, strength) for i, d in zip(images, draws)]
  np.testing.assert_allclose(ours, np.stack(expected), atol=0.1)
  np.testing.assert_array_equal(ours[2], images[2])


def test_parts_of_the_views():
  """Of 2,000 views of a picture whose corners differ, within 5 standard deviations."""
  picture = np.zeros((1, 8, 8, 3), np.uint8)
  picture[:, :, :4, 0] = 200  # Red on the left, blue on the right.
  picture[:, :, 4:, 2] = 200
  views = random_views(
    tf.constant(np.repeat(picture, 2000, 0)), SEED, area=(1.0, 1.0), strength=0.0
  ).numpy()
  gray = np.ptp(views.astype(int), axis=-1).max((1, 2)) == 0
  assert gray.mean() == pytest.approx(0.2, abs=0.045)
  flipped = views[~gray, 0, 0, 2] > 0
  assert flipped.mean() == pytest.approx(0.5, abs=0.063)
  # Neither cropped nor jittered: the picture or its mirror, but for rounding in and out of HSV.
  for found, mirrored in ((views[~gray][~flipped], False), (views[~gray][flipped], True)):
    expected = picture[:, :, ::-1] if mirrored else picture
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_areas():
  """A ramp tells what was cut out of it; areas between the two that are given."""
  side = 64
  ramp = np.zeros((500, side, side, 3), np.uint8)
  ramp[..., 0] = np.arange(side)[:, None] * 4
  ramp[..., 1] = np.arange(side) * 4
  draws = random_views(tf.constant(ramp), SEED, area=(0.2, 0.5), strength=0.0).numpy().astype(int)
  colored = draws[np.ptp(draws, axis=-1).max((1, 2)) > 0]
  height = (colored[:, -1, 0, 0] - colored[:, 0, 0, 0]) / 4 + 1
  width = np.abs(colored[:, 0, -1, 1] - colored[:, 0, 0, 1]) / 4 + 1
  area = height * width / side**2
  # Gray ones that were not gray to the last digit have no size; others are whole pixels.
  fine = (height > 8) & (width > 8)
  assert fine.mean() > 0.7
  assert area[fine].min() > 0.18 and area[fine].max() < 0.53
  assert np.ptp(area[fine]) > 0.25
  assert (np.abs(np.log(width / height))[fine] < np.log(4 / 3) + 0.1).all()
