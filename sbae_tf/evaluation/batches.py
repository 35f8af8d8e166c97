"""Photographs as batches: cut at random to train on, their central squares to be classified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from sbae_tf.data import pipeline
from sbae_tf.data.skipped import Skipped, TooManySkippedError
from sbae_tf.evaluation.labelled import Labelled

_MEASURED = 128  # Photographs that are classified at a time.
# Bytes of central squares that stay for the next time: reading anew takes seconds, and a few
# thousand small ones are looked at after every epoch, or for every draw of labels.
_KEPT = 1 << 30


class Batches:
  """Batches of photographs, every one of which must be read.

  Attributes:
    image_size: S, the side in pixels.
    batch_size: B, of training.
    crop_area: the smallest part of a photograph's area that a random crop keeps.
  """

  def __init__(self, *, image_size: int, batch_size: int, crop_area: float) -> None:
    self.image_size, self.batch_size, self.crop_area = image_size, batch_size, crop_area
    self._kept: list[tuple[Labelled, list[tf.Tensor]]] = []

  def training(self, data: Labelled, *, steps: int, seed: int) -> Iterator[dict[str, tf.Tensor]]:
    """Random crops and flips, in an order that changes every epoch.

    Args:
      data: N photographs. Fewer than a batch are repeated to fill it, each time cut anew.
      steps: the number of batches.
      seed: of order, crops and flips.

    Yields:
      `{"image": (B, S, S, 3) uint8, "label": (B,) int32}`.

    Raises:
      ValueError: a photograph cannot be read.
    """
    source, count = data.source, len(data)
    if count < self.batch_size:
      repeated = np.tile(np.arange(count), -(-self.batch_size // count))
      source = source.subset(repeated, source.description)
    ledger = Skipped(count, limit=0.0)
    dataset = pipeline.train_dataset(
      source,
      batch_size=self.batch_size,
      image_size=self.image_size,
      seed=seed,
      area=(self.crop_area, 1.0),
      skipped=ledger,
    )
    return _checked(dataset.take(steps), ledger)

  def central(self, data: Labelled) -> Iterable[tf.Tensor]:
    """The central squares of all photographs in their order.

    Args:
      data: N photographs. As long as they are few, they are read once, however often they come.

    Yields:
      (B, S, S, 3) uint8, of any B.

    Raises:
      ValueError: a photograph cannot be read.
    """
    for known, images in self._kept:
      if known is data:
        return images
    ledger = Skipped(len(data), limit=0.0)
    dataset = pipeline.evaluation_dataset(
      data.source, batch_size=_MEASURED, image_size=self.image_size, skipped=ledger
    )
    batches = (batch["image"] for batch in _checked(dataset, ledger))
    count = len(data) + sum(len(known) for known, _ in self._kept)
    if count * 3 * self.image_size**2 > _KEPT:
      return batches
    self._kept.append((data, list(batches)))
    return self._kept[-1][1]


def _checked(dataset: tf.data.Dataset, ledger: Skipped) -> Iterator[dict[str, tf.Tensor]]:
  """The batches; names the photograph that cannot be read where they end by one."""
  try:
    yield from dataset
  except (tf.errors.OpError, TooManySkippedError):
    for name, (reason, detail) in ledger.entries.items():
      raise ValueError(
        f"Cannot read {name} ({reason}: {detail}). Mend or remove it: an accuracy is of all "
        "photographs."
      ) from None
    raise
