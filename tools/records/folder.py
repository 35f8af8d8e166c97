"""The records' folder while it is filled: what is planned, what is done, what is to stop.

`OUT/unfinished/` holds the plan, the labels, and a small file for every finished shard; it goes
when the manifest comes. Its name begins with no dot, so that nobody takes what lies beside it for
all records.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import json
import re

import numpy as np
import tensorflow as tf

from sbae_tf.data import record_manifest as manifest_lib
from sbae_tf.data import record_shard
from sbae_tf.data.map_ahead import map_ahead
from tools.records.plan import Plan, RecordsError

_UNFINISHED = "unfinished"
_PLAN, _LABELS, _STOP = "plan.json", "labels.npy", "stop"
_SHOWN = 3  # Of the images that are left out.
_DONE = re.compile(r"(\d+)\.json")


@dataclasses.dataclass(frozen=True)
class Done:
  """A finished shard.

  Attributes:
    shard: the manifest's entry.
    skipped: (name, reason, detail) of each image that was left out.
  """

  shard: manifest_lib.Shard
  skipped: tuple[tuple[str, str, str], ...]

  @property
  def images(self) -> int:
    """How many images were dealt with."""
    return self.shard.images + len(self.skipped)


class Folder:
  """A folder of records that may be unfinished."""

  def __init__(self, path: str) -> None:
    """Names the folder.

    Args:
      path: any that TensorFlow writes to; it need not exist.
    """
    self.path = path
    self._unfinished = tf.io.gfile.join(path, _UNFINISHED)

  def check_is_ours(self) -> None:
    """Refuses a folder that was not made here.

    Raises:
      RecordsError: something else is in it.
    """
    entries = _list(self.path)
    if entries and not (self.is_finished() or _UNFINISHED in entries):
      raise RecordsError(
        f"Expected a new or an empty folder, or one of unfinished records. --out={self.path} has "
        f"{len(entries):,} other files, such as {sorted(entries)[0]}."
      )

  def is_finished(self) -> bool:
    """Whether all records are there."""
    return manifest_lib.exists(self.path)

  def begin(self, plan: Plan, labels: np.ndarray | None) -> None:
    """Records what is to be done, or checks that it is what was begun.

    Args:
      plan: what is to be done.
      labels: (N,) int32 or None.

    Raises:
      RecordsError: the folder holds records of another plan.
    """
    if self.is_finished():
      there = plan.differences(manifest_lib.read(self.path).settings)
    elif tf.io.gfile.exists(self._file(_PLAN)):
      there = plan.differences(self.plan().settings)
      if tf.io.gfile.exists(self._file(_STOP)):
        tf.io.gfile.remove(self._file(_STOP))
    else:
      tf.io.gfile.makedirs(self._unfinished)
      if labels is not None:
        array = io.BytesIO()
        np.save(array, labels)
        manifest_lib.replace(self._file(_LABELS), array.getvalue())
      manifest_lib.replace(self._file(_PLAN), plan.to_json())  # Last: it says that all is there.
      there = ""
    if there:
      raise RecordsError(
        f"--out={self.path} holds records that were made otherwise: {there}. Give another folder, "
        "or remove this one."
      )

  def plan(self) -> Plan:
    """What is to be done."""
    return Plan.from_json(_read(self._file(_PLAN)))

  def labels(self) -> np.ndarray | None:
    """(N,) int32, or None where no image has a class."""
    path = self._file(_LABELS)
    return np.load(io.BytesIO(_read(path))) if tf.io.gfile.exists(path) else None

  def add(self, number: int, done: Done) -> None:
    """Records that a shard is finished; to be called when it is there."""
    values = json.dumps(dataclasses.asdict(done)).encode()
    manifest_lib.replace(self._file(f"{number:05}.json"), values)

  def done(self, number: int) -> Done | None:
    """What is recorded of a shard; None where it is not finished."""
    path = self._file(f"{number:05}.json")
    if not tf.io.gfile.exists(path):
      return None
    values = json.loads(_read(path))
    return Done(manifest_lib.Shard(**values["shard"]), tuple(map(tuple, values["skipped"])))

  def done_numbers(self) -> set[int]:
    """The shards that are recorded as finished."""
    matches = map(_DONE.fullmatch, _list(self._unfinished))
    return {int(match[1]) for match in matches if match}

  def is_whole(self, done: Done) -> bool:
    """Whether a shard is on the disk as it was written; reads all of it."""
    path = tf.io.gfile.join(self.path, done.shard.file)
    try:
      offsets = record_shard.read_index(path).offsets
      return len(offsets) == done.shard.images and manifest_lib.sha256_of(path) == done.shard.sha256
    except (ValueError, tf.errors.OpError):
      return False

  def stop(self) -> None:
    """Has workers, wherever they are, begin no other shard."""
    manifest_lib.replace(self._file(_STOP), b"")

  def is_stopping(self) -> bool:
    """Whether no other shard is to be begun."""
    return bool(tf.io.gfile.exists(self._file(_STOP)))

  def finish(self, plan: Plan, *, source: str, max_skipped: float) -> None:
    """Writes `skipped.tsv` and the manifest, and removes what only the work needed.

    Args:
      plan: what was to be done.
      source: what the records were made from, for people.
      max_skipped: the part of all images that may be left out.

    Raises:
      RecordsError: too many images are left out, or shards are missing.
    """
    ledger = Ledger(self)
    ledger.refresh()
    skipped, shards = ledger.skipped, ledger.shards
    if skipped:
      manifest_lib.write_skipped(self.path, skipped)
    if len(skipped) > max_skipped * plan.images:
      shown = "; ".join(f"{name} ({reason}: {why})" for name, reason, why in skipped[:_SHOWN])
      raise RecordsError(
        f"{len(skipped):,} of {ledger.images:,} images cannot be read, more than "
        f"--max_skipped={max_skipped:g} of all accepts. All are in {self.path}/skipped.tsv; the "
        f"first: {shown}. Accept more, or mend them and begin with a new folder."
      )
    if len(shards) < plan.shards:
      raise RecordsError(
        f"{plan.shards - len(shards):,} of {plan.shards:,} record files are missing in {self.path}."
        " The same command goes on."
      )
    manifest = manifest_lib.Manifest(
      shards=tuple(shards),
      class_names=plan.class_names,
      source=source,
      skipped=collections.Counter(reason for _, reason, _ in skipped),
      settings=plan.settings,
    )
    manifest_lib.write(self.path, manifest)
    self.clean()

  def clean(self) -> None:
    """Removes what killed workers left, and what only the work needed."""
    parts = [name for name in _list(self.path) if re.fullmatch(r"\.images-.*\.part", name)]
    for part in parts:
      tf.io.gfile.remove(tf.io.gfile.join(self.path, part))
    if tf.io.gfile.exists(self._unfinished):
      tf.io.gfile.rmtree(self._unfinished)

  def _file(self, name: str) -> str:
    return tf.io.gfile.join(self._unfinished, name)


class Ledger:
  """What is finished, so far."""

  def __init__(self, folder: Folder) -> None:
    self._folder = folder
    self._done: dict[int, Done] = {}

  def refresh(self) -> None:
    """Reads what was finished since."""
    new = sorted(self._folder.done_numbers() - self._done.keys())
    for number, done in zip(new, map_ahead(self._folder.done, new)):
      if done is not None:
        self._done[number] = done

  @property
  def shards(self) -> list[manifest_lib.Shard]:
    """The finished shards, in their order."""
    return [self._done[number].shard for number in sorted(self._done)]

  @property
  def images(self) -> int:
    """How many images were dealt with."""
    return sum(done.images for done in self._done.values())

  @property
  def skipped(self) -> list[tuple[str, str, str]]:
    """(name, reason, detail) of each image that was left out, sorted."""
    return sorted(row for done in self._done.values() for row in done.skipped)


def _list(folder: str) -> list[str]:
  """The names in a folder; none where there is no such folder."""
  if not tf.io.gfile.isdir(folder):
    return []
  return [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]


def _read(path: str) -> bytes:
  with tf.io.gfile.GFile(path, "rb") as file:
    return file.read()
