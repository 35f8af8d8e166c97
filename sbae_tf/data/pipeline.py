"""From a source to batches of uint8 RGB.

Training batches are a pure function of the source, the seed and the step: order, crops and flips
are drawn from stateless seeds made of the image's position, so that threads cannot change them and
a run can go on at any step. What is shuffled are indices, never images: no buffer. An image that
cannot be read is replaced by the next one in the order that can, so that the others keep their
place.

Work goes in chunks of images: what costs as much for one as for many, such as drawing the crops, is
done once a chunk, and a chunk is read and decoded on one thread, several chunks at once. With a
`service` that happens on other machines; replacing what they could not read stays here.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.data import augmentation, data_service, order
from sbae_tf.data.augmentation import Cut
from sbae_tf.data.chunk import Chunk, load_chunk
from sbae_tf.data.decode import CutFunction
from sbae_tf.data.mend import Mender
from sbae_tf.data.shard import WHOLE, Shard
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.source import Source

MAX_PIXELS = 100_000_000

_CHUNK = 64  # Images, at most.
_PAIRS = 8  # Images, at most, where all are decoded in Python.
_DRAWS = 64  # Random numbers that a position owns: `augmentation.DRAWS` and some unused.


def train_dataset(
  source: Source,
  *,
  batch_size: int,
  image_size: int,
  seed: int,
  area: tuple[float, float] = (0.25, 1.0),
  aspect: tuple[float, float] = (3 / 4, 4 / 3),
  flip: bool = True,
  turns: bool = False,
  first_step: int = 0,
  shard: Shard = WHOLE,
  skipped: Skipped | None = None,
  max_pixels: int = MAX_PIXELS,
  service: str = "",
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
    turns: whether to turn each by 0, 90, 180 or 270 degrees at random.
    first_step: the number of batches to leave out: the step at which a resumed run goes on.
    shard: which part of every batch is made, in how many pieces.
    skipped: where images are entered that cannot be read; None for a ledger that accepts 1%.
    max_pixels: an image with more is skipped, by its header.
    service: `grpc://host:port` of a tf.data service whose workers read and decode; they find the
      images under the same names. Empty: this process does.
    parallel_calls: chunks of images that are loaded at a time; None for some more than there are
      processors, and with a service as `tf.data` finds best.
    prefetch: batches that are made ahead; None leaves it to `tf.data`.

  Returns:
    A dataset of `{"image": (B, S, S, 3) uint8, "label": (B,) int32}`; the label is -1 where the
    image has none. There are more planes than 3 where something lies beside the images
    (`Source.planes`). The same arguments give the same batches to the bit, whatever
    `parallel_calls`, `prefetch` and `service`. With a shard, the pieces of its part of each batch,
    one after the other: those of all shards together are the batches without.

  Raises:
    ValueError: the source has fewer images than one batch or cannot be read by other processes, an
      argument is out of range, the batch does not divide among shards and pieces, or no service
      answers.
  """
  _check_positive(batch_size=batch_size, image_size=image_size, max_pixels=max_pixels)
  augmentation.check_ranges(area=area, aspect=aspect)
  if first_step < 0:
    raise ValueError(f"Expected `first_step` of 0 or more. Received: {first_step}")
  per_epoch = steps_per_epoch(source, batch_size) * batch_size
  part = shard.of(batch_size)
  size = _chunk_size(part, whole=shard.count == 1, run_length=source.run_length, most=_most(source))

  def image_at(position: tf.Tensor) -> tf.Tensor:
    return order.image_at(source, position, per_epoch=per_epoch, seed=seed)

  def cut_at(position: tf.Tensor) -> CutFunction:
    def cut(slots: tf.Tensor, sizes: tf.Tensor, orientations: tf.Tensor, ratios: tf.Tensor) -> Cut:
      draws = _draws(position[0], count=size, seed=seed)
      return augmentation.random_cut(
        *(sizes, orientations, tf.gather(draws, slots)),
        image_size=image_size,
        largest_ratio=ratios,
        area=area,
        aspect=aspect,
        flip=flip,
        turns=turns,
      )

    return cut

  @tf.autograph.experimental.do_not_convert  # It takes a second and finds nothing to convert.
  def load(start: tf.Tensor) -> Chunk:
    if shard.count > 1:  # From the place in the shard to that in the order.
      start = start // part * batch_size + shard.index * part + start % part
    position = start + tf.range(size, dtype=tf.int64)
    return load_chunk(
      source, position, image_at(position), cut_at(position), image_size, max_pixels=max_pixels
    )

  mender = Mender(
    source,
    Skipped(len(source)) if skipped is None else skipped,
    image_size=image_size,
    max_pixels=max_pixels,
    next_image=lambda position: int(image_at(tf.constant([position], tf.int64))[0]),
  )
  labels = _labels(source)

  @tf.autograph.experimental.do_not_convert
  def mend(chunk: Chunk) -> Chunk:
    images, _, index = mender.mend(**chunk, cut=cut_at(chunk["position"]))
    images = tf.ensure_shape(images, (size, image_size, image_size, source.planes))
    return {"image": images, "label": tf.gather(labels, tf.ensure_shape(index, (size,)))}

  first = first_step * part
  if service:
    if not source.portable:
      raise ValueError(
        f"Expected no --data_service with {source.description}: other processes cannot read it. "
        "Unpack it, or write records from it: python -m tools.make_records"
      )
    dataset = data_service.distribute(
      lambda number: load(first + number * size), service, parallel_calls=parallel_calls
    )
  else:
    # Not a range up to a large number: several workers ask each other before every step of a
    # finite dataset whether all of them still have data.
    dataset = tf.data.Dataset.counter(tf.constant(first, tf.int64), size)
    dataset = dataset.map(load, num_parallel_calls=_or_some_more(parallel_calls))
  dataset = dataset.map(mend, num_parallel_calls=_menders(source, parallel_calls))
  if size != part // shard.pieces:
    dataset = dataset.rebatch(part // shard.pieces, drop_remainder=True)
  return dataset.prefetch(_or_autotune(prefetch)).with_options(_options())


def evaluation_dataset(
  source: Source,
  *,
  batch_size: int,
  image_size: int,
  limit: int | None = None,
  shard: Shard = WHOLE,
  skipped: Skipped | None = None,
  max_pixels: int = MAX_PIXELS,
  parallel_calls: int | None = None,
) -> tf.data.Dataset:
  """Batches of the central squares of all images, once, in the source's order.

  Args:
    source: N images.
    batch_size: B.
    image_size: S, the side of the images in pixels.
    limit: the number of images, the first ones; None for all.
    shard: which part of the images is taken, and into how many pieces each batch is cut.
    skipped: where images are entered that cannot be read, and which are left out; None for a
      ledger that accepts 1%.
    max_pixels: an image with more is skipped, by its header.
    parallel_calls: chunks of images that are loaded at a time; None leaves it to `tf.data`.

  Returns:
    A dataset of `{"image": (B, S, S, 3) uint8, "label": (B,) int32, "index": (B,) int64}`; the
    last batch may be smaller. The label is -1 where the image has none, the index is the image's in
    the source, planes are as in training. With a shard, pieces of B over the numbers of shards and
    pieces, of a part of the images that lie together; the last shards' may be empty.

  Raises:
    ValueError: an argument is not positive, or the batch does not divide among shards and pieces.
  """
  _check_positive(batch_size=batch_size, image_size=image_size, max_pixels=max_pixels)
  count = len(source)
  if limit is not None:
    _check_positive(limit=limit)
    count = min(count, limit)
  part = shard.of(batch_size)
  size = _chunk_size(part, whole=True, run_length=source.run_length, most=_most(source))
  # Whole chunks: where these are runs, those stay whole.
  each = _multiple(-(-count // shard.count), size)
  first, count = min(count, shard.index * each), min(count, (shard.index + 1) * each)

  def cut(slots: tf.Tensor, sizes: tf.Tensor, orientations: tf.Tensor, ratios: tf.Tensor) -> Cut:
    del slots
    return augmentation.central_cut(
      sizes, orientations, image_size=image_size, largest_ratio=ratios
    )

  @tf.autograph.experimental.do_not_convert
  def load(start: tf.Tensor) -> Chunk:
    index = tf.range(start, tf.minimum(start + size, count))
    return load_chunk(source, index, index, cut, image_size, max_pixels=max_pixels)

  mender = Mender(
    source,
    Skipped(len(source)) if skipped is None else skipped,
    image_size=image_size,
    max_pixels=max_pixels,
    next_image=None,
  )
  labels = _labels(source)

  @tf.autograph.experimental.do_not_convert
  def mend(chunk: Chunk) -> Chunk:
    images, ok, index = mender.mend(**chunk, cut=cut)
    images, index = tf.cond(
      tf.reduce_all(ok),
      lambda: (images, index),
      lambda: (tf.boolean_mask(images, ok), tf.boolean_mask(index, ok)),
    )
    images = tf.ensure_shape(images, (None, image_size, image_size, source.planes))
    return {"image": images, "label": tf.gather(labels, index), "index": index}

  dataset = tf.data.Dataset.range(first, count, size)
  dataset = dataset.map(load, num_parallel_calls=_or_some_more(parallel_calls))
  dataset = dataset.map(mend, num_parallel_calls=_menders(source, parallel_calls))
  dataset = dataset.rebatch(part // shard.pieces)
  return dataset.prefetch(tf.data.AUTOTUNE).with_options(_options())


def batch_names(source: Source, step: int, *, batch_size: int, seed: int) -> list[str]:
  """The names of the images of a training batch, as the order has them.

  Args:
    source: N images.
    step: of the batch, counted from 0.
    batch_size: B.
    seed: that of `train_dataset`.

  Returns:
    B names. Where an image could not be read another one was in its place.
  """
  position = step * batch_size + np.arange(batch_size)
  per_epoch = steps_per_epoch(source, batch_size) * batch_size
  with tf.device("cpu:0"):
    index = order.image_at(source, tf.constant(position, tf.int64), per_epoch=per_epoch, seed=seed)
  return [source.names[i] for i in index.numpy()]


def steps_per_epoch(source: Source, batch_size: int) -> int:
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


def _draws(start: tf.Tensor, *, count: int, seed: int) -> tf.Tensor:
  """(count, DRAWS) float32 in [0, 1): a position's numbers, whatever chunk it is in.

  The generator makes four numbers from a key and a counter; every position owns as many values of
  the counter as it needs, so that a chunk's numbers are drawn at once.
  """
  first = tf.cast(start, tf.uint64) * (_DRAWS // 4)
  draws = tf.raw_ops.StatelessRandomUniformV2(
    shape=(count, _DRAWS),
    key=tf.constant([seed % 2**64], tf.uint64),
    counter=tf.stack([first, tf.zeros_like(first)]),
    alg=1,  # Philox, on every device.
  )
  return draws[:, : augmentation.DRAWS]


def _labels(source: Source) -> tf.Tensor:
  """(N,) int32, -1 where the source has no labels."""
  with tf.device("cpu:0"):
    if source.labels is None:
      return tf.fill([len(source)], -1)
    return tf.constant(source.labels)


def _chunk_size(part: int, *, whole: bool, run_length: int, most: int = _CHUNK) -> int:
  """Images of a chunk.

  Args:
    part: the shard's images of a batch.
    whole: whether those of one batch and the next follow each other in the order. Else a chunk
      must not reach from one into the next: it is a divisor of `part`.
    run_length: of the source.
    most: images, about.
  """
  if whole:
    return min(most, _multiple(part, run_length))
  divisors = [size for size in range(1, part + 1) if part % size == 0]
  return min(divisors, key=lambda size: max(size / most, most / size))


def _multiple(count: int, of: int) -> int:
  return -(-count // of) * of


def _or_some_more(count: int | None) -> int:
  # More than processors: chunks wait for their turn. `tf.data`'s choice left some processors idle.
  return runtime.processors() + 6 if count is None else count


def _or_autotune(count: int | None) -> int:
  return tf.data.AUTOTUNE if count is None else count


def _most(source: Source) -> int:
  return _CHUNK if source.beside is None else _PAIRS


def _menders(source: Source, count: int | None) -> int:
  return _or_autotune(count) if source.beside is None else _or_some_more(count)


def _options() -> tf.data.Options:
  options = tf.data.Options()
  # The default, said aloud: images are loaded in parallel, and later ones wait for their turn.
  options.deterministic = True
  return options


def _check_positive(**values: int) -> None:
  for name, value in values.items():
    if value < 1:
      raise ValueError(f"Expected `{name}` of 1 or more. Received: {value}")
