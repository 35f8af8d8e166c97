"""Tests of sbae_tf.data.files."""

from __future__ import annotations

import os
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import files
from sbae_tf.data import source as source_lib

PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def _write(path: pathlib.Path, pixels: np.ndarray = PIXELS) -> str:
  """A PNG image, whatever the file is called."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(tf.io.encode_png(pixels).numpy())
  return str(path)


def _read(source: source_lib.Source, index: int) -> bytes:
  return source.read(tf.constant(index, tf.int64)).numpy()


def test_folder_is_searched_in_sorted_order(tmp_path):
  paths = [_write(tmp_path / name) for name in ("b.png", "a/z.JPG", "a/b/c.Jpeg", "c.GIF", "d.bmp")]
  source = files.build(str(tmp_path))
  assert list(source.names) == sorted(paths)
  assert source.labels is None and source.class_names == ()
  assert source.description == f"5 images in {tmp_path}"
  assert list(files.build(f"{tmp_path}/").names) == sorted(paths)


def test_other_files_are_counted_and_hidden_ones_passed_over(tmp_path):
  _write(tmp_path / "a.png")
  for name in ("notes.txt", "x.svg", ".hidden.png", "._a.png", ".git/b.png", "sub/more.csv"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x")
  source = files.build(str(tmp_path))
  assert len(source) == 1
  assert source.description.endswith(", 3 other files skipped")


def test_classes_are_the_first_folders(tmp_path):
  for name in ("dog/1.png", "cat/2.png", "cat/x/3.png", "dog/0.png"):
    _write(tmp_path / name)
  source = files.build(str(tmp_path))
  assert source.class_names == ("cat", "dog")
  assert source.labels.dtype == np.int32
  for name, label in zip(source.names, source.labels):
    assert pathlib.Path(name).relative_to(tmp_path).parts[0] == source.class_names[label]
  assert ", 2 classes" in source.description

  _write(tmp_path / "stray.png")
  assert files.build(str(tmp_path)).labels is None


def test_glob_of_files_and_of_folders(tmp_path):
  cat, dog, deep = (_write(tmp_path / f) for f in ("cat/1.png", "dog/2.png", "cow/x/3.png"))
  assert list(files.build(f"{tmp_path}/*/*.png").names) == [cat, dog]
  source = files.build(f"{tmp_path}/c*")
  assert list(source.names) == [cat, deep]
  assert source.class_names == ("cat", "cow") and source.labels.tolist() == [0, 1]
  assert files.build(f"{tmp_path}/cat/*.png").labels is None
  assert list(files.build(f"{tmp_path}/[a-c]?t/1.png").names) == [cat]


def test_one_file(tmp_path):
  path = _write(tmp_path / "a.png")
  assert list(files.build(path).names) == [path]


def test_a_folder_may_have_wildcards_or_an_extension_in_its_name(tmp_path):
  path = _write(tmp_path / "holiday [2019].jpg" / "a.png")
  assert list(files.build(os.path.dirname(path)).names) == [path]


def test_home_folder(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  path = _write(tmp_path / "pictures" / "a.png")
  assert list(files.build("~/pictures").names) == [path]


def test_what_was_found_and_skipped_is_told(tmp_path):
  _write(tmp_path / "a.png")
  (tmp_path / "b.txt").write_text("x")
  assert files.build(str(tmp_path)).description == f"1 image in {tmp_path}, 1 other file skipped"


@pytest.mark.parametrize(
  ("make", "pattern", "message"),
  [
    ((), "missing", "No such folder: .*missing.*Give a folder"),
    ((), "missing/*.png", r"Nothing matches .*missing/\*.png"),
    (("empty/",), "empty", "No images in .*empty: it is empty"),
    (("a/x.txt", "a/b/y.svg"), "a", r"2 files with other extensions.*\.avif, \.bmp, \.gif"),
    (("a/x.txt",), "a/*.txt", "1 file with other extensions"),
    (("a/x.txt",), "a/x.txt", "1 file with other extensions"),
  ],
)
def test_nothing_found_is_one_line_that_names_the_path(tmp_path, make, pattern, message):
  for name in make:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if name.endswith("/") else path.write_text("x")
  with pytest.raises(ValueError, match=message) as caught:
    files.build(str(tmp_path / pattern))
  assert "\n" not in str(caught.value) and str(tmp_path / pattern) in str(caught.value)


def test_an_unknown_file_system_is_one_line():
  with pytest.raises(ValueError, match="Cannot list nosuch://a/b: .*nosuch") as caught:
    files.build("nosuch://a/b")
  assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="Other file systems refuse such names")
def test_a_name_that_is_not_utf_8_is_one_line(tmp_path):
  with open(os.fsencode(tmp_path) + b"/\xff.png", "wb"):
    pass
  with pytest.raises(ValueError, match=rf"Cannot list {tmp_path}: .*not UTF-8: b'.xff.png'"):
    files.build(str(tmp_path))


@pytest.mark.parametrize("extension", files.EXTENSIONS)
def test_every_extension_is_found_in_any_case(tmp_path, extension):
  path = _write(tmp_path / f"a{extension}")
  upper = _write(tmp_path / f"b{extension.upper()}")
  assert list(files.build(str(tmp_path)).names) == [path, upper]


def test_bytes_are_read_as_they_are(tmp_path):
  """Eagerly, in a function and in parallel; whatever they are."""
  contents = [b"first\0\0", b"", os.urandom(100_000), b"4"]
  for i, content in enumerate(contents):
    (tmp_path / f"{i}.jpg").write_bytes(content)
  source = files.build(str(tmp_path))
  function = tf.function(source.read)
  dataset = tf.data.Dataset.range(4).map(source.read, num_parallel_calls=4)
  assert [_read(source, i) for i in range(4)] == contents
  assert [function(tf.constant(i, tf.int64)).numpy() for i in range(4)] == contents
  assert list(dataset.as_numpy_iterator()) == contents
  assert source.portable and not source.remote and not source.shares and source.run_length == 1


def test_a_file_that_is_gone_is_an_error_with_its_name(tmp_path):
  path = _write(tmp_path / "a.png")
  source = files.build(str(tmp_path))
  os.remove(path)
  with pytest.raises(tf.errors.NotFoundError, match=path):
    _read(source, 0)


def test_another_file_system_is_remote(tmp_path):
  path = _write(tmp_path / "a.png")
  source = files.build(f"file://{tmp_path}")
  assert source.remote and list(source.names) == [f"file://{path}"]
  assert _read(source, 0) == pathlib.Path(path).read_bytes()


def test_the_paths_are_not_a_constant_of_the_map_function(tmp_path):
  """Else every use of the function would copy them."""
  for i in range(64 * 130):  # TensorFlow makes constants of tensors of up to 128 elements.
    (tmp_path / f"numbered{i}.png").touch()
  read = tf.function(files.build(str(tmp_path)).read)
  graph = read.get_concrete_function(tf.TensorSpec((), tf.int64)).graph.as_graph_def()
  assert b"numbered" not in graph.SerializeToString()
