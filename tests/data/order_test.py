"""Tests of sbae_tf.data.order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import order
from sbae_tf.data.source import Source

CYCLE = 1024  # Positions in which every part of a mixture has its share.


def _source(
  count: int, *, run_length: int = 1, shares: tuple[tuple[int, float], ...] = ()
) -> Source:
  return Source(
    names=range(count),  # Only counted.
    labels=None,
    class_names=(),
    read=lambda index: tf.as_string(index),
    description="numbers",
    run_length=run_length,
    shares=shares,
  )


def _mixture(*shares: tuple[int, float]) -> Source:
  return _source(sum(images for images, _ in shares), shares=shares)


def _images(
  source: Source, positions: Sequence[int], *, per_epoch: int | None = None, seed: int = 0
) -> np.ndarray:
  """(M,) int64: what stands at those positions."""
  per_epoch = len(source) if per_epoch is None else per_epoch
  at = tf.function(
    lambda position: order.image_at(source, position, per_epoch=per_epoch, seed=seed),
    input_signature=[tf.TensorSpec((None,), tf.int64)],
  )
  images = at(tf.constant(positions, tf.int64)).numpy()
  assert images.dtype == np.int64 and images.shape == (len(positions),)
  assert images.min() >= 0 and images.max() < len(source)
  return images


def _epochs(source: Source, epochs: Sequence[int], *, seed: int = 0) -> np.ndarray:
  """(E, N): the order of each epoch."""
  count = len(source)
  positions = np.array(epochs, np.int64)[:, np.newaxis] * count + np.arange(count)
  return _images(source, positions.ravel(), seed=seed).reshape(-1, count)


def _chi_squared(counts: np.ndarray) -> float:
  """Of counts that are all expected to be the same."""
  return float(((counts - counts.mean()) ** 2 / counts.mean()).sum())


def _unlikely(degrees: int) -> float:
  """Five deviations above the mean of a chi-squared distribution."""
  return degrees + 5 * math.sqrt(2 * degrees)


# Shuffles.


@pytest.mark.parametrize(
  ("count", "run_length"),
  [
    *((count, 1) for count in (1, 2, 3, 7, 64, 100, 1000, 1024, 1025, 4099)),
    *((64, 64), (96, 32), (1000, 8), (7, 7)),
  ],
)
def test_every_epoch_has_every_image_once(count, run_length):
  epochs = _epochs(_source(count, run_length=run_length), [0, 1, 2, 77, 256, 2**33])
  np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(count), (6, 1)))


def test_more_than_65536_images_need_more_of_the_key():
  epochs = _epochs(_source(70_001), [0, 1])
  np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(70_001), (2, 1)))
  assert (epochs[0] == epochs[1]).sum() < 10


def test_runs_stay_in_one_piece_and_are_shuffled():
  count, run_length = 1200, 8
  epochs = _epochs(_source(count, run_length=run_length), range(20))
  runs = epochs.reshape(20, -1, run_length)
  np.testing.assert_array_equal(runs, runs[..., :1] + np.arange(run_length))
  assert (runs[..., 0] % run_length == 0).all()
  firsts = runs[..., 0] // run_length
  # Two orders have one run in common on average; 20 epochs as a Poisson distribution of mean 19.
  assert (firsts[1:] == firsts[:-1]).sum() < 19 + 5 * math.sqrt(19)
  assert (np.abs(np.diff(firsts)) == 1).sum() < 40 + 5 * math.sqrt(40)


@pytest.mark.parametrize(("count", "run_length"), [(10, 4), (33, 32), (101, 8), (3, 8)])
def test_runs_that_do_not_fill_up_a_source(count, run_length):
  """What is missing in the last run is filled up from the first; some images come twice."""
  source = _source(count, run_length=run_length)
  for images in _epochs(source, range(30)):
    whole = images[: count // run_length * run_length].reshape(-1, run_length)
    np.testing.assert_array_equal(whole, (whole[:, :1] + np.arange(run_length)) % count)
    assert (whole[:, 0] % run_length == 0).all()
    counts = np.bincount(images, minlength=count)
    assert counts.max() <= 2 and (counts == 0).sum() == (counts == 2).sum() < run_length
  # In the long run nobody is left out.
  assert len(np.unique(_epochs(source, range(30)))) == count


def test_the_rest_of_an_epoch_is_another_one_every_time():
  source = _source(10)
  images = _images(source, range(8 * 40), per_epoch=8).reshape(40, 8)
  assert all(len(set(epoch)) == 8 for epoch in images)
  np.testing.assert_array_equal(images[:3], _epochs(source, range(3))[:, :8])
  left_out = [frozenset(range(10)) - frozenset(epoch) for epoch in images.tolist()]
  assert len(set(left_out)) > 15  # Of 45.
  assert frozenset.union(*left_out) == frozenset(range(10))


@pytest.mark.parametrize("count", [100, 3000])
def test_epochs_and_seeds_differ(count):
  """The cipher uses few bits of its key: 256 must not be 0 again."""
  numbers = [0, 1, 2, 3, 255, 256, 257, 512, 65_535, 65_536, 2**24, 2**31 - 1]
  source = _source(count)
  epochs = _epochs(source, [*numbers, 2**31, 2**32, 2**32 + 1, 2**40])
  seeds = [_epochs(source, [0], seed=number)[0] for number in numbers[1:]]
  others = [_epochs(source, [1], seed=number)[0] for number in (1, 2, 256)]
  # Two orders by chance agree as a Poisson distribution of mean one: in 11 or more places one pair
  # in a hundred million.
  for one, other in itertools.combinations([*epochs, *seeds, *others], 2):
    assert (one == other).sum() <= 10
    # Nor is one the other, moved.
    assert np.bincount((one - other) % count).max() <= 12


@pytest.mark.parametrize("count", [50, 1024, 1025, 5000])
def test_neighbors_do_not_stay_neighbors(count):
  epochs = _epochs(_source(count), range(100))
  distances = np.abs(np.diff(epochs))
  # By chance two are neighbors, and so at any other small distance: Poisson distributions.
  for distance in (1, 2, 3, 4, 8, 16):
    expected = 100 * 2 * (count - distance) / count
    assert abs((distances == distance).sum() - expected) < 5 * math.sqrt(expected), distance
  # Nor from one epoch to the next.
  place = np.argsort(epochs)
  moved = np.take_along_axis(place[1:], epochs[:-1], axis=1)
  expected = 99 * 2 * (count - 1) / count
  assert abs((np.abs(np.diff(moved)) == 1).sum() - expected) < 5 * math.sqrt(expected)


@pytest.mark.parametrize(("count", "epochs"), [(200, 500), (2000, 50)])
def test_every_image_comes_everywhere(count, epochs):
  """Images by positions, ten by ten bins, and the way from one image to the next."""
  images = _epochs(_source(count), range(epochs))
  places = np.tile(np.arange(count), epochs)
  counts = np.histogram2d(places, images.ravel(), bins=10)[0]
  assert _chi_squared(counts) < _unlikely(81)
  ways = (np.diff(images) % count).ravel() - 1  # No way is zero.
  assert _chi_squared(np.bincount(ways, minlength=count - 1)) < _unlikely(count - 2)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_images_come_in_every_order(count):
  epochs = 1200
  orders = _epochs(_source(count), range(epochs)) @ count ** np.arange(count)
  counts = np.unique(orders, return_counts=True)[1]
  assert len(counts) == math.factorial(count)
  assert _chi_squared(counts) < _unlikely(len(counts) - 1)


def test_a_position_means_the_same_however_it_is_asked_for():
  positions = [0, 1, 5, 99, 100, 101, 250, 256 * 100, 2**40 + 3, 7, 7]
  for source, seed in (
    (_source(100), 3),
    (_source(96, run_length=16), 0),
    (_mixture((100, 1.0), (7, 2.0), (1, 0.1)), 3),
  ):
    together = _images(source, positions, seed=seed)
    assert together[-1] == together[-2]
    backward = _images(source, positions[::-1], seed=seed)
    np.testing.assert_array_equal(backward[::-1], together)

    def at(position: tf.Tensor, source: Source = source, seed: int = seed) -> tf.Tensor:
      return order.image_at(source, position, per_epoch=len(source), seed=seed)

    dataset = tf.data.Dataset.from_tensor_slices(tf.constant(positions, tf.int64)).batch(3)
    dataset = dataset.map(at, num_parallel_calls=2).unbatch()
    assert [int(image) for image in dataset] == together.tolist()
    eager = [int(at(tf.constant([position], tf.int64))[0]) for position in positions]
    assert eager == together.tolist()


def test_billions_of_images_need_no_memory():
  count = 2**33 + 1
  images = _images(_source(count), np.arange(20_000))
  assert len(np.unique(images)) == 20_000
  assert _chi_squared(np.histogram(images, 20, (0, count))[0]) < _unlikely(19)


# Mixtures.


def _parts(images: np.ndarray, source: Source) -> np.ndarray:
  return np.searchsorted(np.cumsum([count for count, _ in source.shares]), images, side="right")


@pytest.mark.parametrize(
  "shares",
  [
    ((1000, 1.0), (1000, 1.0)),
    ((50, 7.0), (3000, 2.0), (10, 1.0)),
    ((1, 0.3), (1, 0.3), (1, 0.4)),
    ((10, 0.001), (2000, 0.999)),
    tuple((5 + i, 1.0 + i) for i in range(30)),
    ((9, 2.5),),
  ],
)
def test_shares_are_met_over_any_ten_thousand_positions(shares):
  """Whole cycles have them but for rounding: half a position of 1,024.

  At both ends may be a part of a cycle. The share of a part of it is hypergeometric, with a
  deviation of 8 positions at most; of both, 11.3: five of them and the rounding are 62 of 10,000.
  """
  source = _mixture(*shares)
  parts = _parts(_images(source, np.arange(40_000)), source)
  weights = np.array([weight for _, weight in shares])
  for part, share in enumerate(weights / weights.sum()):
    before = np.concatenate([[0], np.cumsum(parts == part)])
    counts = before[10_000:] - before[:-10_000]
    assert np.abs(counts / 10_000 - share).max() < 0.01


def test_parts_come_in_no_fixed_order():
  source = _mixture((1000, 1.0), (1000, 1.0))
  parts = _parts(_images(source, np.arange(64 * CYCLE)), source).reshape(64, CYCLE)
  assert (parts.sum(axis=1) == CYCLE // 2).all()
  # By chance a part follows the other one, and a cycle agrees with the next, in half of its places.
  deviation = math.sqrt(64 * CYCLE) / 2
  assert abs((np.diff(parts.ravel()) != 0).sum() - 32 * CYCLE) < 5 * deviation
  assert abs((parts[1:] == parts[:-1]).sum() - 63 / 2 * CYCLE) < 5 * deviation


def test_a_part_goes_through_all_of_its_images_before_it_repeats_one():
  """Turn by turn: within a cycle its turns come in another order."""
  shares = ((5000, 5.0), (700, 2.0), (64, 0.9), (1, 0.1))
  source = _mixture(*shares)
  images = _images(source, np.arange(40 * CYCLE))
  firsts = np.cumsum([0, *(count for count, _ in shares)])
  for cycle in range(1, 41):
    counts = np.bincount(images[: cycle * CYCLE], minlength=len(source))
    for first, last in zip(firsts[:-1], firsts[1:]):
      assert np.ptp(counts[first:last]) <= 1
  # Between the ends of cycles by one more, where a part has more images than turns in a cycle.
  for position in range(100, len(images), 997):
    counts = np.bincount(images[:position], minlength=len(source))
    assert np.ptp(counts[: firsts[2]][:5000]) <= 2 and np.ptp(counts[5000 : firsts[2]]) <= 2


def test_images_of_more_weight_repeat_more_often():
  """As weight by number of images."""
  shares = ((100, 1.0), (400, 1.0), (100, 2.0))
  source = _mixture(*shares)
  counts = np.bincount(_images(source, np.arange(100 * CYCLE)), minlength=len(source))
  for part, (first, last) in enumerate(((0, 100), (100, 500), (500, 600))):
    images, weight = shares[part]
    expected = 100 * CYCLE * weight / 4 / images
    np.testing.assert_allclose(counts[first:last], expected, atol=1)


@pytest.mark.parametrize("shares", [((20, 1.0), (500, 1e4)), ((500, 1e4), (20, 1.0))])
def test_the_smallest_share_still_has_its_turn(shares):
  """One position of every thousand, which is more than its share."""
  source = _mixture(*shares)
  images = _images(source, np.arange(50_000))
  part = 0 if shares[0][0] == 20 else 1
  places = np.flatnonzero(_parts(images, source) == part)
  assert len(places) == pytest.approx(50_000 / CYCLE, rel=0.05)
  assert places[0] <= CYCLE and np.diff(places).max() <= 2 * CYCLE + 1
  # All of its images, one after the other.
  turns = images[places][:40].reshape(2, 20)
  assert (np.sort(turns) == np.arange(20) + (0 if part == 0 else 500)).all()
  assert (turns[0] != turns[1]).any()


def test_seeds_of_a_mixture_differ():
  source = _mixture((1000, 1.0), (1000, 3.0))
  orders = [_images(source, np.arange(2000), seed=seed) for seed in (0, 1, 2, 256, 65_536)]
  for one, other in itertools.combinations(orders, 2):
    # By chance: in 1/4 of the places both are of the one part and in 9/16 of the other, one image
    # of a thousand; of 2,000 fewer than two.
    assert (one == other).sum() <= 12
    # The order of the parts differs: it agrees in 10 of 16 places, with a deviation of 22 of 2,000.
    assert ((one < 1000) == (other < 1000)).sum() < 1250 + 5 * 22
  # So do the images that come first: a cycle has 512 of each 100,000, and two have 2.6 in common.
  source = _mixture((100_000, 1.0), (100_000, 1.0))
  firsts = [set(_images(source, np.arange(CYCLE), seed=seed)) for seed in range(10)]
  for one, other in itertools.combinations(firsts, 2):
    assert len(one & other) < 2 * 2.6 + 5 * math.sqrt(2 * 2.6)


def test_the_parts_of_a_mixture_are_shuffled_each_in_its_own_way():
  source = _mixture((1000, 1.0), (1000, 1.0))
  images = _images(source, np.arange(200 * CYCLE))
  for first in (0, 1000):
    part = images[(images >= first) & (images < first + 1000)]
    near = (np.abs(np.diff(part)) == 1).sum()
    expected = len(part) * 2 / 1000
    assert abs(near - expected) < 5 * math.sqrt(expected)
  one, other = images[images < 1000], images[images >= 1000] - 1000
  assert (one == other).sum() < 200 * CYCLE / 2 / 1000 + 5 * math.sqrt(200 * CYCLE / 2 / 1000)
