"""Images in TFRecord files of `tf.train.Example`, the TensorFlow ecosystem's usual form."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.data import record_manifest as manifest_lib
from sbae_tf.data import record_reader, record_shard
from sbae_tf.data import source as source_lib
from sbae_tf.data.map_ahead import map_ahead
from sbae_tf.data.names import Names
from sbae_tf.data.record_reader import Records
from sbae_tf.data.record_scan import scan

# With small images runs of 8 cost 3% of the speed that runs of 16 have; longer ones shuffle
# worse.
_RUN_LENGTH = 16

# What the names of record files look like: `a.tfrecord`, `a.tfrecord-00000-of-00010`,
# `train-00000-of-01024`, and globs of them.
_FILE = re.compile(r"\.tfrec(ords?)?(?![a-z])[^/]*$|-of-[\d*?]+$")
_NO_FILE = re.compile(r"^\.|\.(json|npz|part|tsv|txt)$")
_COMPRESSED = re.compile(r"\.(gz|gzip|zz|zlib|bz2|xz)$")


def is_record_file(path: str) -> bool:
  """Whether a path or a glob is one of record files, by its name alone."""
  name = os.path.basename(path)
  return bool(_FILE.search(name)) and not _NO_FILE.search(name)


def build(
  pattern: str,
  *,
  image_key: str = manifest_lib.IMAGE_KEY,
  label_key: str = manifest_lib.LABEL_KEY,
  text_key: str = manifest_lib.TEXT_KEY,
  labels: bool = False,
) -> source_lib.Source:
  """Opens record files.

  Where `manifest.json` lists the files (`record_manifest`), names and labels come from the indices
  beside them. Else the files are walked over to find their records (`record_scan`); an image's
  name is then its file and number, and labels, for which all data must be read, are only found
  where asked for.

  Args:
    pattern: a folder of record files, a glob of them or one. `~` is the home folder.
    image_key: the feature that holds the encoded image.
    label_key: that of its class, one int64; used without a manifest only.
    text_key: that of its class's name; used without a manifest only.
    labels: whether to read labels without a manifest.

  Returns:
    A source in the order of the manifest, or of the sorted files.

  Raises:
    ValueError: nothing is there, a file is compressed, damaged or not as the manifest says.
  """
  pattern = os.path.expanduser(pattern)
  try:
    folder, files = _expand(pattern)
    manifest = manifest_lib.read(folder) if manifest_lib.exists(folder) else None
  except tf.errors.OpError as error:
    raise ValueError(f"Cannot list {pattern}: {source_lib.first_line(error)}") from error
  if manifest is not None:
    listed = {shard.file for shard in manifest.shards}
    if files is None or listed.issuperset(files):
      return _listed(pattern, folder, _chosen(manifest, files), image_key=image_key)
  files = _record_files(pattern, folder, files)
  paths = [tf.io.gfile.join(folder, file) for file in files]
  shards = [Records(path, offsets) for path, offsets in zip(paths, scan(paths))]
  return from_shards(
    shards,
    description=f"record files of {pattern}",
    root=folder,
    image_key=image_key,
    label_keys=(label_key, text_key) if labels else None,
  )


def from_shards(
  shards: Sequence[Records],
  *,
  description: str,
  root: str,
  image_key: str,
  label_keys: tuple[str, str] | None = None,
  class_names: tuple[str, ...] = (),
) -> source_lib.Source:
  """A source of records whose places are known.

  Args:
    shards: where they are.
    description: where they are, for people.
    root: the folder that may move.
    image_key: the feature that holds the encoded image.
    label_keys: the features of class and class name, to read labels: all data is read.
    class_names: the classes' names where they are known; else from the records, or their numbers.

  Returns:
    A source in the order of `shards`; names are `FILE#NUMBER`.

  Raises:
    ValueError: there is no record, or labels cannot be read.
  """
  labels = None
  if label_keys:
    labels, class_names = _read_labels(shards, label_keys, class_names)

  def names() -> Iterator[str]:
    for shard in shards:
      yield from (f"{shard.path}#{shard.first + i}" for i in range(len(shard.offsets)))

  return _source(
    shards,
    names=Names(names()),
    labels=labels,
    class_names=class_names if labels is not None else (),
    description=description,
    root=root,
    image_key=image_key,
  )


def _expand(pattern: str) -> tuple[str, list[str] | None]:
  """The folder, and the names of the files in it that were asked for; None: not of one in it."""
  if tf.io.gfile.isdir(pattern):
    return pattern.rstrip("/"), None
  folder, _, name = pattern.rpartition("/")
  if re.search(r"[*?\[]", folder):
    raise ValueError(f"Expected record files of one folder. Received: {pattern}")
  if re.search(r"[*?\[]", name):
    files = [os.path.basename(path) for path in tf.io.gfile.glob(pattern)]
    files = sorted(file for file in files if not _NO_FILE.search(file))
  else:
    files = [name] if tf.io.gfile.exists(pattern) else []
  if not files:
    raise ValueError(f"No record files: {pattern}. Give a folder of them, a glob or one file.")
  return folder or ("/" if pattern.startswith("/") else "."), files


def _record_files(pattern: str, folder: str, files: list[str] | None) -> list[str]:
  if files is None:
    files = sorted(file for file in tf.io.gfile.listdir(folder) if is_record_file(file))
  if not files:
    raise ValueError(f"No record files in {pattern}: their names have '.tfrecord' in them.")
  compressed = [file for file in files if _COMPRESSED.search(file)]
  if compressed:
    raise ValueError(
      f"{tf.io.gfile.join(folder, compressed[0])} is compressed: its records cannot be read one "
      "at a time. Unpack it; images hardly get smaller by it."
    )
  return files


def _chosen(manifest: manifest_lib.Manifest, files: list[str] | None) -> manifest_lib.Manifest:
  if files is None:
    return manifest
  shards = tuple(shard for shard in manifest.shards if shard.file in files)
  return dataclasses.replace(manifest, shards=shards)


def _listed(
  pattern: str, folder: str, manifest: manifest_lib.Manifest, *, image_key: str
) -> source_lib.Source:
  """The source of shards with indices."""
  shards: list[Records] = []
  labels: list[np.ndarray] = []

  def open_shard(shard: manifest_lib.Shard) -> tuple[str, record_shard.ShardIndex]:
    path = tf.io.gfile.join(folder, shard.file)
    size = tf.io.gfile.stat(path).length
    index = record_shard.read_index(path)
    for what, there, expected in (
      ("bytes", size, shard.bytes),
      ("records in its index", len(index.offsets), shard.images),
    ):
      if there != expected:
        raise ValueError(
          f"{path} has {there:,} {what}, not {expected:,} as its manifest says: it was changed, or "
          "not copied to its end."
        )
    return path, index

  def names() -> Iterator[bytes]:  # An index at a time: many names are large.
    for path, index in map_ahead(open_shard, manifest.shards):
      shards.append(Records(path, index.offsets))
      labels.append(index.labels)
      yield from index.names()

  try:
    packed = Names(names())
  except tf.errors.OpError as error:
    raise ValueError(f"Cannot open {pattern}: {source_lib.first_line(error)}") from error
  joined = np.concatenate(labels)
  return _source(
    shards,
    names=packed,
    labels=joined if manifest.class_names or (joined >= 0).any() else None,
    class_names=manifest.class_names,
    description=f"record files of {pattern}",
    root="",
    image_key=image_key,
  )


def _source(
  shards: Sequence[Records],
  *,
  names: Names,
  labels: np.ndarray | None,
  class_names: tuple[str, ...],
  description: str,
  root: str,
  image_key: str,
) -> source_lib.Source:
  shards = [shard for shard in shards if len(shard.offsets)]
  description = f"{len(names):,} images in {len(shards):,} {description}"
  if class_names:
    description += f", {len(class_names):,} classes"
  read, read_run, is_run = (
    record_reader.build(shards, image_key) if shards else (tf.identity, tf.identity, tf.identity)
  )
  return source_lib.Source(
    names=names,
    labels=labels,
    class_names=class_names,
    read=read,
    run_length=_RUN_LENGTH,
    read_run=read_run,
    is_run=is_run,
    description=description,
    remote=any("://" in shard.path for shard in shards),
    root=root,
  )


def _read_labels(
  shards: Sequence[Records], keys: tuple[str, str], class_names: tuple[str, ...]
) -> tuple[np.ndarray | None, tuple[str, ...]]:
  """Labels (N,) int32 and class names; reads all data."""
  label_key, text_key = keys
  features = {
    label_key: tf.io.FixedLenFeature([], tf.int64, default_value=-1),
    text_key: tf.io.FixedLenFeature([], tf.string, default_value=""),
  }
  labels: list[np.ndarray] = [np.zeros(0, np.int64)]
  names: dict[int, str] = {}
  for shard in shards:
    dataset = tf.data.TFRecordDataset(shard.path).skip(shard.first).take(len(shard.offsets))
    dataset = dataset.batch(256).map(lambda batch: tf.io.parse_example(batch, features))
    try:
      for parsed in dataset.prefetch(4).as_numpy_iterator():
        labels.append(parsed[label_key])
        found, first = np.unique(parsed[label_key], return_index=True)
        for label, text in zip(found.tolist(), parsed[text_key][first].tolist()):
          names.setdefault(label, text.decode())
    except (tf.errors.OpError, UnicodeDecodeError) as error:
      reason = source_lib.first_line(error) if isinstance(error, tf.errors.OpError) else error
      raise ValueError(f"Cannot read the labels in {shard.path}: {reason}") from error
  joined = np.concatenate(labels)
  if not len(joined) or joined.max() < 0:
    return None, ()
  return joined.astype(np.int32), class_names or _class_names(names, int(joined.max()) + 1)


def _class_names(names: Mapping[int, str], count: int) -> tuple[str, ...]:
  return tuple(names.get(label) or str(label) for label in range(count))
