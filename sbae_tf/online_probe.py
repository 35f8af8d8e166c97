"""What a representation is worth while it is trained: classes by nearest neighbors, nothing learnt.

The labelled photographs stay in memory, decoded; each probe computes their features anew. It draws
no random number and leaves the model as it is, so that a run with a probe is the run without.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf
from absl import logging

from sbae_tf.config import PretrainConfig, ProbeConfig
from sbae_tf.data import pipeline, sources
from sbae_tf.data.mixture import concatenate
from sbae_tf.data.skipped import Skipped, TooManySkippedError
from sbae_tf.encoder import Encoder
from sbae_tf.evaluation.knn import knn_scores
from sbae_tf.evaluation.labelled import Labelled, check_same_classes, split

# Not chosen on the photographs: curves of several runs shall differ by their encoders alone.
_NEIGHBORS = 20
_TEMPERATURE = 0.07

_TEST_PART = 0.2
_SEED = 0  # Not the run's: runs of several seeds are compared on the same photographs.

_Batches = Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Photographs:
  """What a probe is made with, decoded.

  Attributes:
    images: (N, S, S, P) uint8.
    labels: (N,) int32 in [0, classes).
    tested: (N,) bool, of those that are classified; the others are their possible neighbors.
    classes: how many there are.
  """

  images: np.ndarray
  labels: np.ndarray
  tested: np.ndarray
  classes: int


class OnlineProbe:
  """A kNN classifier on an encoder's features.

  Attributes:
    description: one line that says which photographs it is of, for the log.
  """

  def __init__(
    self,
    encoder: Encoder,
    photographs: Photographs,
    *,
    layer: str,
    batch_size: int,
    description: str,
  ) -> None:
    """Computes nothing yet.

    Args:
      encoder: is looked at as it is at the time.
      photographs: of each part one at least.
      layer: name of the features that are compared; of a map the means over its pixels.
      batch_size: photographs that the encoder sees at a time.
      description: see the attribute.
    """
    self.description = description
    self._photographs, self._layer, self._batch_size = photographs, layer, batch_size

    @tf.function(
      input_signature=[tf.TensorSpec((None, *photographs.images.shape[1:]), tf.uint8)],
      autograph=False,
    )
    def features(images: tf.Tensor) -> tf.Tensor:
      values = encoder(images, training=False)[layer]
      return values if values.shape.rank == 2 else tf.reduce_mean(values, axis=(1, 2))

    self._features = features

  def __str__(self) -> str:
    """Such as `embedding, 400 photographs`: whose classes are told by what."""
    return f"{self._layer}, {np.count_nonzero(self._photographs.tested):,} photographs"

  def accuracy(self, *, watched: _Batches = iter) -> float:
    """The part of the tested photographs whose class their neighbors tell, in [0, 1].

    The 20 nearest vote, or all where there are fewer, each with the weight exp(cosine / 0.07).

    Several workers make this call together, and each computes all of it: reading batch statistics
    takes all of them.

    Args:
      watched: passes the batches on; may end the work between two of them by an error.
    """
    images, tested = self._photographs.images, self._photographs.tested
    labels, size = self._photographs.labels, self._batch_size
    batches = (images[start : start + size] for start in range(0, len(images), size))
    features = np.concatenate([self._features(batch).numpy() for batch in watched(batches)])
    scores = knn_scores(
      *(features[~tested], labels[~tested], features[tested]),
      k=min(_NEIGHBORS, np.count_nonzero(~tested)),
      classes=self._photographs.classes,
      temperature=_TEMPERATURE,
    )
    return float(np.mean(np.argmax(scores, axis=1) == labels[tested]))


def open_probe(config: PretrainConfig, encoder: Encoder, *, batch_size: int) -> OnlineProbe | None:
  """Reads the photographs that a configuration's `probe` asks for.

  Args:
    config: a valid configuration.
    encoder: that of the run.
    batch_size: photographs that it sees at a time.

  Returns:
    The probe; None where none is asked for.

  Raises:
    ValueError: the photographs cannot be opened, have no classes or other ones to be classified,
      or too many cannot be read.
  """
  probe = config.probe
  if not probe.path:
    if probe.test_path:
      raise ValueError(f"Expected --probe.path with --probe.test_path={probe.test_path}.")
    return None
  data, tested = choose(probe)
  photographs = _read(data, tested, config, batch_size=batch_size)
  tests = np.count_nonzero(photographs.tested)
  neighbors = len(photographs.labels) - tests
  if not tests or not neighbors:
    raise ValueError(f"None of a part can be read of the probe's {data.source.description}.")
  return OnlineProbe(
    encoder,
    photographs,
    layer=probe.layer,
    batch_size=batch_size,
    description=f"{tests:,} photographs by the nearest of {neighbors:,}: {data.source.description}",
  )


def choose(probe: ProbeConfig) -> tuple[Labelled, np.ndarray]:
  """The photographs of a probe: the same ones whenever it is asked for.

  Args:
    probe: with a `path`.

  Returns:
    N photographs, at most `probe.limit`, of each class its share; and (N,) bool, which of them are
    classified.

  Raises:
    ValueError: they cannot be opened, have no classes, or other ones to be classified.
  """
  data = _open(probe.path, "path")
  if not probe.test_path:
    data = _drawn(data, probe.limit)
    tested = np.zeros(len(data), bool)
    tested[split(data.labels, _TEST_PART, seed=_SEED)[1]] = True
    if not tested.any():
      raise ValueError(
        "Expected two photographs or more of a class in --probe.path, to hold some out. Received: "
        f"{data.source.description}. Give more, a higher --probe.limit, or --probe.test_path."
      )
    return data, tested
  test = _open(probe.test_path, "test_path")
  try:
    check_same_classes(data, test)
  except ValueError as error:
    raise ValueError(f"--probe.path and --probe.test_path: {error}") from error
  count = max(1, round(_TEST_PART * probe.limit))
  data, test = _drawn(data, max(1, probe.limit - count)), _drawn(test, count)
  together = Labelled(concatenate([data.source, test.source]))
  return together, np.arange(len(together)) >= len(data)


def _open(path: str, field: str) -> Labelled:
  try:
    source = sources.open_source(path, labels=True)
    # A mixture's weights say how often to train on a photograph: here each counts once.
    return Labelled(dataclasses.replace(source, shares=()))
  except ValueError as error:
    raise ValueError(f"--probe.{field}={path}: {error}") from error


def _drawn(data: Labelled, count: int) -> Labelled:
  """At most so many photographs, of each class its share."""
  if len(data) <= count:
    return data
  shuffled = np.random.default_rng(_SEED).permutation(len(data))
  by_class = shuffled[np.argsort(data.labels[shuffled], kind="stable")]
  places = np.linspace(0, len(data) - 1, count).astype(np.int64)
  return data.subset(np.sort(by_class[places]))


def _read(
  data: Labelled, tested: np.ndarray, config: PretrainConfig, *, batch_size: int
) -> Photographs:
  """The central squares of all that can be read."""
  size = config.data.image_size
  skipped = Skipped(len(data), limit=config.data.max_skipped)
  dataset = pipeline.evaluation_dataset(
    data.source,
    batch_size=batch_size,
    image_size=size,
    skipped=skipped,
    max_pixels=config.data.max_pixels,
  )
  images = np.empty((len(data), size, size, data.source.planes), np.uint8)
  index = np.empty(len(data), np.int64)
  count = 0
  try:
    for batch in dataset:
      end = count + len(batch["index"])
      images[count:end], index[count:end] = batch["image"].numpy(), batch["index"].numpy()
      count = end
  except tf.errors.OpError as error:
    try:
      skipped.check()
    except TooManySkippedError as reason:
      raise ValueError(f"Of the probe's photographs {reason}") from None
    raise error
  if len(skipped):
    names = ", ".join(f"{name} ({reason})" for name, (reason, _) in skipped.entries.items())
    logging.warning("Of the probe's photographs %s: %s.", skipped, names)
  index = index[:count]
  return Photographs(images[:count], data.labels[index], tested[index], len(data.class_names))
