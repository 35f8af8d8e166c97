"""What a folder of embeddings holds, and how to read it.

Shard k holds the photographs from k * shard_size on, but for those that cannot be read, in the
source's order. `manifest.json` lists the shards that are done, also before all are.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from sbae_tf import output_folder
from sbae_tf.config import Json
from sbae_tf.data.source import first_line
from sbae_tf.embedding_formats import FORMATS, Layout, Rows
from sbae_tf.output_folder import FolderError

MANIFEST = "manifest.json"

_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Settings:
  """What decides which embeddings are written, and how.

  Attributes:
    data: the photographs, as `data.sources.open_source` takes them.
    photographs: how many.
    names_sha256: of their names.
    labels_sha256: of their labels and classes; empty where none are kept.
    max_pixels: those with more are left out.
    encoder_sha256: `FeatureExtractor.checksum`.
    signature: of the SavedModel.
    image_size: side of the photographs as the encoder sees them, in pixels.
    features: shape of a photograph's features, by name.
    maps: whether maps stay maps.
    dtype: of the numbers.
    format: of the files, a key of `FORMATS`.
    shard_size: photographs of a shard, at most.
  """

  data: str
  photographs: int
  names_sha256: str
  labels_sha256: str
  max_pixels: int
  encoder_sha256: str
  signature: str
  image_size: int
  features: Mapping[str, tuple[int, ...]]
  maps: bool
  dtype: str
  format: str
  shard_size: int

  @property
  def layout(self) -> Layout:
    """What a shard holds."""
    return Layout(self.features, self.dtype, bool(self.labels_sha256))

  @property
  def shards(self) -> int:
    """How many."""
    return -(-self.photographs // self.shard_size)

  def range(self, shard: int) -> range:
    """The photographs of a shard, by their number in the source."""
    first = shard * self.shard_size
    return range(first, min(first + self.shard_size, self.photographs))


@dataclasses.dataclass(frozen=True)
class SkippedPhotograph:
  """One that has no embedding.

  Attributes:
    index: its number in the source.
    name: its name.
    reason: one of `data.unreadable.REASONS`.
    detail: what the decoder said, in one line.
  """

  index: int
  name: str
  reason: str
  detail: str


@dataclasses.dataclass(frozen=True)
class Shard:
  """One that is done.

  Attributes:
    number: which.
    embeddings: how many are in it.
    files: names of its files, by what they hold.
    bytes: their sizes, in that order.
    skipped: the photographs that are not in it.
  """

  number: int
  embeddings: int
  files: Mapping[str, str]
  bytes: Sequence[int]
  skipped: Sequence[SkippedPhotograph] = ()


@dataclasses.dataclass(frozen=True)
class Manifest:
  """What a folder of embeddings holds.

  Attributes:
    settings: how they are made.
    about: what else is good to know: where the encoder was, versions, the source in words.
    class_names: the classes in the order of the labels; empty where none are kept.
    shards: those that are done, in their order.
  """

  settings: Settings
  about: Mapping[str, Json]
  class_names: tuple[str, ...] = ()
  shards: tuple[Shard, ...] = ()

  @property
  def embeddings(self) -> int:
    """How many are there."""
    return sum(shard.embeddings for shard in self.shards)

  @property
  def skipped(self) -> list[SkippedPhotograph]:
    """The photographs that are left out."""
    return [skipped for shard in self.shards for skipped in shard.skipped]

  @property
  def complete(self) -> bool:
    """Whether all shards are there."""
    return len(self.shards) == self.settings.shards


def to_json(manifest: Manifest) -> str:
  """A manifest as text, with some sums for people."""
  reasons = collections.Counter(skipped.reason for skipped in manifest.skipped)
  values = {
    "version": _VERSION,
    "complete": manifest.complete,
    "embeddings": manifest.embeddings,
    "skipped": dict(sorted(reasons.items())),
    **dataclasses.asdict(manifest),
  }
  return json.dumps(values, indent=1) + "\n"


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
  """Reads `manifest.json`.

  Args:
    path: the folder of embeddings.

  Returns:
    The manifest.

  Raises:
    ValueError: there is none, or it is damaged or of a version unknown here.
  """
  file = pathlib.Path(path).expanduser() / MANIFEST
  try:
    values = json.loads(file.read_text(encoding="utf-8"))
    if values["version"] != _VERSION:
      raise ValueError(f"version {values['version']} is not {_VERSION}, the one known here")
    shapes = {name: tuple(shape) for name, shape in values["settings"].pop("features").items()}
    return Manifest(
      settings=Settings(**values["settings"], features=shapes),
      about=values["about"],
      class_names=tuple(values["class_names"]),
      shards=tuple(
        Shard(**{**shard, "skipped": tuple(SkippedPhotograph(**each) for each in shard["skipped"])})
        for shard in values["shards"]
      ),
    )
  except FileNotFoundError as error:
    raise FolderError(
      f"There are no embeddings in {path}: expected its {MANIFEST}. Make them: "
      "python -m sbae_tf.embed"
    ) from error
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise FolderError(
      f"{file} is no manifest of embeddings: {error!r}. Write them to a new folder."
    ) from error


def read_shards(
  path: str | os.PathLike[str], features: Sequence[str]
) -> Iterator[tuple[np.ndarray, Rows]]:
  """Reads embeddings, a shard at a time.

  Args:
    path: their folder; all shards that are done are read.
    features: which.

  Yields:
    (N,) int64 numbers of the photographs in their source, and the rows.

  Raises:
    ValueError: there are none, a feature is unknown (lists the right ones), or a shard is damaged.
  """
  manifest = read_manifest(path)
  settings = manifest.settings
  unknown = [name for name in features if name not in settings.features]
  if unknown:
    raise ValueError(
      f"There is no feature {', '.join(unknown)} in {path}. There are: "
      f"{', '.join(settings.features)}."
    )
  folder = str(pathlib.Path(path).expanduser())
  for shard in manifest.shards:
    try:
      rows = FORMATS[settings.format].read(folder, shard.files, settings.layout, features)
      if len(rows) != shard.embeddings:
        raise ValueError(f"{len(rows)} names of {shard.embeddings}")
    except (OSError, ValueError, tf.errors.OpError) as error:
      reason = first_line(error) if isinstance(error, tf.errors.OpError) else str(error)
      raise ValueError(
        f"Cannot read {', '.join(shard.files.values())} in {path} ({reason}). The command that "
        "made the embeddings writes again what is missing or of another size."
      ) from error
    missing = [skipped.index for skipped in shard.skipped]
    yield np.setdiff1d(np.array(settings.range(shard.number), np.int64), missing), rows


def differences(there: Settings, here: Settings) -> list[str]:
  """The fields in which settings differ, such as `dtype is float16 there and float32 here`."""
  return output_folder.differences(dataclasses.asdict(there), dataclasses.asdict(here))
