"""The photographs of a pretraining run, as its configuration wants them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import tensorflow as tf

from sbae_tf.config import PretrainConfig
from sbae_tf.data import pipeline
from sbae_tf.data.shard import WHOLE, Shard
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.source import Source
from sbae_tf.failures import WriteError
from sbae_tf.writing import writing

_T = TypeVar("_T")


def training_dataset(
  config: PretrainConfig,
  source: Source,
  skipped: Skipped,
  shard: Shard = WHOLE,
  *,
  first_step: int = 0,
) -> tf.data.Dataset:
  """Endless batches, see `pipeline.train_dataset`.

  Args:
    config: of the run.
    source: photographs.
    skipped: where those go that cannot be read.
    shard: the part of each batch.
    first_step: the batch that comes first.
  """
  data = config.data
  return pipeline.train_dataset(
    source,
    batch_size=config.batch_size,
    image_size=data.image_size,
    seed=config.seed,
    area=data.crop_area,
    aspect=data.crop_aspect,
    flip=data.flip,
    turns=data.turns,
    first_step=first_step,
    shard=shard,
    skipped=skipped,
    max_pixels=data.max_pixels,
    service=data.service,
    parallel_calls=data.parallel_calls or None,
  )


def evaluation_dataset(
  config: PretrainConfig,
  source: Source,
  skipped: Skipped,
  shard: Shard = WHOLE,
) -> tf.data.Dataset:
  """Every photograph once, see `pipeline.evaluation_dataset`; arguments as above."""
  return pipeline.evaluation_dataset(
    source,
    batch_size=config.batch_size,
    image_size=config.data.image_size,
    shard=shard,
    skipped=skipped,
    max_pixels=config.data.max_pixels,
  )


def panel_images(config: PretrainConfig, heldout: Source, skipped: Skipped) -> tf.Tensor:
  """Photographs for pictures, (B, S, S, P) uint8, evenly over the held-out ones.

  Raises:
    ValueError: none of them can be read, or too many cannot; names the first.
  """
  count = min(config.panel_images, len(heldout))
  indices = np.linspace(0, len(heldout) - 1, count).astype(np.int64)
  dataset = evaluation_dataset(config, heldout.subset(indices, "panel"), skipped)
  batches = reading(lambda: [batch["image"] for batch in dataset], skipped)
  if not batches:
    raise ValueError(f"{skipped}: all that were tried of {heldout.description}. Give others.")
  return tf.concat(batches, axis=0)


def reading(read: Callable[[], _T], skipped: Skipped) -> _T:
  """What `read` gives.

  Args:
    read: reads photographs.
    skipped: where those go that cannot be read.

  Raises:
    ValueError: too many cannot be read; names the first.
    WriteError: they could not be written down.
  """
  try:
    return read()
  except tf.errors.OpError as error:
    try:
      with writing(skipped.file or pathlib.Path("skipped.tsv")):
        skipped.check()
    except (ValueError, WriteError) as reason:
      raise reason from None
    raise error
