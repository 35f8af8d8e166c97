"""Tests of sbae_tf.data.source."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import source as source_lib


def _source(count: int = 5, **changes: object) -> source_lib.Source:
  """Image i is its number as text."""
  values = {
    "names": [f"root/{i}.png" for i in range(count)],
    "labels": np.arange(count, dtype=np.int32) % 2,
    "class_names": ("even", "odd"),
    "read": tf.strings.as_string,
    "description": "five images",
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
    ({"names": [], "labels": None, "class_names": ()}, "at least one image.*five images"),
    ({"labels": np.zeros(4, np.int32)}, r"\(5,\) int32.*\(4,\)"),
    ({"labels": np.zeros(5, np.int64)}, r"\(5,\) int32.*int64"),
    ({"labels": np.full(5, 2, np.int32)}, "from -1 to 1.*2 to 2"),
    ({"labels": np.full(5, -2, np.int32)}, "from -1 to 1.*-2 to -2"),
    ({"shares": ((3, 1.0), (1, 1.0))}, "`shares` of 5 images"),
    ({"labels": None}, "no `class_names` without labels"),
  ],
)
def test_contradictions_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    _source(**changes)


def test_a_subset_keeps_names_labels_and_images_together():
  subset = _source().subset(np.array([4, 2, 1]), "three images")
  assert list(subset.names) == ["root/4.png", "root/2.png", "root/1.png"]
  assert subset.labels.tolist() == [0, 0, 1] and subset.labels.dtype == np.int32
  assert (subset.class_names, subset.root) == (("even", "odd"), "root")
  assert subset.description == "three images"
  assert _numbers(subset) == [4, 2, 1]
  assert list(tf.data.Dataset.range(3).map(subset.read)) == [b"4", b"2", b"1"]


def _numbers(source: source_lib.Source) -> list[int]:
  return [int(source.read(tf.constant(i, tf.int64))) for i in range(len(source))]


def test_images_may_have_no_class():
  labels = np.array([-1, 0, 1, -1, 0], np.int32)
  assert _source(labels=labels).subset([0, 2], "").labels.tolist() == [-1, 1]


def test_a_subset_reads_runs_too():
  source = _source(
    run_length=2, read_run=tf.strings.as_string, is_run=lambda runs: runs[:, 1] == runs[:, 0] + 1
  )
  subset = source.subset([4, 2, 1], "").subset([2, 0], "")
  assert subset.run_length == 2
  assert source.is_run(tf.constant([[0, 1], [1, 0]])).numpy().tolist() == [True, False]
  subset = source.subset([4, 2, 1], "").subset([2, 1, 0], "")
  assert subset.is_run(tf.constant([[0, 1], [1, 2]])).numpy().tolist() == [True, False]
  subset = subset.subset([0, 2], "")
  run = tf.function(subset.read_run)(tf.constant([0, 1], tf.int64))
  assert run.numpy().tolist() == [b"1", b"4"]
  assert _source().subset([0], "").read_run is _source().subset([0], "").is_run is None


def test_a_mixture_has_no_subset():
  with pytest.raises(ValueError, match="without `shares`"):
    _source(shares=((2, 1.0), (3, 2.0))).subset([0], "")


@pytest.mark.parametrize("attribute", ["remote", "portable", "run_length"])
def test_a_subset_is_read_as_its_source(attribute):
  values = {"remote": True, "portable": False, "run_length": 3}
  source = _source(read_run=tf.strings.as_string, **values)
  assert getattr(source.subset([0], ""), attribute) == values[attribute]


def test_a_subset_of_a_subset_counts_from_the_first():
  subset = _source(labels=None, class_names=()).subset(np.array([4, 2, 0]), "").subset([2, 0], "")
  assert subset.labels is None
  assert _numbers(subset) == [0, 4]


def test_an_empty_subset_is_refused():
  with pytest.raises(ValueError, match="none: nothing"):
    _source().subset(np.array([], np.int64), "nothing")


def test_first_line_drops_the_names_of_nodes():
  with pytest.raises(tf.errors.InvalidArgumentError) as caught:
    tf.io.decode_image(tf.constant(b""))
  assert source_lib.first_line(caught.value) == "Input is empty."
  assert source_lib.first_line(tf.errors.NotFoundError(None, None, "")) == "NotFoundError"
