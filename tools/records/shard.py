"""A worker's part: writes single shards of a plan."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
from apache_beam.utils.shared import Shared

from sbae_tf.data.map_ahead import map_ahead
from sbae_tf.data.record_shard import ShardWriter
from sbae_tf.data.unreadable import UnreadableImage
from tools.records.folder import Done, Folder
from tools.records.image import format_of, read_image, threads_of
from tools.records.plan import RecordsError, hash_names, open_source, relative_name


class Worker:
  """Writes shards; opens the source once."""

  def __init__(self, path: str) -> None:
    """Opens the source.

    Args:
      path: the records' folder, with a plan.

    Raises:
      RecordsError: the source cannot be opened, or is not what was planned for.
    """
    self._folder = Folder(path)
    self._plan = self._folder.plan()
    self._labels, self._order = self._folder.labels(), self._plan.order()
    self._source = open_source(self._plan.data)
    if hash_names(self._source) != self._plan.names_sha256:
      raise RecordsError(
        f"{self._plan.data} is not what it was at the start: it had {self._plan.images:,} images "
        f"and has {len(self._source):,}, or others. It must be the same to every worker."
      )

  def write(self, number: int) -> bool:
    """Writes a shard, unless it is there or no other is to be begun.

    Args:
      number: the shard's, in [0, S).

    Returns:
      Whether it was written.
    """
    done = self._folder.done(number)
    if self._folder.is_stopping() or (done is not None and self._folder.is_whole(done)):
      return False
    skipped = []
    indices = self._order[self._plan.span(number)].tolist()
    images = map_ahead(self._read, indices, threads=threads_of(self._source))
    with ShardWriter(self._folder.path, self._plan.file(number)) as writer:
      for index, image in zip(indices, images):
        name = relative_name(self._source, index)
        if isinstance(image, UnreadableImage):
          skipped.append((name, image.reason, image.detail))
          continue
        label = -1 if self._labels is None else int(self._labels[index])
        class_name = self._plan.class_names[label] if label >= 0 else ""
        writer.add(
          image, name=name, label=label, class_name=class_name, image_format=format_of(image)
        )
    self._folder.add(number, Done(writer.shard, tuple(skipped)))
    return True

  def _read(self, index: int) -> bytes | UnreadableImage:
    try:
      return read_image(self._source, index, self._plan.form)
    except UnreadableImage as error:
      return error


class WriteShards(beam.DoFn):
  """Writes the shards whose numbers it gets, and yields the number of each that it wrote."""

  def __init__(self, path: str) -> None:
    """Keeps the folder's name, for that is all that is sent to workers.

    Args:
      path: the records' folder, with a plan.
    """
    self._path = path
    self._shared = Shared()

  def setup(self) -> None:
    self._worker = self._shared.acquire(lambda: Worker(self._path))

  def process(self, number: int) -> Iterator[int]:
    if self._worker.write(number):
      yield number
