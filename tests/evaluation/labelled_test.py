"""Photographs with classes: what is refused, and how they are parted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data.source import Source
from sbae_tf.evaluation.labelled import (
  Labelled,
  check_same_classes,
  draw,
  open_labelled,
  split,
)
from tests import mean_color

_LABELS = np.array([0] * 10 + [1] * 5 + [2] * 2 + [3])


def _source(labels: list[int] | None, class_names: tuple[str, ...] = ("x", "y")) -> Source:
  count = len(labels or [0, 0])
  return Source(
    names=[f"n{i}" for i in range(count)],
    labels=None if labels is None else np.array(labels, np.int32),
    class_names=class_names if labels else (),
    read=lambda index: tf.as_string(index),
    description=f"{count} images",
  )


def test_open(tmp_path):
  data = open_labelled(str(mean_color.write_photographs(tmp_path, 5)))
  assert len(data) == 5 and data.class_names == ("blue", "red")
  part = data.subset(np.array([4, 0]))
  assert part.source.names[0] == data.source.names[4]
  assert part.labels.tolist() == data.labels[[4, 0]].tolist()
  assert part.source.description.startswith("2 of 5 images")


def test_classes_that_do_not_matter():
  for source in (_source(None), _source([0, 1]), _source([0, -1])):
    data = Labelled(source, classes=False)
    assert (data.labels.tolist(), data.class_names, data.source.labels) == ([-1, -1], (), None)
    assert data.subset(np.array([1])).labels.tolist() == [-1]
  check_same_classes(data, Labelled(_source(None), classes=False))


def test_a_mixture_counts_each_photograph_once():
  source = dataclasses.replace(_source([0, 1, 1]), shares=((1, 3.0), (2, 1.0)))
  data = Labelled(source)
  assert data.source.shares == ()
  assert data.subset(np.array([2])).labels.tolist() == [1]


@pytest.mark.parametrize(
  ("source", "message"),
  [
    (_source(None), "Expected photographs of two classes or more. Received: 2 images"),
    (_source([0, 0], ("x",)), "Expected photographs of two classes or more"),
    (_source([0, -1, 1, -1]), "Expected a class for every photograph. 2 have none: 4 images"),
  ],
)
def test_what_has_no_classes(source, message):
  with pytest.raises(ValueError, match=message):
    Labelled(source)


def test_split():
  first, second = split(_LABELS, 0.2, seed=3)
  assert first.dtype == second.dtype == np.int64
  np.testing.assert_array_equal(np.sort(np.concatenate([first, second])), np.arange(18))
  assert (np.diff(first) > 0).all() and (np.diff(second) > 0).all()
  # A fifth, at least one; of a single one none.
  assert np.bincount(_LABELS[second], minlength=4).tolist() == [2, 1, 1, 0]
  np.testing.assert_array_equal(split(_LABELS, 0.2, seed=3)[1], second)
  assert any(split(_LABELS, 0.2, seed=seed)[1].tolist() != second.tolist() for seed in range(4))
  assert np.bincount(_LABELS[split(_LABELS, 0.99, seed=0)[0]]).tolist() == [1, 1, 1, 1]
  for fraction in (0.0, 1.0):
    with pytest.raises(ValueError, match="between 0 and 1"):
      split(_LABELS, fraction, seed=0)


def test_split_of_single_ones():
  first, second = split(np.arange(3), 0.5, seed=0)
  assert first.tolist() == [0, 1, 2] and second.shape == (0,)


def test_draw():
  labels = np.tile(np.arange(3), 10)
  less, more = draw(labels, 2, seed=1), draw(labels, 5, seed=1)
  assert set(less) < set(more)  # A draw of fewer is a part of one of more.
  assert np.bincount(labels[more]).tolist() == [5, 5, 5] and (np.diff(more) > 0).all()
  with pytest.raises(ValueError, match="at least 2 photographs of every class. Class 3 has 1"):
    draw(_LABELS, 2, seed=0)


def test_classes_that_differ():
  first = Labelled(_source([0, 1], ("a", "b")))
  check_same_classes(first, Labelled(_source([1, 0], ("a", "b"))))
  with pytest.raises(ValueError, match="Only in the first: b; only in the second: c, d."):
    check_same_classes(first, Labelled(_source([0, 1], ("a", "c", "d"))))
  with pytest.raises(ValueError, match="in the same order. Received: a, b, ...; b, a"):
    check_same_classes(first, Labelled(_source([0, 1], ("b", "a"))))
