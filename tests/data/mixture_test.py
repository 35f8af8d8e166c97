"""Tests of sbae_tf.data.mixture."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import mixture
from sbae_tf.data.names import Names
from sbae_tf.data.source import Source


def _source(
  name: str, count: int, labels: object = None, class_names: object = (), **changes: object
) -> Source:
  """Image i of source "a" is the string "a i"."""
  values = {
    "names": Names(f"{name}/{i}" for i in range(count)),
    "labels": None if labels is None else np.array(labels, np.int32),
    "class_names": tuple(class_names),
    "read": lambda index: tf.strings.join([name, tf.strings.as_string(index)], " "),
    "description": f"{count} of {name}",
    "root": name,
  }
  return Source(**{**values, **changes})


def test_names_and_images_come_one_source_after_the_other():
  mixed = mixture.concatenate([_source("a", 3), _source("b", 1), _source("c", 2)])
  expected = ["a/0", "a/1", "a/2", "b/0", "c/0", "c/1"]
  assert list(mixed.names) == expected and len(mixed) == 6
  assert [mixed.names[i] for i in range(6)] == expected
  assert mixed.names[-1] == "c/1" and mixed.names[-6] == "a/0" and mixed.names[2:5] == expected[2:5]
  for index in (6, -7):
    with pytest.raises(IndexError):
      mixed.names[index]
  images = [name.replace("/", " ").encode() for name in expected]
  indices = [tf.constant(i, tf.int64) for i in range(6)]
  function = tf.function(mixed.read)
  dataset = tf.data.Dataset.range(6).map(mixed.read, num_parallel_calls=4)
  assert [mixed.read(index).numpy() for index in indices] == images
  assert [function(index).numpy() for index in indices] == images
  assert list(dataset.as_numpy_iterator()) == images
  assert mixed.shares == () and mixed.run_length == 1 and mixed.root == ""
  assert mixed.description == "6 images: 3 of a; 1 of b; 2 of c"


def test_only_the_part_asked_for_is_read():
  def fail(index: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.assert_less(index, tf.constant(0, tf.int64))]):
      return tf.constant("")

  mixed = mixture.concatenate([_source("a", 3), _source("b", 2, read=fail)])
  assert tf.function(mixed.read)(tf.constant(2, tf.int64)).numpy() == b"a 2"
  with pytest.raises(tf.errors.InvalidArgumentError):
    tf.function(mixed.read)(tf.constant(3, tf.int64))


def test_classes_are_merged_by_name():
  mixed = mixture.concatenate(
    [
      _source("a", 3, [1, -1, 0], ("dog", "cat")),
      _source("b", 2),
      _source("c", 4, [0, 1, 2, -1], ("ant", "cat", "dog")),
    ]
  )
  assert mixed.class_names == ("dog", "cat", "ant")
  names = [mixed.class_names[label] if label >= 0 else None for label in mixed.labels]
  assert names == ["cat", None, "dog", None, None, "ant", "cat", "dog", None]
  assert mixed.labels.dtype == np.int32
  assert mixture.concatenate([_source("a", 1), _source("b", 2)]).labels is None


def test_equal_classes_keep_their_labels_even_with_one_name_twice():
  """ImageNet has two classes `crane`."""
  classes = ("crane", "dog", "crane")
  mixed = mixture.concatenate([_source("a", 3, [0, 1, 2], classes), _source("b", 1, [2], classes)])
  assert mixed.class_names == classes and mixed.labels.tolist() == [0, 1, 2, 2]


def test_weights_become_shares():
  mixed = mixture.concatenate([_source("a", 3), _source("b", 5)], [3, 1])
  assert mixed.shares == ((3, 3.0), (5, 1.0))
  assert mixed.description == "8 images: 0.75 of 3 of a; 0.25 of 5 of b"


def test_one_source_stays_as_it_is():
  source = _source("a", 3, run_length=4, read_run=lambda indices: indices)
  assert mixture.concatenate([source], [2.0]) is source


@pytest.mark.parametrize(("attribute", "value"), [("remote", True), ("portable", False)])
def test_one_remote_or_unportable_part_is_enough(attribute, value):
  parts = [_source("a", 1), _source("b", 1, **{attribute: value})]
  assert getattr(mixture.concatenate(parts), attribute) is value
  assert getattr(mixture.concatenate([parts[0], _source("c", 1)]), attribute) is not value


def test_what_makes_no_mixture_is_refused():
  parts = [_source("a", 3), _source("b", 5)]
  with pytest.raises(ValueError, match="one source or more"):
    mixture.concatenate([])
  with pytest.raises(ValueError, match="none of them a mixture"):
    mixture.concatenate([mixture.concatenate(parts, [1, 1]), parts[0]])
  for weights in ([1], [1, 0], [1, -1], [1, math.inf], [1, math.nan], [1, 1, 1]):
    with pytest.raises(ValueError, match="Expected 2 positive weights"):
      mixture.concatenate(parts, weights)
