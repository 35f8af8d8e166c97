"""A photograph and its labels are cut by the same window."""

from __future__ import annotations

import numpy as np
import pytest

from sbae_tf.evaluation import windows
from sbae_tf.evaluation.label_classes import IGNORED

_SIDE = 32


def _blocks(height: int, width: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Blocks of 8 x 8 pixels of one class, in a gray that tells it: 20 times the class."""
  rng = np.random.default_rng(seed)
  blocks = rng.integers(0, 12, (-(-height // 8), -(-width // 8)), np.uint8)
  labels = blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
  return np.repeat(20 * labels[..., np.newaxis], 3, axis=2), labels


class _Fixed:
  """Draws that are known."""

  def __init__(self, *draws: float) -> None:
    self.draws = np.array(draws)

  def random(self, count: int) -> np.ndarray:
    assert count == len(self.draws)
    return self.draws


@pytest.mark.parametrize("shape", [(50, 70), (20, 90), (25, 25), (32, 32)])
def test_labels_stay_on_their_pixels(shape):
  """Whatever the scale: where neighbors have one class, the gray is that of the class."""
  outside = 0
  for seed in range(30):
    photograph, labels = _blocks(*shape, seed=seed)
    rng = np.random.default_rng(seed)
    image, cut = windows.random_window(photograph, labels, side=_SIDE, scales=(0.5, 2.0), rng=rng)
    assert image.shape == (_SIDE, _SIDE, 3) and cut.shape == (_SIDE, _SIDE)
    assert image.dtype == cut.dtype == np.uint8
    known = cut != IGNORED
    assert known.any() and (image[~known] == windows.OUTSIDE).all()
    outside += np.sum(~known)
    # The middle of blocks, whose neighbors at two pixels' distance are of one class. Blocks of 4
    # pixels, at the smallest scale, may lack such.
    around = np.stack([np.roll(cut, (y, x), (0, 1)) for y in (-2, 0, 2) for x in (-2, 0, 2)])
    middle = known & (around == cut).all(axis=0)
    middle[[0, 1, -2, -1]] = middle[:, [0, 1, -2, -1]] = False
    np.testing.assert_allclose(image[middle][:, 0], 20.0 * cut[middle], atol=1)
  assert (outside > 0) == (min(shape) < 2 * _SIDE)


def test_a_known_window():
  photograph, labels = _blocks(50, 70, seed=0)
  # Scale 1, in the middle of the range's logarithm; the corner at 4 of 19 rows, 38 of 39 columns.
  draws = (0.5, 4.5 / 19, 38.5 / 39)
  image, cut = windows.random_window(
    photograph, labels, side=_SIDE, scales=(0.5, 2.0), rng=_Fixed(*draws, 0.5)
  )
  np.testing.assert_array_equal(image, photograph[4:36, 38:])
  np.testing.assert_array_equal(cut, labels[4:36, 38:])
  mirrored, cut_mirrored = windows.random_window(
    photograph, labels, side=_SIDE, scales=(0.5, 2.0), rng=_Fixed(*draws, 0.49)
  )
  np.testing.assert_array_equal(mirrored, image[:, ::-1])
  np.testing.assert_array_equal(cut_mirrored, cut[:, ::-1])
  # Twice as large: each pixel is four.
  _, cut = windows.random_window(
    photograph, labels, side=_SIDE, scales=(2.0, 2.0), rng=_Fixed(0, 0, 0, 0.5)
  )
  np.testing.assert_array_equal(cut, labels[:16, :16].repeat(2, axis=0).repeat(2, axis=1))


def test_padded_to_the_stride():
  photograph, labels = _blocks(17, 24, seed=0)
  image, filled = windows.padded(photograph, labels, multiple=8)
  assert image.shape == (24, 24, 3) and filled.shape == (24, 24)
  np.testing.assert_array_equal(image[:17], photograph)
  np.testing.assert_array_equal(filled[:17], labels)
  assert (image[17:] == windows.OUTSIDE).all() and (filled[17:] == IGNORED).all()


class _Collection:
  """Photographs of one gray, each its own."""

  def __len__(self) -> int:
    return 5

  def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((40, 40, 3), index, np.uint8), np.full((40, 40), index, np.uint8)


def test_batches_are_of_the_seed():
  def batches(seed: int, batch_size: int = 2):
    return [
      *windows.training_batches(
        _Collection(), steps=5, batch_size=batch_size, side=16, scales=(0.8, 0.9), seed=seed
      )
    ]

  first, again, other = batches(3), batches(3), batches(4)
  assert (
    len(first) == 5 and first[0][0].shape == (2, 16, 16, 3) and first[0][1].shape[1:] == (16, 16)
  )
  for (a, b), (c, d) in zip(first, again):
    np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(b, d)
  order = [int(each[0, 0]) for _, labels in first for each in labels]
  assert sorted(order[:5]) == sorted(order[5:]) == [0, 1, 2, 3, 4] and order[:5] != order[5:]
  assert order != [int(each[0, 0]) for _, labels in other for each in labels]
  large = batches(3, batch_size=12)[0][1][:, 0, 0]  # More than there are photographs.
  assert np.bincount(large).min() >= 2
