"""A worker's part of every batch."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shard:
  """A worker's part of every batch: a batch is dealt out to workers, and by each to its devices.

  Attributes:
    index: of the worker, in [0, count).
    count: of workers.
    pieces: into which a worker's part is cut, one for each of its devices.
  """

  index: int = 0
  count: int = 1
  pieces: int = 1

  def of(self, batch_size: int) -> int:
    """The number of images of a batch that are in the part.

    Raises:
      ValueError: the batch does not divide among the workers' devices.
    """
    if not 0 <= self.index < self.count or self.pieces < 1:
      raise ValueError(f"Expected a shard below its count, in 1 or more pieces. Received: {self}")
    if batch_size % (self.count * self.pieces):
      raise ValueError(
        f"Expected `batch_size` to be a multiple of {self.count * self.pieces}, the number of "
        f"devices. Received: {batch_size}."
      )
    return batch_size // self.count


WHOLE = Shard()  # One worker with one device.
