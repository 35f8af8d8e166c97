"""Tests of sbae_tf.data.augmentation."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf.data import augmentation
from sbae_tf.data.augmentation import DRAWS, Cut
from tests.data.exif import STORED

ALL = {"area": (1.0, 1.0), "aspect": (1.0, 1.0)}  # Of a square image: the whole of it.
USUAL = {"area": (0.25, 1.0), "aspect": (3 / 4, 4 / 3)}
WIDE = {"area": (0.004, 1.0), "aspect": (1 / 2, 2.0)}
FIELDS = ("ratio", "window", "factor", "turned")


def _draws(count: int, seed: int = 0) -> np.ndarray:
  draws = np.random.default_rng(seed).random((count, DRAWS - 1), np.float32)
  return np.insert(draws, 1, 0.5, axis=1)  # That of the turn: none but where it is asked for.


def _tries(draws: np.ndarray) -> np.ndarray:
  """(M, 4, T): what remains of an image's draws after those for its flip and turn."""
  return draws[:, 2:].reshape(len(draws), 4, -1)


def _boxes(size: tuple[int, int], draws: np.ndarray, **ranges: tuple[float, float]) -> np.ndarray:
  """(M, 4): the boxes of upright images of one size."""
  sizes = tf.constant(np.tile(size, (len(draws), 1)), tf.int32)
  return augmentation.choose_box(sizes, _tries(draws), **(ranges or USUAL)).numpy()


def _random_cut(
  size: np.ndarray,
  draws: np.ndarray,
  *,
  image_size: int,
  orientation: int = 1,
  largest_ratio: int = 1,
  flip: bool = False,
  **ranges: tuple[float, float],
) -> Cut:
  """Cuts of images (M, 2), or (2,) all of one size."""
  ones = np.ones(len(draws), np.int32)
  return augmentation.random_cut(
    tf.constant(np.broadcast_to(size, (len(draws), 2)), tf.int32),
    tf.constant(orientation * ones),
    tf.constant(draws),
    image_size=image_size,
    largest_ratio=tf.constant(largest_ratio * ones),
    flip=flip,
    **(ranges or USUAL),
  )


def _central_cut(
  size: tuple[int, int], *, image_size: int, orientation: int = 1, largest_ratio: int = 1
) -> Cut:
  return augmentation.central_cut(
    tf.constant([size]),
    tf.constant([orientation]),
    image_size=image_size,
    largest_ratio=tf.constant([largest_ratio]),
  )


def _reduce(stored: np.ndarray, ratio: int) -> np.ndarray:
  """Means over ratio x ratio pixels, as a JPEG's are; the last ones of pixels that are repeated."""
  height, width = (-(-side // ratio) for side in stored.shape[:2])
  below, beside = height * ratio - stored.shape[0], width * ratio - stored.shape[1]
  whole = np.pad(stored, ((0, below), (0, beside), (0, 0)), mode="edge").astype(np.float64)
  return np.rint(whole.reshape(height, ratio, width, ratio, 3).mean((1, 3))).astype(np.uint8)


@functools.cache
def _resample(image_size: int) -> Callable[..., tf.Tensor]:
  """In a graph, which does many images faster."""
  return tf.function(
    lambda pixels, factor: augmentation.resample(pixels, image_size=image_size, factor=factor),
    input_signature=[tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int32)],
  )


def _inputs(stored: np.ndarray, cut: Cut, *, image_size: int) -> np.ndarray:
  """(M, S, S, 3) uint8: M cuts of one picture."""
  reduced = {ratio: _reduce(stored, ratio) for ratio in set(cut.ratio.numpy())}
  images = []
  for ratio, window, factor in zip(cut.ratio.numpy(), cut.window, cut.factor):
    top, left, height, width = window.numpy()
    pixels = reduced[ratio][top : top + height, left : left + width]
    assert pixels.shape[:2] == (height, width) and min(top, left) >= 0
    image = _resample(image_size)(tf.constant(pixels), factor)
    if factor == 1:
      same = augmentation.resample(tf.constant(pixels), image_size=image_size)
      np.testing.assert_array_equal(image, same)
    images.append(image)
  return augmentation.turn(tf.stack(images), cut.turned).numpy()


def _random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
  return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _slope(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
  """(..., 3): red says the row and green the column, two levels a pixel, up to 127; blue both.

  Linear, so that means and interpolation keep it; whole at whole pixels, so that nothing is rounded
  but the result.
  """
  return np.stack(np.broadcast_arrays(2 * rows, 2 * columns, 127 + rows - columns), axis=-1)


def _slope_picture(height: int, width: int) -> np.ndarray:
  assert max(height, width) <= 128
  return _slope(*np.mgrid[:height, :width]).astype(np.uint8)


def _centers(start: float, extent: float, image_size: int) -> np.ndarray:
  """Where the centers of the input's pixels lie; the first pixel's of the picture is at 0.

  Half-pixel centers; where the part is enlarged, its outermost pixels go on to its edge.
  """
  centers = (np.arange(image_size) + 0.5) * extent / image_size - 0.5
  return start + np.clip(centers, 0, extent - 1)


def _decoded_boxes(cut: Cut, size: tuple[int, int], orientation: int) -> np.ndarray:
  """(M, 4): the parts of an upright picture of (H, W) pixels that the windows of cuts show.

  The last pixel after reduction counts as whole, also where there is less of it in the picture.
  """
  rows, columns = (
    np.pad(STORED[orientation](index), ((0, 8), (0, 8)), mode="reflect", reflect_type="odd")
    for index in np.indices(size)
  )
  boxes = []
  for ratio, window in zip(cut.ratio.numpy(), cut.window.numpy()):
    top, left, height, width = window * ratio
    part = slice(top, top + height), slice(left, left + width)
    box = [(index[part].min(), np.ptp(index[part]) + 1) for index in (rows, columns)]
    boxes.append(np.transpose(box).ravel())
  return np.array(boxes)


def _expected(box: tuple[int, ...], image_size: int, *, mirrored: bool = False) -> np.ndarray:
  """(S, S, 3): what the slope shows in a box, resized and mirrored. In NumPy alone."""
  top, left, height, width = box
  rows, columns = _centers(top, height, image_size), _centers(left, width, image_size)
  columns = columns[::-1] if mirrored else columns
  return _slope(rows[:, np.newaxis], columns[np.newaxis])


def _torchvision_box(size, draws, area, aspect):
  """torchvision's RandomResizedCrop.get_params, re-written from its documentation."""
  height, width = size
  for u_area, u_aspect, u_top, u_left in draws.T.astype(np.float64):
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


# The rule of the boxes.


@pytest.mark.parametrize(
  "ranges",
  [USUAL, ALL, {"area": (0.08, 0.2), "aspect": (0.5, 3.0)}, {"area": (0.9, 1), "aspect": (2, 3)}],
)
def test_boxes_are_torchvisions(ranges):
  sizes = [(96, 96), (375, 500), (500, 333), (40, 900), (900, 40), (7, 5), (1, 1), (1, 500)]
  sizes = np.repeat(sizes, 100, axis=0)
  draws = _tries(_draws(len(sizes), seed=1))
  boxes = augmentation.choose_box(tf.constant(sizes, tf.int32), draws, **ranges).numpy()
  expected = [_torchvision_box(size, draw, **ranges) for size, draw in zip(sizes, draws)]
  # In single precision a side that ends on a half, or a place, may be rounded otherwise.
  assert (boxes != expected).any(axis=1).sum() <= 2


def test_an_image_has_its_box_whatever_it_is_chosen_with():
  sizes = tf.constant([(96, 96), (40, 900), (500, 333), (1, 1)])
  draws = tf.constant(_tries(_draws(4)))
  together = augmentation.choose_box(sizes, draws, **USUAL)
  for i in range(4):
    alone = augmentation.choose_box(sizes[i : i + 1], draws[i : i + 1], **USUAL)
    np.testing.assert_array_equal(alone[0], together[i])


@pytest.mark.parametrize("area", [(1e-6, 1.0), (1.0, 1.0)])
def test_boxes_stay_inside_even_for_the_largest_draws(area):
  generator = np.random.default_rng(2)
  sizes = [(1, 1), (1, 500), (500, 1), (2, 3), (65535, 1), (10000, 10000)]
  sizes = np.concatenate([sizes, generator.integers(1, 20000, (200, 2))]).astype(np.int32)
  random = _tries(_draws(len(sizes)))
  largest = np.full_like(random, np.nextafter(np.float32(1), np.float32(0)))
  small_at_the_end = np.concatenate([largest[:, :2] * 0.1, largest[:, 2:]], axis=1)
  for draws in (random, largest, largest * 0, small_at_the_end):
    boxes = augmentation.choose_box(sizes, draws, area=area, aspect=(0.1, 10.0)).numpy()
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= sizes).all()


@pytest.mark.parametrize("size", [(1000, 2000), (2000, 1000)])
def test_areas_aspects_and_places_are_uniform_and_independent(size):
  """In pixels, so that crops of an upright photograph are not taller than those of a wide one."""
  count, bins = 20_000, 20
  low, high = 0.05, 0.25  # Every try fits.
  draws = _tries(_draws(count, seed=3))
  sizes = tf.constant(np.tile(size, (count, 1)), tf.int32)
  boxes = augmentation.choose_box(sizes, draws, area=(low, high), aspect=(1 / 2, 2.0)).numpy()
  sides = boxes[:, 2:]
  area = (sides.prod(axis=1) / 2e6 - low) / (high - low)
  aspect = np.log2(sides[:, 1] / sides[:, 0]) / 2 + 0.5
  # A place is a whole number of pixels; in its middle it is as likely as between two.
  places = (boxes[:, :2] + 0.5) / (size - sides + 1)
  values = np.column_stack([area, aspect, places])
  assert values.min() > -0.005 and values.max() < 1.005  # But for a side's rounding.
  for value in values.T:
    counts = np.histogram(np.clip(value, 0, 1), bins, (0, 1))[0]
    # Chi-squared of 19 degrees of freedom: mean 19, variance 38; five deviations.
    assert ((counts - count / bins) ** 2).sum() / (count / bins) < 19 + 5 * math.sqrt(38)
  # A correlation of independent values deviates by 1 / sqrt(count) from zero.
  correlations = np.corrcoef(values.T)[np.triu_indices(4, 1)]
  assert np.abs(correlations).max() < 5 / math.sqrt(count)


# What of an image is cut out.


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_input_is_the_upright_box_mirrored_and_resized(orientation, mirrored):
  """Of a slope whose colors say where in the upright picture they are."""
  size, image_size = (128, 120), 4
  stored = STORED[orientation](_slope_picture(*size))
  draws = _draws(24)
  draws[:, 0] = 0.49 if mirrored else 0.5
  draws[:, 2] = np.linspace(0, 0.99, 24) ** 2  # The first try's area: small ones and large ones.
  boxes = _boxes(size, draws, **WIDE)
  reductions = set()
  for largest_ratio in (1, 2, 4, 8):
    cut = _random_cut(
      stored.shape[:2],
      draws,
      image_size=image_size,
      orientation=orientation,
      largest_ratio=largest_ratio,
      flip=True,
      **WIDE,
    )
    assert cut.ratio.numpy().max() <= largest_ratio
    reductions |= set(zip(cut.ratio.numpy().tolist(), cut.factor.numpy().tolist()))
    decoded = _decoded_boxes(cut, size, orientation)
    # Rounded to whole pixels after reduction, from the box's first edge and from its last.
    ratio = cut.ratio.numpy()[:, np.newaxis]
    assert (np.abs(decoded[:, :2] - boxes[:, :2]) * 2 <= ratio).all()
    last, box_last = decoded[:, :2] + decoded[:, 2:], boxes[:, :2] + boxes[:, 2:]
    assert (np.abs(last - box_last) * 2 <= ratio).all()
    for box, image in zip(decoded, _inputs(stored, cut, image_size=image_size)):
      difference = image - _expected(box, image_size, mirrored=mirrored)
      # Rounded by half a level, twice where pixels were reduced.
      np.testing.assert_allclose(difference, 0, atol=1.01, err_msg=f"{box} {largest_ratio}")
      np.testing.assert_allclose(difference.mean((0, 1)), 0, atol=0.51)
  assert {(1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (1, 3), (2, 2), (4, 3), (8, 3)} <= reductions


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(121, 99), (101, 125)])
def test_sides_that_the_ratio_does_not_divide(orientation, size):
  """The last pixels of a reduced JPEG stand for less of the picture than the others."""
  draws = _draws(40)
  stored = STORED[orientation](_slope_picture(*size))
  cut = _random_cut(stored.shape[:2], draws, image_size=8, orientation=orientation, largest_ratio=8)
  assert {4, 8} <= set(cut.ratio.numpy())
  boxes = _decoded_boxes(cut, size, orientation)
  for box, image in zip(boxes, _inputs(stored, cut, image_size=8)):
    difference = image - _expected(box, 8)
    np.testing.assert_allclose(difference, 0, atol=2)
    # Only in the last rows or columns.
    assert np.median(np.abs(difference)) <= 0.51


@pytest.mark.parametrize("orientation", [1, 6, 7])
@pytest.mark.parametrize("size", [(9, 30), (30, 9), (5, 4), (1, 40), (40, 1), (1, 1)])
def test_small_images_are_enlarged(size, orientation):
  draws = _draws(10)
  draws[:, 0] = 0.1
  stored = STORED[orientation](_slope_picture(*size))
  cut = _random_cut(
    *(stored.shape[:2], draws), image_size=32, orientation=orientation, largest_ratio=8, flip=True
  )
  assert (cut.ratio.numpy() == 1).all() and (cut.factor.numpy() == 1).all()
  for box, image in zip(_boxes(size, draws), _inputs(stored, cut, image_size=32)):
    np.testing.assert_allclose(image, _expected(box, 32, mirrored=True), atol=0.51)


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_tensorflows_decoder_reduces_so(orientation, subsampling):
  """The same through a real JPEG: the window is one of the pixels after reduction."""
  size, image_size = (123, 110), 8
  draws = _draws(24)
  stored = STORED[orientation](_slope_picture(*size))
  stream = io.BytesIO()
  Image.fromarray(np.ascontiguousarray(stored)).save(
    stream, "JPEG", quality=98, subsampling=subsampling
  )
  cut = _random_cut(
    stored.shape[:2], draws, image_size=image_size, orientation=orientation, largest_ratio=8
  )
  assert {4, 8} <= set(cut.ratio.numpy())
  for i, box in enumerate(_decoded_boxes(cut, size, orientation)):
    pixels = tf.image.decode_and_crop_jpeg(
      stream.getvalue(), cut.window[i], channels=3, ratio=int(cut.ratio[i])
    )
    image = augmentation.resample(pixels, image_size=image_size, factor=cut.factor[i])
    image = augmentation.turn(image[tf.newaxis], cut.turned[i : i + 1])[0]
    difference = image.numpy() - _expected(box, image_size)
    np.testing.assert_allclose(difference, 0, atol=2.5)
    np.testing.assert_allclose(difference.mean((0, 1)), 0, atol=0.7)


@pytest.mark.parametrize("largest_ratio", [1, 2, 4, 8])
def test_no_more_is_decoded_than_needed_and_little_is_left_to_reduce(largest_ratio):
  draws = _draws(2000)
  sizes = np.random.default_rng(7).integers(20, 2000, (2000, 2)).astype(np.int32)
  boxes = augmentation.choose_box(sizes, _tries(draws), **USUAL).numpy()
  cut = _random_cut(sizes, draws, image_size=32, largest_ratio=largest_ratio, flip=True)
  ratio, factor = cut.ratio.numpy(), cut.factor.numpy()
  there = -(-sizes // ratio[:, np.newaxis])
  start, extent = cut.window.numpy()[:, :2], cut.window.numpy()[:, 2:]
  assert (start >= 0).all() and (extent >= 1).all() and (start + extent <= there).all()
  # The box, to the nearest pixel after reduction; the last one may stand for less.
  first, last = start * ratio[:, np.newaxis], (start + extent) * ratio[:, np.newaxis]
  last = np.where(start + extent == there, np.minimum(last, sizes), last)
  box_last = boxes[:, :2] + boxes[:, 2:]
  assert (np.abs(first - boxes[:, :2]) * 2 <= ratio[:, np.newaxis]).all()
  assert (np.abs(last - box_last) * 2 <= ratio[:, np.newaxis]).all()
  scale = boxes[:, 2:].min(axis=1) / 32
  assert (ratio == np.minimum(2 ** np.clip(np.log2(scale), 0, 3).astype(int), largest_ratio)).all()
  assert (factor == np.maximum(scale // ratio, 1)).all()
  left = scale / (ratio * factor)
  assert left.max() < 2 and left[scale >= 1].min() >= 1


def test_each_image_has_its_own_size_orientation_and_decoder():
  """Many cuts at once are those of one at a time."""
  count = 200
  generator = np.random.default_rng(8)
  sizes = tf.constant(generator.integers(1, 600, (count, 2)), tf.int32)
  orientations = tf.constant(generator.integers(1, 9, count), tf.int32)
  ratios = tf.constant(generator.choice([1, 8], count), tf.int32)
  draws = tf.constant(_draws(count))

  def cut(begin: int, end: int) -> list[np.ndarray]:
    part = slice(begin, end)
    cuts = (
      augmentation.random_cut(
        *(sizes[part], orientations[part], draws[part]),
        image_size=32,
        largest_ratio=ratios[part],
        flip=True,
        **USUAL,
      ),
      augmentation.central_cut(
        sizes[part], orientations[part], image_size=32, largest_ratio=ratios[part]
      ),
    )
    return [getattr(cut, name).numpy() for cut in cuts for name in FIELDS]

  together = cut(0, count)
  for i in range(0, count, 5):
    for alone, all_ in zip(cut(i, i + 1), together):
      np.testing.assert_array_equal(alone[0], all_[i])


def test_flip_mirrors_half_of_the_images_left_to_right():
  image = _random_image(16, 16)
  draws = _draws(400)
  images = _inputs(
    image, _random_cut((16, 16), draws, image_size=16, flip=True, **ALL), image_size=16
  )
  mirrored = (images == image[:, ::-1]).all(axis=(1, 2, 3))
  assert (mirrored | (images == image).all(axis=(1, 2, 3))).all()
  assert 150 <= mirrored.sum() <= 250  # 200, and five deviations of 10.
  cut = _random_cut((16, 16), draws, image_size=16, flip=False, **ALL)
  assert (_inputs(image, cut, image_size=16) == image).all()


def test_flip_does_not_change_where_the_crop_is():
  draws = _draws(50)
  plain, flipped = (_random_cut((50, 70), draws, image_size=16, flip=f) for f in (False, True))
  np.testing.assert_array_equal(plain.window, flipped.window)
  mirrored = draws[:, 0] < 0.5
  assert not plain.turned.numpy().any()
  np.testing.assert_array_equal(flipped.turned.numpy()[:, 1], mirrored)
  assert not flipped.turned.numpy()[:, [0, 2]].any()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("largest_ratio", [1, 8])
@pytest.mark.parametrize("size", [(96, 121), (121, 96), (128, 128), (64, 96)])
def test_the_central_square_is_evaluations(size, largest_ratio, orientation):
  stored = STORED[orientation](_slope_picture(*size))
  side = min(size)
  box = ((size[0] - side) // 2, (size[1] - side) // 2, side, side)
  cut = _central_cut(
    stored.shape[:2], image_size=8, orientation=orientation, largest_ratio=largest_ratio
  )
  decoded = _decoded_boxes(cut, size, orientation)[0]
  assert (np.abs(decoded - box) <= cut.ratio.numpy()).all()
  np.testing.assert_allclose(
    _inputs(stored, cut, image_size=8)[0], _expected(decoded, 8), atol=1.01
  )


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (24, 24), (24, 31)])
def test_the_central_square_at_its_own_size_is_unchanged(size):
  image = _random_image(*size)
  top, left = (size[0] - 24) // 2, (size[1] - 24) // 2
  result = _inputs(image, _central_cut(size, image_size=24, largest_ratio=8), image_size=24)[0]
  assert result.dtype == np.uint8
  np.testing.assert_array_equal(result, image[top : top + 24, left : left + 24])


# Pixels.


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("orientation", [1, 8])
def test_integer_reduction_is_the_mean_over_blocks(factor, orientation):
  image = _random_image(factor * 16, factor * 16)
  cut = _central_cut(image.shape[:2], image_size=16, orientation=orientation)
  assert (int(cut.ratio[0]), int(cut.factor[0])) == (1, factor)
  result = _inputs(STORED[orientation](image), cut, image_size=16)[0]
  mean = image.reshape(16, factor, 16, factor, 3).astype(np.float64).mean(axis=(1, 3))
  np.testing.assert_allclose(result, mean, atol=0.51)


def test_reduction_to_one_pixel_is_the_mean():
  image = _random_image(40, 40)
  cut = _central_cut((40, 40), image_size=1, largest_ratio=8)
  result = _inputs(image, cut, image_size=1)
  np.testing.assert_allclose(result[0, 0, 0], image.mean((0, 1)), atol=1)


@pytest.mark.parametrize("largest_ratio", [1, 8])
def test_reduction_does_not_alias(largest_ratio):
  """A checkerboard of single pixels is gray from afar; plain bilinear sampling keeps it."""
  board = np.indices((300, 300)).sum(0)[..., None] % 2 * np.full(3, 255, np.uint8)
  ranges = {"area": (0.3, 1.0), "aspect": (3 / 4, 4 / 3)}
  draws = _draws(30)
  cut = _random_cut(
    (300, 300), draws, image_size=16, largest_ratio=largest_ratio, flip=True, **ranges
  )
  assert (cut.ratio * cut.factor).numpy().min() >= 8
  images = _inputs(board.astype(np.uint8), cut, image_size=16)
  # Over an odd number of pixels, nine at least, one is too many: 255 / 2 / 81, and rounding.
  assert np.abs(images.astype(int) - 127.5).max() <= 3
  plain = tf.image.crop_and_resize(board[None].astype(np.float32), [[0.0, 0, 1, 1]], [0], (16, 16))
  assert np.std(plain) > 40


@pytest.mark.parametrize("image_size", [1, 7, 96])
@pytest.mark.parametrize("largest_ratio", [1, 8])
def test_no_border_appears_on_a_white_image(image_size, largest_ratio):
  """Nothing outside of the window is read, however small it is."""
  generator = np.random.default_rng(9)
  sizes = [(1, 1), (1, 500), (500, 1), (2, 2), (3, 1000), (97, 95), (96, 96), (8, 2000)]
  sizes = np.concatenate([sizes, generator.integers(1, 700, (150, 2))]).astype(np.int32)
  draws = _draws(len(sizes))
  cuts = [
    _random_cut(sizes, draws, image_size=image_size, largest_ratio=largest_ratio, flip=True),
    augmentation.central_cut(
      tf.constant(sizes),
      tf.ones(len(sizes), tf.int32),
      image_size=image_size,
      largest_ratio=tf.fill([len(sizes)], largest_ratio),
    ),
  ]
  for cut in cuts:
    for size, window, factor in zip(sizes, cut.window, cut.factor):
      white = tf.fill((window[2], window[3], 3), tf.constant(255, tf.uint8))
      image = _resample(image_size)(white, factor)
      assert image.shape == (image_size, image_size, 3)
      assert tf.reduce_min(image) == 255, (size, window, factor)


def test_interpolation_keeps_within_the_colors_of_the_image():
  """Nothing wraps around at 0 or 255 where floats are rounded."""
  image = _random_image(90, 70)
  image[image < 128], image[image >= 128] = 0, 255
  for size in (90, 70), (50, 41), (24, 33):
    part = image[: size[0], : size[1]]
    draws = _draws(10)
    images = _inputs(part, _random_cut(size, draws, image_size=24), image_size=24)
    single = _inputs(
      np.full_like(part, 255), _random_cut(size, draws, image_size=24), image_size=24
    )
    assert (single == 255).all()
    assert images.mean() == pytest.approx(part.mean(), abs=12)


def test_only_what_is_to_be_is_turned():
  """Top with bottom, left with right, then rows with columns: each image as its own flags say."""
  exchanges = (lambda i: i[::-1], lambda i: i[:, ::-1], lambda i: i.swapaxes(0, 1))
  flags = np.array(list(np.ndindex(2, 2, 2)), bool)
  images = np.stack([_random_image(4, 4, seed) for seed in range(8)])
  for chosen in (flags, flags[::-1], np.zeros_like(flags), np.ones_like(flags), flags[[3] * 8]):
    expected = images.copy()
    for image, flag in zip(expected, chosen):
      for exchange, wanted in zip(exchanges, flag):
        image[:] = exchange(image).copy() if wanted else image
    turned = augmentation.turn(tf.constant(images), tf.constant(chosen))
    np.testing.assert_array_equal(turned, expected)


def test_cuts_are_the_same_eagerly_in_graphs_and_in_data():
  image = tf.constant(_random_image(150, 90))
  draws = tf.constant(_draws(8))

  def cut(draws: tf.Tensor) -> tuple[tf.Tensor, ...]:
    ones = tf.ones_like(draws[:, 0], tf.int32)
    cut = augmentation.random_cut(
      *(ones[:, tf.newaxis] * (150, 90), ones * 6, draws),
      image_size=32,
      largest_ratio=ones,
      flip=True,
      **USUAL,
    )
    return tuple(getattr(cut, name) for name in FIELDS)

  def make(draws: tf.Tensor) -> tf.Tensor:
    _, window, factor, turned = cut(draws[tf.newaxis])
    top, left, height, width = tf.unstack(window[0])
    pixels = image[top : top + height, left : left + width]
    result = augmentation.resample(pixels, image_size=32, factor=factor[0])
    return augmentation.turn(result[tf.newaxis], turned)[0]

  in_graph = tf.function(cut, input_signature=[tf.TensorSpec((None, DRAWS), tf.float32)])
  for eager, graph in zip(cut(draws), in_graph(draws)):
    np.testing.assert_array_equal(eager, graph)
  from_data = tf.data.Dataset.from_tensor_slices(draws).map(make, num_parallel_calls=2)
  assert from_data.element_spec == tf.TensorSpec((32, 32, 3), tf.uint8)
  images = list(from_data)
  for draw, result in zip(draws, images):
    np.testing.assert_array_equal(make(draw), result)
  assert len({i.numpy().tobytes() for i in images}) == 8  # Other draws, another crop.


@pytest.mark.parametrize(
  ("ranges", "message"),
  [
    ({"area": (0.0, 1.0)}, r"`area`.*\(0.0, 1.0\)"),
    ({"area": (0.5, 1.1)}, "`area`"),
    ({"area": (0.6, 0.5)}, "`area`"),
    ({"area": (math.nan, 0.5)}, "`area`"),
    ({"aspect": (0.0, 1.0)}, "`aspect`"),
    ({"aspect": (2.0, 1.0)}, "`aspect`"),
    ({"aspect": (1.0, math.inf)}, "`aspect`"),
  ],
)
def test_wrong_ranges_are_refused(ranges, message):
  with pytest.raises(ValueError, match=message):
    augmentation.check_ranges(**{**USUAL, **ranges})
  with pytest.raises(ValueError, match=message):
    augmentation.choose_box([(8, 8)], tf.zeros((1, 4, 10)), **{**USUAL, **ranges})
  with pytest.raises(ValueError, match=message):
    _random_cut((8, 8), _draws(1), image_size=8, **{**USUAL, **ranges})


@pytest.mark.parametrize(("size", "factor"), [((24, 36), 1), ((25, 37), 3), ((6, 7), 1)])
def test_levels_are_means_of_those_that_are_there_and_else_the_nearest(size, factor):
  """Written out in NumPy: each output pixel's factor x factor sampling points, zeros left out."""
  side = 8
  pixels = np.random.default_rng(0).integers(0, 4, (*size, 2)).astype(np.uint8) * 80
  found = augmentation.resample_levels(
    tf.constant(pixels), image_size=side, factor=tf.constant(factor)
  ).numpy()
  for row, column in np.ndindex(side, side):
    rows, columns = (
      [int((i * factor + k + 0.5) / (side * factor) * n) for k in range(factor)]
      for i, n in ((row, size[0]), (column, size[1]))
    )
    for plane in range(2):
      values = pixels[rows][:, columns, plane].astype(float)
      values = values[values > 0]
      expected = values.mean() if len(values) else 0.0
      assert abs(found[row, column, plane] - expected) <= 0.5
  assert (found == 0).any() or factor > 1
