"""Which image comes at which position: shuffles and mixtures without a buffer.

Both are pure functions of seed and position, so a run goes on at any step, and what they hold in
memory does not grow with the collection.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.data.source import Source

# Positions of a mixture come in cycles of about so many, in which every part has its share.
_CYCLE = 1024

# The op that permutes many images tries places among 65,536 until one is there: with few images it
# tries for long. Up to so many are sorted by random numbers instead.
_SORTED = 1024


def image_at(source: Source, position: tf.Tensor, *, per_epoch: int, seed: int) -> tf.Tensor:
  """The images at positions of the endless shuffled order of a source.

  Without `source.shares` every epoch is a permutation of its own, of runs of
  `source.run_length` images; where runs do not fill up the source, up to a run's images come twice
  in an epoch, in place of others. With shares, each part is gone through in such epochs of its
  own, and of every thousand positions each part has its share, but one at least, in a changing
  order: a weight below a thousandth of the sum counts as one.

  Args:
    source: N images.
    position: (M,) int64, counted from 0 over all epochs.
    per_epoch: positions of an epoch, at most N; the rest of a permutation is left out. Mixtures
      do not use it.
    seed: another seed, another order.

  Returns:
    (M,) int64 in [0, N).
  """
  if source.shares:
    return _mixed(position, source.shares, seed=seed)
  return _shuffled(
    position % per_epoch,
    position // per_epoch,
    count=len(source),
    run=source.run_length,
    seed=seed,
  )


def _shuffled(
  position: tf.Tensor, epoch: tf.Tensor, *, count: int, run: int, seed: int
) -> tf.Tensor:
  runs = -(-count // run)
  image = _permuted(position // run, epoch, count=runs, seed=seed) * run + position % run
  return image % count


def _mixed(position: tf.Tensor, shares: tuple[tuple[int, float], ...], *, seed: int) -> tf.Tensor:
  weights = np.array([weight for _, weight in shares])
  # At least one position a part; rounded, and the cycle's length follows.
  slots = np.maximum(np.round(weights / weights.sum() * _CYCLE), 1).astype(np.int64)
  first_slots, cycle = np.cumsum(slots) - slots, int(slots.sum())
  counts = np.array([images for images, _ in shares], np.int64)
  first_images = np.cumsum(counts) - counts
  slot = _permuted(position % cycle, position // cycle, count=cycle, seed=seed ^ 0x6D6978)
  part = tf.searchsorted(first_slots, slot, side="right") - 1
  # How many of the part's images came before: every cycle has as many.
  turn = position // cycle * tf.gather(slots, part) + slot - tf.gather(first_slots, part)
  image = tf.zeros_like(position)
  for index, (images, _) in enumerate(shares):
    shuffled = _shuffled(
      *(turn % images, turn // images), count=images, run=1, seed=seed + index + 1
    )
    image = tf.where(part == index, first_images[index] + shuffled, image)
  return image


def _permuted(position: tf.Tensor, epoch: tf.Tensor, *, count: int, seed: int) -> tf.Tensor:
  """(M,) int64 in [0, count): where an epoch's permutation puts positions in [0, count)."""
  # They are hashed, for the cipher below uses only the low bits of its key (8 of each word up to
  # 65,536 images): with seed and epoch themselves epoch 256 would repeat epoch 0.
  if count <= _SORTED:
    epochs, which = tf.unique(epoch)
    first = _hash(_seeded(epochs, seed))[:, tf.newaxis]
    values = _hash(first + tf.cast(tf.range(count), tf.uint64))
    values = tf.bitcast(tf.bitwise.right_shift(values, tf.constant(1, tf.uint64)), tf.int64)
    orders = tf.cast(tf.argsort(values, axis=1), tf.int64)
    return tf.gather_nd(orders, tf.stack([tf.cast(which, tf.int64), position], axis=1))
  start = _seeded(epoch, seed)
  # `tf.random.experimental.index_shuffle` is this op with four rounds, after which neighbors stay
  # neighbors too often; with eight they do not.
  return tf.raw_ops.RandomIndexShuffle(
    index=position,
    seed=tf.stack([_hash(start), _hash(start + 1), _hash(start + 2)], axis=1),
    max_index=tf.fill(tf.shape(position), tf.constant(count - 1, tf.int64)),
    rounds=8,
  )


def _seeded(epoch: tf.Tensor, seed: int) -> tf.Tensor:
  """(M,) uint64: numbers that are three or more apart for epochs, and far apart for seeds."""
  return tf.constant(seed * 0x9E3779B97F4A7C15 % 2**64, tf.uint64) + 3 * tf.cast(epoch, tf.uint64)


def _hash(value: tf.Tensor) -> tf.Tensor:
  """(M,) uint64 to the same: the finalizer of SplitMix64, Steele, Lea and Flood 2014.

  In arithmetic, so that a vector costs what one costs; TensorFlow's generators take one seed.
  """
  for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
    value = _xor_shifted(value, shift) * tf.constant(factor, tf.uint64)
  return _xor_shifted(value, 31)


def _xor_shifted(value: tf.Tensor, shift: int) -> tf.Tensor:
  return tf.bitwise.bitwise_xor(value, tf.bitwise.right_shift(value, tf.constant(shift, tf.uint64)))
