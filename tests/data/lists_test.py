"""Tests of sbae_tf.data.lists."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import lists


def _write(path: pathlib.Path, text: str | bytes) -> str:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return str(path)


def test_relative_and_absolute_paths_are_read_in_their_order(tmp_path):
  elsewhere = _write(tmp_path / "elsewhere" / "2 b.png", "two")
  _write(tmp_path / "lists" / "ä" / "1.jpg", "one")
  _write(tmp_path / "lists" / "#3.jpg", "three")
  text = f"\ufeff# a comment\n\n./ä/1.jpg\r\n  \n{elsewhere}\nfile://{elsewhere}\n././#3.jpg"
  source = lists.build(_write(tmp_path / "lists" / "all.txt", text))
  here = f"{tmp_path}/lists"
  assert list(source.names) == [
    f"{here}/ä/1.jpg",
    elsewhere,
    f"file://{elsewhere}",
    f"{here}/#3.jpg",
  ]
  assert source.labels is None and source.class_names == ()
  assert source.description == f"4 images of the list {here}/all.txt"
  expected = [b"one", b"two", b"two", b"three"]
  function = tf.function(source.read)
  indices = [tf.constant(i, tf.int64) for i in range(4)]
  dataset = tf.data.Dataset.range(4).map(source.read, num_parallel_calls=4)
  assert [source.read(index).numpy() for index in indices] == expected
  assert [function(index).numpy() for index in indices] == expected
  assert list(dataset.as_numpy_iterator()) == expected


def test_classes_are_sorted_and_stay_with_their_lines(tmp_path):
  lines = ["1\tdog", "2", "3\tcat", "4\t", "5\tdog", "6\tant hill"]
  source = lists.build(_write(tmp_path / "a.txt", "\n".join(lines) + "\n"))
  assert source.class_names == ("ant hill", "cat", "dog")
  assert source.labels.dtype == np.int32
  assert source.labels.tolist() == [2, -1, 1, -1, 2, 0]
  assert [name.rpartition("/")[2] for name in source.names] == list("123456")
  assert source.description.endswith(", 3 classes")


def test_a_list_without_a_folder(tmp_path, monkeypatch):
  _write(tmp_path / "a" / "1.jpg", "one")
  _write(tmp_path / "list.txt", "a/1.jpg\n")
  monkeypatch.chdir(tmp_path)
  source = lists.build("list.txt")
  assert (list(source.names), source.root) == (["a/1.jpg"], "")
  assert source.read(tf.constant(0, tf.int64)).numpy() == b"one"
  monkeypatch.setenv("HOME", str(tmp_path))
  assert list(lists.build("~/list.txt").names) == [f"{tmp_path}/a/1.jpg"]


@pytest.mark.parametrize(
  ("paths", "root"),
  [
    (["a/1.jpg", "a/2.jpg"], "{here}"),
    (["/p/ab/1.jpg", "/p/ac/2.jpg"], "/p"),
    (["/p/a/1.jpg", "/p/a/12.jpg"], "/p/a"),
    (["/p/a/1.jpg", "/p/a/1.jpg"], "/p/a"),
    (["/p/1.jpg", "/q/2.jpg"], ""),
    (["/p/1.jpg", "gs://p/1.jpg"], ""),
    (["gs://p/x/1.jpg", "gs://p/x/y/1.jpg"], "gs://p/x"),
  ],
)
def test_root_is_what_may_move(tmp_path, paths, root):
  source = lists.build(_write(tmp_path / "l.txt", "\n".join(paths)))
  assert source.root == root.format(here=tmp_path)
  assert all(name.startswith(source.root) for name in source.names)
  assert source.remote == any("://" in path for path in paths)


def test_pieces_of_the_file_do_not_show(tmp_path, monkeypatch):
  names = [f"{i % 13 * 'x'}ü{i}.jpg" for i in range(300)]
  path = _write(tmp_path / "l.txt", "\ufeff" + "\r\n".join(f"{n}\tc{n[-5]}" for n in names))
  for piece in (3, 7, 64, 1 << 20):
    monkeypatch.setattr(lists, "_PIECE", piece)
    source = lists.build(path)
    assert [name[len(str(tmp_path)) + 1 :] for name in source.names] == names
    assert [source.class_names[label] for label in source.labels] == [f"c{n[-5]}" for n in names]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (None, "Cannot read .*l.txt: .*No such file"),
    ("", "No files in the list .*l.txt"),
    ("# nothing\n\n", "No files in the list .*l.txt"),
    ("a.jpg\n\n\tcat\n", r"'\\tcat' in line 3 of .*l.txt"),
    ("a.jpg\tcat\tdog\n", r"in line 1 of .*l.txt"),
    (b"a.jpg\nb.jpg\n\xff.jpg\n", r"Line 3 of .*l.txt is not UTF-8: b'\\xff.jpg'"),
    (b"a.jpg\n\xff", "Line 2 of .*l.txt is not UTF-8"),
  ],
)
def test_bad_lists_are_one_line(tmp_path, text, message):
  if text is not None:
    _write(tmp_path / "l.txt", text)
  with pytest.raises(ValueError, match=message) as caught:
    lists.build(str(tmp_path / "l.txt"))
  assert "\n" not in str(caught.value)


def test_a_missing_file_fails_when_read(tmp_path):
  source = lists.build(_write(tmp_path / "l.txt", "gone.jpg"))
  with pytest.raises(tf.errors.NotFoundError, match="gone.jpg"):
    source.read(tf.constant(0, tf.int64))
