"""From a source to batches of uint8 RGB.

Training batches are a pure function of the source, the seed and the step: order, crops and flips
are drawn from stateless seeds made of the image's position, so that threads cannot change them and
a run can go on at any step. What is shuffled are indices, never decoded images: no buffer.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.data import augmentation
from sbae_tf.data import source as source_lib


def train_dataset(
  source: source_lib.Source,
  *,
  batch_size: int,
  image_size: int,
  seed: int,
  area: tuple[float, float] = (0.25, 1.0),
  aspect: tuple[float, float] = (3 / 4, 4 / 3),
  flip: bool = True,
  first_step: int = 0,
  parallel_calls: int | None = None,
  prefetch: int | None = None,
) -> tf.data.Dataset:
  """Endless batches of randomly cropped images, in an order that changes every epoch.

  Args:
    source: N images.
    batch_size: B, over all replicas.
    image_size: S, the side of the images in pixels.
    seed: of order, crops and flips.
    area: of a crop, lowest and highest, as fractions of the image's.
    aspect: of a crop, lowest and highest ratio of width to height in pixels.
    flip: whether to mirror half of the images.
    first_step: the number of batches to leave out: the step at which a resumed run goes on.
    parallel_calls: images that are loaded at a time; None leaves it to `tf.data`.
    prefetch: batches that are made ahead; None leaves it to `tf.data`.

  Returns:
    A dataset of `{"image": (B, S, S, 3) uint8, "label": (B,) int32}`; the label is -1 where the
    source has none. The same arguments give the same batches to the bit, whatever
    `parallel_calls` and `prefetch`.

  Raises:
    ValueError: the source has fewer images than one batch, or an argument is out of range.
  """
  _check_positive(batch_size=batch_size, image_size=image_size)
  augmentation.check_ranges(area=area, aspect=aspect)
  if first_step < 0:
    raise ValueError(f"Expected `first_step` of 0 or more. Received: {first_step}")
  per_epoch = steps_per_epoch(source, batch_size) * batch_size
  labels = _labels(source)

  def example(position: tf.Tensor) -> dict[str, tf.Tensor]:
    index = _shuffle(position % per_epoch, position // per_epoch, count=len(source), seed=seed)
    image = augmentation.random_resized_crop(
      source.load(index),
      # Never met twice: the position goes on from epoch to epoch.
      tf.stack([tf.constant(seed, tf.int64), position]),
      image_size=image_size,
      area=area,
      aspect=aspect,
      flip=flip,
    )
    return {"image": image, "label": tf.gather(labels, index)}

  # Not a range up to a large number: several workers ask each other before every step of a finite
  # dataset whether all of them still have data.
  dataset = tf.data.Dataset.counter(tf.constant(first_step * batch_size, tf.int64))
  dataset = dataset.map(example, num_parallel_calls=_or_autotune(parallel_calls))
  dataset = dataset.batch(batch_size, drop_remainder=True)
  return dataset.prefetch(_or_autotune(prefetch)).with_options(_options())


def evaluation_dataset(
  source: source_lib.Source,
  *,
  batch_size: int,
  image_size: int,
  limit: int | None = None,
  parallel_calls: int | None = None,
) -> tf.data.Dataset:
  """Batches of the central squares of all images, once, in the source's order.

  Args:
    source: N images.
    batch_size: B.
    image_size: S, the side of the images in pixels.
    limit: the number of images, the first ones; None for all.
    parallel_calls: images that are loaded at a time; None leaves it to `tf.data`.

  Returns:
    A dataset of `{"image": (B, S, S, 3) uint8, "label": (B,) int32}`; the last batch may be
    smaller. The label is -1 where the source has none.

  Raises:
    ValueError: an argument is not positive.
  """
  _check_positive(batch_size=batch_size, image_size=image_size)
  count = len(source)
  if limit is not None:
    _check_positive(limit=limit)
    count = min(count, limit)
  labels = _labels(source)

  def example(index: tf.Tensor) -> dict[str, tf.Tensor]:
    image = augmentation.center_crop(source.load(index), image_size=image_size)
    return {"image": image, "label": tf.gather(labels, index)}

  dataset = tf.data.Dataset.range(count)
  dataset = dataset.map(example, num_parallel_calls=_or_autotune(parallel_calls))
  return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE).with_options(_options())


def steps_per_epoch(source: source_lib.Source, batch_size: int) -> int:
  """The number of whole batches in a source; the rest is left out, another one every epoch.

  Args:
    source: N images.
    batch_size: B.

  Returns:
    N // B, at least 1.

  Raises:
    ValueError: there are fewer images than one batch.
  """
  if len(source) < batch_size:
    raise ValueError(
      f"Expected at least one batch of images. Received: {len(source)} images and a batch of "
      f"{batch_size}. Lower --batch_size or give more images."
    )
  return len(source) // batch_size


def batch_indices(
  source: source_lib.Source, step: int, *, batch_size: int, seed: int
) -> np.ndarray:
  """The images of one training batch, for `source.unreadable` after an error.

  Args:
    source: that of `train_dataset`.
    step: counted from 0 over all epochs.
    batch_size: that of `train_dataset`.
    seed: that of `train_dataset`.

  Returns:
    (B,) int64 indices of images, in the order of the batch.

  Raises:
    ValueError: there are fewer images than one batch.
  """
  epoch, step = divmod(step, steps_per_epoch(source, batch_size))
  positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)
  return _shuffle(positions, epoch, count=len(source), seed=seed).numpy()


def _shuffle(position: tf.Tensor, epoch: tf.Tensor | int, *, count: int, seed: int) -> tf.Tensor:
  """The images at positions, () or (M,) int64 in [0, count), of an epoch's permutation."""
  # Negative, so apart from the seeds of the images.
  epoch_seed = tf.stack([tf.constant(seed, tf.int64), -1 - tf.cast(epoch, tf.int64)])
  # The cipher behind the shuffle uses only the low bits of its key (8 of each word up to 65,536
  # images): with seed and epoch themselves as the key, epoch 256 would repeat epoch 0 and seed
  # 256 seed 0. So they are hashed into it. `tf.random.experimental.index_shuffle` is this op with
  # four rounds, after which neighbors stay neighbors too often; with eight they do not.
  key = tf.random.stateless_uniform([3], epoch_seed, minval=None, maxval=None, dtype=tf.int32)
  return tf.raw_ops.RandomIndexShuffle(
    index=position, seed=key, max_index=tf.constant(count - 1, tf.int64), rounds=8
  )


def _labels(source: source_lib.Source) -> tf.Tensor:
  """(N,) int32, -1 where the source has no labels."""
  with tf.device("cpu:0"):
    if source.labels is None:
      return tf.fill([len(source)], -1)
    return tf.constant(source.labels)


def _or_autotune(count: int | None) -> int:
  return tf.data.AUTOTUNE if count is None else count


def _options() -> tf.data.Options:
  options = tf.data.Options()
  # The default, said aloud: images are loaded in parallel, and later ones wait for their turn.
  options.deterministic = True
  # Several workers each take their part of every batch: there are no files to deal out.
  options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
  return options


def _check_positive(**values: int) -> None:
  for name, value in values.items():
    if value < 1:
      raise ValueError(f"Expected `{name}` of 1 or more. Received: {value}")
