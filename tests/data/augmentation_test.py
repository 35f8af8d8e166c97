"""Tests of sbae_tf.data.augmentation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import augmentation

ALL = {"area": (1.0, 1.0), "aspect": (1.0, 1.0)}  # Of a square image: the whole of it.
USUAL = {"area": (0.25, 1.0), "aspect": (3 / 4, 4 / 3)}


def _random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
  return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _tensor(pixels: np.ndarray) -> tf.Tensor:
  return tf.constant(pixels, tf.uint8)


def _torchvision_box(size, draws, area, aspect):
  """torchvision's RandomResizedCrop.get_params, re-written from its documentation."""
  height, width = size
  for u_area, u_aspect, u_top, u_left in draws.T:
    target = height * width * (area[0] + u_area * (area[1] - area[0]))
    ratio = math.exp(math.log(aspect[0]) + u_aspect * math.log(aspect[1] / aspect[0]))
    w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
    if 0 < w <= width and 0 < h <= height:
      return int(u_top * (height - h + 1)), int(u_left * (width - w + 1)), h, w
  w, h = width, height
  if width / height < aspect[0]:
    h = min(max(round(w / aspect[0]), 1), height)
  elif width / height > aspect[1]:
    w = min(max(round(h * aspect[1]), 1), width)
  return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("ranges", [USUAL, ALL, {"area": (0.08, 0.2), "aspect": (0.5, 3.0)}])
@pytest.mark.parametrize("size", [(96, 96), (375, 500), (500, 333), (40, 900), (7, 5)])
def test_boxes_are_torchvisions(size, ranges):
  choose = tf.function(lambda draws: augmentation.choose_box(tf.constant(size), draws, **ranges))
  generator = np.random.default_rng(1)
  for _ in range(50):
    draws = generator.random((4, 10), np.float32)
    assert tuple(choose(draws).numpy()) == _torchvision_box(size, draws, **ranges)


def test_boxes_stay_inside_even_for_the_largest_draws():
  largest = np.full((4, 10), np.nextafter(np.float32(1), np.float32(0)), np.float32)
  small_at_the_end = np.concatenate([largest[:2] * 0.1, largest[2:]])
  choose = tf.function(
    lambda size, draws: augmentation.choose_box(size, draws, area=(1e-6, 1.0), aspect=(0.1, 10.0))
  )
  generator = np.random.default_rng(2)
  for size in [(1, 1), (1, 50), (50, 1), (2, 3), *generator.integers(1, 20000, (100, 2))]:
    for d in (largest, largest * 0, small_at_the_end, generator.random((4, 10), np.float32)):
      top, left, height, width = choose(tf.constant(size, tf.int32), d).numpy()
      assert height >= 1 and width >= 1 and top >= 0 and left >= 0
      assert top + height <= size[0] and left + width <= size[1]


@pytest.mark.parametrize("size", [(1000, 2000), (2000, 1000)])
def test_areas_and_aspects_fill_their_ranges(size):
  """In pixels, so that crops of an upright photograph are not taller than those of a wide one."""
  ranges = {"area": (0.05, 0.25), "aspect": (1 / 2, 2 / 1)}  # Every try fits.
  choose = tf.function(lambda d: augmentation.choose_box(tf.constant(size), d, **ranges))
  boxes = np.stack([choose(d) for d in np.random.default_rng(3).random((600, 4, 10), np.float32)])
  area, aspect = boxes[:, 2] * boxes[:, 3] / 2e6, boxes[:, 3] / boxes[:, 2]
  assert 0.0495 < area.min() < 0.052 and 0.248 < area.max() < 0.2505
  assert abs(area.mean() - 0.15) < 0.01
  assert 0.499 < aspect.min() < 0.51 and 1.96 < aspect.max() < 2.01
  assert abs(np.log(aspect).mean()) < 0.05
  places = boxes[:, :2] / (size - boxes[:, 2:])
  assert (places.min(0) < 0.02).all() and (places.max(0) > 0.98).all()
  np.testing.assert_allclose(places.mean(0), 0.5, atol=0.04)


def test_the_whole_image_at_its_own_size_is_unchanged():
  image = _random_image(32, 32)
  crop = augmentation.random_resized_crop(_tensor(image), (0, 0), image_size=32, flip=False, **ALL)
  assert crop.dtype == tf.uint8
  np.testing.assert_array_equal(crop, image)


def test_flip_mirrors_half_of_the_images_left_to_right():
  image = _random_image(16, 16)
  mirrored = []
  crop = tf.function(
    lambda seed: augmentation.random_resized_crop(
      _tensor(image), seed, image_size=16, flip=True, **ALL
    )
  )
  for i in range(200):
    result = crop(tf.constant([5, i])).numpy()
    mirrored.append(np.array_equal(result, image[:, ::-1]))
    assert mirrored[-1] or np.array_equal(result, image)
  assert 75 <= sum(mirrored) <= 125


def test_flip_does_not_change_where_the_crop_is():
  image = _tensor(_random_image(50, 70))
  for i in range(10):
    plain, flipped = (
      augmentation.random_resized_crop(image, (1, i), image_size=16, flip=flip, **USUAL)
      for flip in (False, True)
    )
    difference = [
      np.abs(plain.numpy().astype(int) - other).max()
      for other in (flipped.numpy(), flipped.numpy()[:, ::-1])
    ]
    assert min(difference) <= 1


def test_the_crop_shows_the_pixels_of_its_box():
  """On an image whose red is the row and whose green is the column, the corners are the box's."""
  rows, columns = np.meshgrid(np.arange(120), np.arange(200), indexing="ij")
  image = _tensor(np.stack([rows, columns, 0 * rows], axis=-1))
  for i in range(20):
    seed = tf.constant([3, i], tf.int64)
    draws = tf.reshape(tf.random.stateless_uniform((41,), seed)[1:], (4, 10))
    top, left, height, width = augmentation.choose_box((120, 200), draws, **USUAL).numpy()
    # Larger than half of any crop, so that nothing is averaged first.
    crop = augmentation.random_resized_crop(image, seed, image_size=80, flip=False, **USUAL)
    np.testing.assert_allclose(crop[0, 0, :2], [top, left], atol=1)
    np.testing.assert_allclose(crop[-1, -1, :2], [top + height - 1, left + width - 1], atol=1)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_integer_reduction_is_the_mean_over_blocks(factor):
  image = _random_image(factor * 16, factor * 16)
  crop = augmentation.random_resized_crop(_tensor(image), (0, 0), image_size=16, flip=False, **ALL)
  mean = image.reshape(16, factor, 16, factor, 3).astype(np.float64).mean(axis=(1, 3))
  np.testing.assert_allclose(crop, mean, atol=0.51)


def test_reduction_does_not_alias():
  """A checkerboard of single pixels is gray from afar; plain bilinear sampling keeps it."""
  board = np.indices((128, 128)).sum(0)[..., None] % 2 * np.full(3, 255)
  crop = augmentation.random_resized_crop(_tensor(board), (0, 0), image_size=32, flip=False, **ALL)
  assert np.abs(crop.numpy().astype(int) - 127.5).max() <= 1
  plain = tf.image.crop_and_resize(board[None].astype(np.float32), [[0.0, 0, 1, 1]], [0], (32, 32))
  assert np.std(plain) > 40


def test_no_border_appears_on_a_white_image():
  """`crop_and_resize` is black where rounding puts a sample point outside."""
  crop = tf.function(
    lambda image, seed: augmentation.random_resized_crop(
      image, seed, image_size=96, flip=True, **USUAL
    ),
    input_signature=[tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((2,), tf.int32)],
  )
  for i in range(150):
    height, width = np.random.default_rng(i).integers(1, 400, 2)
    white = tf.fill((height, width, 3), tf.constant(255, tf.uint8))
    assert tf.reduce_min(crop(white, (7, i))) == 255, (i, height, width)


def test_crop_is_the_same_eagerly_in_graphs_and_in_data():
  image = _tensor(_random_image(150, 90))

  def crop(seed):
    return augmentation.random_resized_crop(image, seed, image_size=32, flip=True, **USUAL)

  seeds = tf.constant([[0, i] for i in range(8)], tf.int64)
  in_graph = tf.function(crop)
  from_data = tf.data.Dataset.from_tensor_slices(seeds).map(crop, num_parallel_calls=2)
  assert from_data.element_spec == tf.TensorSpec((32, 32, 3), tf.uint8)
  for seed, result in zip(seeds, from_data):
    np.testing.assert_array_equal(crop(seed), result)
    np.testing.assert_array_equal(in_graph(seed), result)


def test_another_seed_is_another_crop():
  image = _tensor(_random_image(64, 64))
  crops = {
    augmentation.random_resized_crop(image, seed, image_size=16, flip=True, **USUAL)
    .numpy()
    .tobytes()
    for seed in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 256), (0, 2**40))
  }
  assert len(crops) == 6


def test_center_crop_of_a_square_is_the_image():
  image = _random_image(24, 24)
  np.testing.assert_array_equal(augmentation.center_crop(_tensor(image), image_size=24), image)


@pytest.mark.parametrize("size", [(24, 40), (40, 24)])
def test_center_crop_keeps_the_middle(size):
  image = _random_image(*size)
  top, left = (size[0] - 24) // 2, (size[1] - 24) // 2
  crop = augmentation.center_crop(_tensor(image), image_size=24)
  np.testing.assert_array_equal(crop, image[top : top + 24, left : left + 24])


def test_center_crop_halves_by_the_triangle_filter():
  """Bilinear with antialiasing at scale 2 weighs four pixels 1, 3, 3, 1 in each direction."""
  image = _random_image(32, 32)
  crop = augmentation.center_crop(_tensor(image), image_size=16)
  expected = image.astype(np.float64)
  for _ in range(2):  # Rows, then columns.
    padded = np.pad(expected, ((1, 1), (0, 0), (0, 0)))
    rows = padded[0:-3:2] + 3 * padded[1:-2:2] + 3 * padded[2:-1:2] + padded[3::2]
    expected = (rows / 8).transpose(1, 0, 2)
  np.testing.assert_allclose(crop[1:-1, 1:-1], expected[1:-1, 1:-1], atol=0.51)


def test_center_crop_enlarges_and_is_the_same_in_data():
  image = _tensor(_random_image(9, 5))
  crop = augmentation.center_crop(image, image_size=16)
  assert crop.dtype == tf.uint8
  from_data = tf.data.Dataset.from_tensors(image).map(
    lambda i: augmentation.center_crop(i, image_size=16)
  )
  assert from_data.element_spec == tf.TensorSpec((16, 16, 3), tf.uint8)
  np.testing.assert_array_equal(next(iter(from_data)), crop)
  white = tf.fill((301, 222, 3), tf.constant(255, tf.uint8))
  assert tf.reduce_min(augmentation.center_crop(white, image_size=96)) == 255


@pytest.mark.parametrize(
  "image", [tf.zeros((8, 8, 3)), tf.zeros((1, 8, 8, 3), tf.uint8), tf.zeros((8, 8, 1), tf.uint8)]
)
def test_wrong_images_are_refused(image):
  for crop in (
    lambda i: augmentation.center_crop(i, image_size=8),
    lambda i: augmentation.random_resized_crop(i, (0, 0), image_size=8, flip=False, **ALL),
  ):
    with pytest.raises(ValueError, match=r"Expected `image` \(H, W, 3\) uint8. Received: \("):
      crop(image)


@pytest.mark.parametrize(
  ("ranges", "message"),
  [
    ({"area": (0.0, 1.0)}, r"`area`.*\(0.0, 1.0\)"),
    ({"area": (0.5, 1.1)}, "`area`"),
    ({"area": (0.6, 0.5)}, "`area`"),
    ({"aspect": (0.0, 1.0)}, "`aspect`"),
    ({"aspect": (2.0, 1.0)}, "`aspect`"),
    ({"aspect": (1.0, math.inf)}, "`aspect`"),
  ],
)
def test_wrong_ranges_are_refused(ranges, message):
  with pytest.raises(ValueError, match=message):
    augmentation.check_ranges(**{**USUAL, **ranges})
  with pytest.raises(ValueError, match=message):
    augmentation.choose_box((8, 8), tf.zeros((4, 10)), **{**USUAL, **ranges})
