"""What is written: which images, in which shards, in which form."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sbae_tf.data import sources
from sbae_tf.data.map_ahead import map_ahead
from sbae_tf.data.source import Source
from sbae_tf.data.unreadable import UnreadableImage
from tools.records.image import Form, read_image, threads_of

# A shard more is cheap, and the fewer there are, the fewer workers can write at once. It does not
# follow the number of workers, so that the records do not depend on the machine.
_FEWEST_SHARDS = 16
_FEWEST_IMAGES = 64  # Of a shard, where it is not the only one.

_TRIED = 256  # Images whose size tells that of all.


class RecordsError(ValueError):
  """The records cannot be written; the message is a line for the user."""


@dataclasses.dataclass(frozen=True)
class Plan:
  """All that the records' bytes depend on; equal plans make equal bytes.

  Attributes:
    data: the source, as `sources.open_source` takes it.
    images: N, how many it has.
    names_sha256: of their names, in their order: for seeing that the source is not what it was.
    labels_sha256: of their labels; empty where there are none.
    class_names: the classes in the order of their labels.
    shards: S, in [1, N].
    seed: decides which image lies where.
    form: what is written of an image.
  """

  data: str
  images: int
  names_sha256: str
  labels_sha256: str
  class_names: tuple[str, ...]
  shards: int
  seed: int
  form: Form

  @property
  def settings(self) -> dict[str, Any]:
    """For the manifest, and for comparing; JSON values."""
    values = dataclasses.asdict(self)
    return {"tool": 1, **values.pop("form"), **values, "class_names": list(self.class_names)}

  def differences(self, settings: Mapping[str, Any]) -> str:
    """What other settings have otherwise, for people: `seed is 1 there and 0 here`."""
    here, texts = self.settings, []
    for name in {**here, **settings}:
      there = settings.get(name)
      if there == here.get(name):
        continue
      known = {"names_sha256": "its images' names", "labels_sha256": "its images' classes"}
      shown = f"{name} is {there} there and {here.get(name)} here"
      texts.append(f"{known[name]} differ" if name in known else shown)
    return ", ".join(texts)

  def to_json(self) -> bytes:
    """The plan as a file."""
    return json.dumps(dataclasses.asdict(self)).encode()

  @classmethod
  def from_json(cls, text: bytes) -> Plan:
    """What `to_json` wrote."""
    values = json.loads(text)
    form, class_names = Form(**values.pop("form")), tuple(values.pop("class_names"))
    return cls(form=form, class_names=class_names, **values)

  def file(self, shard: int) -> str:
    """The name of a shard's file."""
    return f"images-{shard:05}-of-{self.shards:05}.tfrecord"

  def order(self) -> np.ndarray:
    """All images, shuffled, for readers take records that lie together: (N,) int64."""
    return shuffle(self.images, seed=self.seed)

  def span(self, shard: int) -> slice:
    """Which part of `order` is in a shard."""
    return slice(*(self.images * end // self.shards for end in (shard, shard + 1)))


def open_source(data: str, *, labels: bool = False) -> Source:
  """Opens a source of which every image is as likely as any other.

  Args:
    data: as `sources.open_source` takes it.
    labels: whether to read labels also where all data must be read for it.

  Raises:
    RecordsError: it cannot be opened, or is a mixture.
  """
  try:
    source = sources.open_source(data, labels=labels)
  except ValueError as error:
    raise RecordsError(str(error)) from error
  if source.shares:
    raise RecordsError(
      "Expected --data without weights: records hold every image once. Write each part to a folder "
      "of its own, and give the weights where they are read: --data='3:FOLDER; 1:FOLDER'."
    )
  return source


def shuffle(count: int, *, seed: int) -> np.ndarray:
  """A permutation of [0, count): (count,) int64.

  By the one generator of NumPy's that is the same in all of its versions: a run may go on after an
  update, and workers may differ. For the same reason not by what shuffles in training.
  """
  return np.random.RandomState(seed).permutation(count)


def make_plan(
  data: str, source: Source, form: Form, *, shards: int | None, shard_mb: float, seed: int
) -> Plan:
  """Plans the records of a source.

  Args:
    data: what it was opened by.
    source: N images.
    form: what is written of each.
    shards: how many; None: as `count_shards` finds.
    shard_mb: about the size of a shard at most, in millions of bytes, where `shards` is None.
    seed: decides which image lies where.

  Returns:
    The plan.

  Raises:
    RecordsError: there are fewer images than shards, or none can be read.
  """
  if shards is None:
    shards = count_shards(source, form, shard_mb=shard_mb, seed=seed)
  elif shards > len(source):
    raise RecordsError(f"Expected --shards of {len(source):,} images at most. Received: {shards}")
  labels_sha256 = ""
  if source.labels is not None:
    labels_sha256 = hashlib.sha256(source.labels.astype("<i4").tobytes()).hexdigest()
  return Plan(
    data=data,
    images=len(source),
    names_sha256=hash_names(source),
    labels_sha256=labels_sha256,
    class_names=source.class_names,
    shards=shards,
    seed=seed,
    form=form,
  )


def relative_name(source: Source, index: int) -> str:
  """The name of an image that it keeps wherever the collection lies."""
  return _below_root(source, source.names[index])


def hash_names(source: Source) -> str:
  """A hash of the images' names, in their order."""
  digest = hashlib.sha256()
  for name in source.names:
    digest.update(_below_root(source, name).encode() + b"\0")
  return digest.hexdigest()


def _below_root(source: Source, name: str) -> str:
  return name[len(source.root) :].lstrip("/")


def count_shards(source: Source, form: Form, *, shard_mb: float, seed: int) -> int:
  """How many shards there are to be, by the size of some images.

  Args:
    source: N images.
    form: what is written of each.
    shard_mb: about the size of a shard at most, in millions of bytes.
    seed: decides which images are looked at.

  Returns:
    At least 16, where each then has 64 images or more.

  Raises:
    RecordsError: none of them can be read.
  """
  tried = min(len(source), _TRIED)
  indices = shuffle(len(source), seed=seed)[:tried].tolist()

  def size(index: int) -> int | UnreadableImage:
    try:
      return len(read_image(source, index, form))
    except UnreadableImage as error:
      return error

  sizes, error = [], None
  for result in map_ahead(size, indices, threads=threads_of(source)):
    if isinstance(result, UnreadableImage):
      error = error or result
    else:
      sizes.append(result)
  if not sizes:
    raise RecordsError(
      f"None of {tried} images tried can be read. The first: "
      f"{relative_name(source, indices[0])} ({error})"
    )
  total = sum(sizes) / tried * len(source)
  fewest = max(1, min(_FEWEST_SHARDS, len(source) // _FEWEST_IMAGES))
  return min(len(source), max(fewest, math.ceil(total / (shard_mb * 1e6))))
