"""Tests of sbae_tf.data.source."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import source as source_lib


def _source(count: int = 5, **changes: object) -> source_lib.Source:
  """Image i is one gray pixel of value i; 3 cannot be read."""

  def load(index: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.assert_none_equal(index, tf.constant(3, tf.int64))]):
      return tf.cast(tf.fill((1, 1, 3), index), tf.uint8)

  values = {
    "names": [f"root/{i}.png" for i in range(count)],
    "labels": np.arange(count, dtype=np.int32) % 2,
    "class_names": ("even", "odd"),
    "load": load,
    "description": "five pixels",
    "root": "root",
  }
  return source_lib.Source(**{**values, **changes})


def test_length_is_the_number_of_names():
  assert len(_source()) == 5


def test_it_is_frozen():
  with pytest.raises(dataclasses.FrozenInstanceError):
    _source().names = []


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"names": [], "labels": None, "class_names": ()}, "at least one image.*five pixels"),
    ({"labels": np.zeros(4, np.int32)}, r"\(5,\) int32.*\(4,\)"),
    ({"labels": np.zeros(5, np.int64)}, r"\(5,\) int32.*int64"),
    ({"labels": np.full(5, 2, np.int32)}, "from 0 to 1.*2 to 2"),
    ({"labels": np.full(5, -1, np.int32)}, "from 0 to 1.*-1 to -1"),
    ({"labels": None}, "no `class_names` without labels"),
  ],
)
def test_contradictions_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    _source(**changes)


def test_a_subset_keeps_names_labels_and_images_together():
  subset = _source().subset(np.array([4, 2, 1]), "three pixels")
  assert list(subset.names) == ["root/4.png", "root/2.png", "root/1.png"]
  assert subset.labels.tolist() == [0, 0, 1] and subset.labels.dtype == np.int32
  assert (subset.class_names, subset.root) == (("even", "odd"), "root")
  assert subset.description == "three pixels"
  loaded = [int(subset.load(tf.constant(i, tf.int64))[0, 0, 0]) for i in range(3)]
  in_graph = [int(image[0, 0, 0]) for image in tf.data.Dataset.range(3).map(subset.load)]
  assert loaded == in_graph == [4, 2, 1]


def test_a_subset_of_a_subset_counts_from_the_first():
  subset = _source(labels=None, class_names=()).subset(np.array([4, 2, 0]), "").subset([2, 0], "")
  assert subset.labels is None
  assert [int(subset.load(tf.constant(i, tf.int64))[0, 0, 0]) for i in range(2)] == [0, 4]


def test_an_empty_subset_is_refused():
  with pytest.raises(ValueError, match="none: nothing"):
    _source().subset(np.array([], np.int64), "nothing")


def test_unreadable_names_what_fails_and_why():
  failures = source_lib.unreadable(_source(), np.array([1, 3, 4]))
  assert [name for name, _ in failures] == ["root/3.png"]
  assert failures[0][1] and "\n" not in failures[0][1]
  assert source_lib.unreadable(_source(), [0, 1, 2]) == []


def test_unreadable_stops_at_the_limit():
  assert len(source_lib.unreadable(_source(), [3] * 9, limit=4)) == 4


def test_first_line_drops_the_names_of_nodes():
  with pytest.raises(tf.errors.InvalidArgumentError) as caught:
    tf.io.decode_image(tf.constant(b""))
  assert source_lib.first_line(caught.value) == "Input is empty."
  assert source_lib.first_line(tf.errors.NotFoundError(None, None, "")) == "NotFoundError"
