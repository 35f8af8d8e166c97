"""Training and held-out images of one collection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from sbae_tf.data.source import Source


def split_heldout(source: Source, fraction: float, *, seed: int = 0) -> tuple[Source, Source]:
  """Splits a source in two that share no image.

  Which side an image is on depends on its name below the root and the seed alone, so it stays
  there when other images are added or the whole collection moves. Images that are read together
  (`Source.run_length`) stay together, by the name of their first.

  Args:
    source: two images or more.
    fraction: the held-out part, in (0, 1); met on average, not exactly. Each side has one image
      at least.
    seed: another seed, another split.

  Returns:
    The rest, for training, and the held-out source, both in the order of `source`.

  Raises:
    ValueError: `fraction` is outside (0, 1) or there are fewer than two images.
  """
  if not 0.0 < fraction < 1.0:
    raise ValueError(f"Expected `fraction` between 0 and 1. Received: {fraction}")
  if len(source) < 2:
    raise ValueError(
      f"Expected two images or more, to hold some out. Received: {source.description}"
    )
  # Whole runs, so that both sides have them; of a collection that is one run, single images.
  run = source.run_length if len(source) > source.run_length else 1
  score = np.fromiter(_scores(source, run, seed), np.float64)
  heldout = score < fraction
  heldout[np.argmin(score)] = True
  heldout[np.argmax(score)] = False
  heldout = np.repeat(heldout, run)[: len(source)]
  sides = []
  for name, mask in (("training", ~heldout), ("held-out", heldout)):
    indices = np.flatnonzero(mask)
    sides.append(source.subset(indices, f"{len(indices):,} {name} of {source.description}"))
  return sides[0], sides[1]


def _scores(source: Source, run: int, seed: int) -> Iterator[float]:
  """A number in [0, 1), uniform, for the first image of every run."""
  for index, name in enumerate(source.names):
    if index % run == 0:
      key = f"{seed}/{name[len(source.root) :].lstrip('/')}"
      # Not Python's hash: that one differs from process to process.
      digest = hashlib.blake2b(key.encode(), digest_size=6).digest()
      yield int.from_bytes(digest, "big") / 2.0**48
