"""Tests of sbae_tf.data.tfds_source, on data sets that they prepare themselves."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.data import tfds_source

tfds = runtime.import_quietly("tensorflow_datasets")

CLASSES = ["ant", "bee", "cat"]


def _items(count: int) -> list[dict[str, Any]]:
  """Image i is 4 x 5 and of the color (i, 2 i, 0)."""
  return [
    {"image": np.full((4, 5, 3), (i, 2 * i, 0), np.uint8), "label": i % 3} for i in range(count)
  ]


SPLITS = {"train": [_items(20)[:12], _items(20)[12:]], "test": [_items(3)]}


def _prepare(
  folder: pathlib.Path,
  name: str = "tiny",
  features: dict[str, Any] | None = None,
  splits: dict[str, list[list[dict[str, Any]]]] = SPLITS,
) -> None:
  """Writes a data set: every split a list of files, every file a list of items.

  `tfds build` does the same, but needs a download manager and packages that are not installed.
  """
  folder = folder / name / "1.0.0"
  folder.mkdir(parents=True)
  features = tfds.features.FeaturesDict(
    features
    or {
      "image": tfds.features.Image(shape=(4, 5, 3)),
      "label": tfds.features.ClassLabel(names=CLASSES),
    }
  )
  infos = []
  for split, files in splits.items():
    for index, items in enumerate(files):
      file = folder / f"{name}-{split}.tfrecord-{index:05}-of-{len(files):05}"
      with tf.io.TFRecordWriter(str(file)) as writer:
        for item in items:
          writer.write(features.serialize_example(item))
    lengths = [len(items) for items in files]
    infos.append(tfds.core.SplitInfo(name=split, shard_lengths=lengths, num_bytes=0))
  template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
  tfds.folder_dataset.write_metadata(
    data_dir=folder, features=features, split_infos=infos, filename_template=template
  )


@pytest.fixture(name="data_dir")
def _data_dir(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
  return tmp_path


def _numbers(source: Any) -> list[int]:
  encoded = [source.read(tf.constant(i, tf.int64)) for i in range(len(source))]
  images = [tf.io.decode_image(one).numpy() for one in encoded]
  assert all((image == (image[0, 0, 0], 2 * image[0, 0, 0], 0)).all() for image in images)
  return [int(image[0, 0, 0]) for image in images]


@pytest.mark.parametrize(
  ("suffix", "split"),
  [
    ("", "train"),
    (":test", "test"),
    (":1.0.0", "train"),
    (":1.0.0:test", "test"),
    (":train[:30%]", "train[:30%]"),
    (":train[5:12]", "train[5:12]"),
    (":train[15:]+test", "train[15:]+test"),
  ],
)
def test_images_labels_and_splits_are_those_of_tensorflow_datasets(data_dir, suffix, split):
  _prepare(data_dir)
  builder = tfds.builder_from_directory(data_dir / "tiny" / "1.0.0")
  items = list(builder.as_dataset(split=split).as_numpy_iterator())
  source = tfds_source.build(f"tfds:tiny{suffix}", labels=True)
  assert _numbers(source) == [int(item["image"][0, 0, 0]) for item in items]
  assert source.labels.tolist() == [int(item["label"]) for item in items]
  assert source.class_names == tuple(CLASSES)
  run = tf.range(min(2, len(source)), dtype=tf.int64)
  assert bool(source.is_run(run[tf.newaxis])[0])
  assert source.read_run(run).numpy().tolist() == [source.read(index).numpy() for index in run]
  assert tfds_source.build(f"tfds:tiny{suffix}").labels is None


def test_names_move_with_the_data(data_dir):
  _prepare(data_dir)
  source = tfds_source.build("tfds:tiny:train[5:12]")
  below_root = [name[len(source.root) :] for name in source.names]
  assert below_root[0] == "/tiny/1.0.0/tiny-train.tfrecord-00000-of-00002#5"
  assert source.description == "7 images in 1 record files of tfds:tiny:train[5:12]"


def test_other_features(data_dir):
  image = tfds.features.Image(shape=(4, 5, 3))
  pixels = _items(1)[0]["image"]

  def prepare(name: str, features: dict[str, Any], values: dict[str, Any]) -> None:
    _prepare(data_dir, name, features, {"train": [[values]]})

  prepare("one", {"photo": image}, {"photo": pixels})
  assert _numbers(tfds_source.build("tfds:one", labels=True)) == [0]
  prepare("two", {"left": image, "right": image}, {"left": pixels, "right": pixels})
  prepare("none", {"x": tfds.features.Text()}, {"x": "text"})
  depth = tfds.features.Image(shape=(4, 5, 1), dtype=np.float32)
  prepare("depth", {"image": depth}, {"image": np.zeros((4, 5, 1), np.float32)})
  for name, message in (
    ("two", "tfds:two has: left, right"),
    ("none", "tfds:none has: none"),
    ("depth", "The images of tfds:depth are floats"),
  ):
    with pytest.raises(ValueError, match=message):
      tfds_source.build(f"tfds:{name}")


@pytest.mark.parametrize(
  ("spec", "message"),
  [
    ("tfds:", "Expected tfds:NAME"),
    ("tfds:a b", "Expected tfds:NAME"),
    ("tfds:absent", "tfds:absent is not prepared in .*Run: tfds build absent"),
    ("tfds:tiny:2.0.0", "not prepared"),
    ("tfds:tiny:dev", "has no split 'dev'; it has: train, test|test, train"),
    ("tfds:tiny:train[:0%]", "at least one image"),
  ],
)
def test_mistakes_are_one_line(data_dir, spec, message):
  _prepare(data_dir)
  with pytest.raises(ValueError, match=message) as caught:
    tfds_source.build(spec)
  assert "\n" not in str(caught.value)


def test_other_file_formats_are_refused(data_dir):
  _prepare(data_dir)
  info = data_dir / "tiny" / "1.0.0" / "dataset_info.json"
  info.write_text(json.dumps({**json.loads(info.read_text()), "fileFormat": "array_record"}))
  with pytest.raises(ValueError, match="format array_record.*tfds build tiny --file_format=tfrec"):
    tfds_source.build("tfds:tiny")


def test_files_that_were_cut_are_named(data_dir):
  _prepare(data_dir)
  (path,) = (data_dir / "tiny" / "1.0.0").glob("tiny-test*")
  data = path.read_bytes()
  path.write_bytes(b"")
  with pytest.raises(ValueError, match="has 0 records, not 3"):
    tfds_source.build("tfds:tiny:test")
  path.write_bytes(data[:-1])
  with pytest.raises(ValueError, match="ends within the record"):
    tfds_source.build("tfds:tiny:test")
