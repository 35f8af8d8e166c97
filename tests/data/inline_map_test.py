"""Tests of sbae_tf.data.inline_map."""

from __future__ import annotations

import pathlib
import threading

import numpy as np
import tensorflow as tf

from sbae_tf.data.inline_map import inline_map


def _all(dataset: tf.data.Dataset) -> list[object]:
  """The elements, from inside of another dataset's function."""

  def batch(_: tf.Tensor) -> object:
    return dataset.batch(100).get_single_element()

  (elements,) = tf.data.Dataset.range(1).map(tf.autograph.experimental.do_not_convert(batch))
  return tf.nest.map_structure(lambda batched: batched.numpy().tolist(), elements)


def test_maps_in_order_and_captures():
  table = tf.constant([3, 1, 2], tf.int64)
  dataset = inline_map(tf.data.Dataset.range(3), lambda i: tf.gather(table, i) * 10)
  assert dataset.element_spec == tf.TensorSpec((), tf.int64)
  assert _all(dataset) == [30, 10, 20]


def test_tuples_are_arguments_and_structures_come_back():
  dataset = tf.data.Dataset.from_tensor_slices((tf.range(3), tf.constant(["a", "b", "c"])))
  mapped = inline_map(dataset, lambda number, text: (text + "!", tf.fill((2,), number)))
  assert _all(mapped) == ([b"a!", b"b!", b"c!"], [[0, 0], [1, 1], [2, 2]])
  assert mapped.element_spec == (tf.TensorSpec((), tf.string), tf.TensorSpec((2,), tf.int32))


def test_errors_are_those_of_their_element():
  def odd(number: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(number % 2 == 1, ["even"])]):
      return tf.identity(number)

  assert _all(inline_map(tf.data.Dataset.range(6), odd).ignore_errors()) == [1, 3, 5]


def test_control_flow_is_mapped_all_the_same():
  def choose(number: tf.Tensor) -> tf.Tensor:
    branches = [lambda: number, lambda: -number]
    return tf.switch_case(tf.cast(number % 2, tf.int32), branches)

  assert _all(inline_map(tf.data.Dataset.range(4), choose)) == [0, -1, 2, -3]


def test_runs_on_the_thread_that_asks():
  """What it is for: `Dataset.map` hands every element to another thread."""
  threads: list[int] = []

  def note(number: np.ndarray) -> np.ndarray:
    threads.append(threading.get_ident())
    return number

  def noted(number: tf.Tensor) -> tf.Tensor:
    return tf.numpy_function(note, [number], tf.int64)

  def element(_: tf.Tensor) -> tf.Tensor:
    first = inline_map(tf.data.Dataset.range(20), noted)
    return first.batch(20).get_single_element()

  list(tf.data.Dataset.range(1).map(element))
  assert len(threads) == 20 and len(set(threads)) == 1


def test_files_are_read(tmp_path: pathlib.Path):
  paths = []
  for number in range(3):
    path = tmp_path / str(number)
    path.write_text(f"file {number}")
    paths.append(str(path))
  assert _all(inline_map(tf.data.Dataset.from_tensor_slices(paths), tf.io.read_file)) == [
    b"file 0",
    b"file 1",
    b"file 2",
  ]


def test_others_are_the_last_arguments():
  table, two = tf.constant([3, 1, 2], tf.int64), tf.constant(2, tf.int64)
  mapped = inline_map(
    tf.data.Dataset.range(3), lambda i, table, factor: tf.gather(table, i) * factor, (table, two)
  )
  assert _all(mapped) == [6, 2, 4]

  def choose(number: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:  # Control flow: `Dataset.map`.
    return tf.switch_case(tf.cast(number % 2, tf.int32), [lambda: number + shift, lambda: -number])

  assert _all(inline_map(tf.data.Dataset.range(4), choose, (two,))) == [2, -1, 4, -3]


def test_a_compiled_function_is_traced_once_and_takes_each_datasets_others():
  traces = []

  @tf.function(autograph=False)
  def shifted(number: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    traces.append(None)
    return number + shift

  def element(shift: tf.Tensor) -> tf.Tensor:
    return inline_map(tf.data.Dataset.range(3), shifted, (shift,)).batch(3).get_single_element()

  shifts = tf.data.Dataset.from_tensor_slices(tf.constant([10, 20], tf.int64))
  for _ in range(2):  # Each time another graph.
    assert [x.numpy().tolist() for x in shifts.map(element)] == [[10, 11, 12], [20, 21, 22]]
  assert len(traces) == 1
