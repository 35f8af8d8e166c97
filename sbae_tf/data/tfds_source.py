"""Data sets that TensorFlow Datasets has prepared on this machine."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from sbae_tf import runtime
from sbae_tf.data import records
from sbae_tf.data import source as source_lib
from sbae_tf.data.record_reader import Records
from sbae_tf.data.record_scan import scan

PREFIX = "tfds:"
# A version is told from a split by its first digit; a split may have colons itself.
_SPEC = re.compile(r"tfds:(?P<name>\w+(/[^:]+)?(:\d[\d.*]*)?)(:(?P<split>[^\d:].*))?")


def build(spec: str, *, labels: bool = False) -> source_lib.Source:
  """Opens a data set's record files; downloads and prepares nothing.

  Args:
    spec: `tfds:NAME`, `tfds:NAME:SPLIT`; NAME also with configuration and version
      (`tfds:caltech101/small:3.0.1:train`), SPLIT also a part (`train[:10%]`) or a sum
      (`train+test`) as in `tfds.load`; without one `train`. The environment's `TFDS_DATA_DIR` says
      where data sets lie.
    labels: whether to read the labels, for which all data must be read.

  Returns:
    A source of the data set's images, in the order of its files.

  Raises:
    ValueError: TensorFlow Datasets is not installed, the data set is not prepared, is in another
      format than TFRecord or has no such split, or not one feature of images.
  """
  matched = _SPEC.fullmatch(spec)
  if not matched:
    raise ValueError(f"Expected tfds:NAME or tfds:NAME:SPLIT. Received: {spec}")
  name, split = matched["name"], matched["split"] or "train"
  builder = _open_builder(spec, name)
  image_key, label_key, class_names = _features(spec, builder.info.features)
  root = os.path.dirname(os.path.dirname(str(builder.data_dir)))
  return records.from_shards(
    _shards(spec, builder.info.splits, split),
    description=f"record files of {spec}",
    root=root,
    image_key=image_key,
    label_keys=(label_key, "") if labels and label_key else None,
    class_names=class_names,
  )


def _open_builder(spec: str, name: str) -> Any:
  """The builder, made from the data set's files alone: no code of its own, no network."""
  try:
    read_only = runtime.import_quietly("tensorflow_datasets.core.read_only_builder")
  except ImportError as error:
    raise ValueError(
      f"{spec} needs TensorFlow Datasets: pip install tensorflow-datasets ({error})"
    ) from error
  try:
    # TensorFlow Datasets itself looks at the variable only when it is imported.
    builder = read_only.builder_from_files(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
  except (ValueError, OSError, AssertionError) as error:
    raise ValueError(
      f"{spec} is not prepared in {os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')}. "
      f"Run: tfds build {name}; or set TFDS_DATA_DIR ({' '.join(str(error).split())[:200]})"
    ) from error
  file_format = builder.info.file_format
  if file_format is not None and file_format.value != "tfrecord":
    raise ValueError(
      f"{spec} is in the format {file_format.value}, of which single records cannot be read here. "
      f"Run: tfds build {name} --file_format=tfrecord"
    )
  return builder


def _features(spec: str, features: Any) -> tuple[str, str | None, tuple[str, ...]]:
  """The keys of image and label, and the class names."""
  kinds = runtime.import_quietly("tensorflow_datasets").features
  items = dict(features.items()) if isinstance(features, kinds.FeaturesDict) else {}
  images = [key for key, feature in items.items() if type(feature) is kinds.Image]
  image_key = "image" if "image" in images else images[0] if len(images) == 1 else None
  if image_key is None:
    raise ValueError(
      f"Expected a data set with one feature of images, or one named 'image'. {spec} has: "
      f"{', '.join(images) or 'none'}"
    )
  if np.dtype(items[image_key].np_dtype).name not in ("uint8", "uint16"):
    raise ValueError(f"Expected photographs of integers. The images of {spec} are floats.")
  labels = [key for key, feature in items.items() if isinstance(feature, kinds.ClassLabel)]
  label_key = "label" if "label" in labels else labels[0] if len(labels) == 1 else None
  if label_key is None:
    return image_key, None, ()
  feature = items[label_key]
  return image_key, label_key, tuple(map(feature.int2str, range(feature.num_classes or 0)))


def _shards(spec: str, splits: Any, split: str) -> list[Records]:
  """Where the split's records are."""
  try:
    instructions = splits[split].file_instructions
  except (ValueError, KeyError) as error:
    raise ValueError(
      f"{spec} has no split {split!r}; it has: {', '.join(map(str, splits))}"
    ) from error
  paths = list(dict.fromkeys(str(instruction.filename) for instruction in instructions))
  offsets_of = dict(zip(paths, scan(paths)))
  shards = []
  for instruction in instructions:
    path, first = str(instruction.filename), instruction.skip
    offsets = offsets_of[path]
    if len(offsets) != instruction.examples_in_shard:
      raise ValueError(
        f"{path} has {len(offsets):,} records, not {instruction.examples_in_shard:,} as its data "
        "set says: it is not whole."
      )
    shards.append(Records(path, offsets[first : first + instruction.take], first))
  return shards
