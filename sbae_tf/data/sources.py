"""The photographs that a configuration asks for: a training and a held-out source."""

from __future__ import annotations

import numpy as np

from sbae_tf.config import DataConfig
from sbae_tf.data import files, photographs
from sbae_tf.data.source import Source

_EMBEDDED_HELDOUT = 512


def open_sources(config: DataConfig) -> tuple[Source, Source]:
  """Opens the training and the held-out photographs; no image is in both.

  Which photographs are held out depends on their names alone, not on a run's seed: runs of several
  seeds are compared on the same ones.

  Args:
    config: `path`, `heldout_path`, `heldout_fraction`, `heldout_limit` and `embedded_crops` count.

  Returns:
    The two sources; at most `heldout_limit` photographs are held out for looking at, evenly over
    all that are.

  Raises:
    ValueError: a path does not exist or holds no images.
  """
  if config.path:
    train = files.build(config.path)
    if config.heldout_path:
      heldout = files.build(config.heldout_path)
    else:
      train, heldout = files.split_heldout(train, config.heldout_fraction)
  else:
    train = photographs.build("train", crops=config.embedded_crops)
    if config.heldout_path:
      heldout = files.build(config.heldout_path)
    else:
      heldout = photographs.build("heldout", crops=_EMBEDDED_HELDOUT)
  if len(heldout) > config.heldout_limit:
    chosen = np.linspace(0, len(heldout) - 1, config.heldout_limit).astype(np.int64)
    heldout = heldout.subset(chosen, f"{config.heldout_limit} of {heldout.description}")
  return train, heldout
