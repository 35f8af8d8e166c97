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


def _load(source: source_lib.Source, index: int) -> np.ndarray:
  return source.load(tf.constant(index, tf.int64)).numpy()


def test_folder_is_searched_in_sorted_order(tmp_path):
  paths = [_write(tmp_path / name) for name in ("b.png", "a/z.JPG", "a/b/c.Jpeg", "c.GIF", "d.bmp")]
  source = files.build(str(tmp_path))
  assert list(source.names) == sorted(paths)
  assert source.labels is None and source.class_names == ()
  assert source.description == f"5 images in {tmp_path}"
  assert list(files.build(f"{tmp_path}/").names) == sorted(paths)


def test_other_files_are_counted_and_hidden_ones_passed_over(tmp_path):
  _write(tmp_path / "a.png")
  for name in ("notes.txt", "x.webp", ".hidden.png", "._a.png", ".git/b.png", "sub/more.csv"):
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
    (("a/x.txt", "a/b/y.webp"), "a", r"2 files with other extensions.*\.bmp, \.gif, \.jpeg"),
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


def test_formats_load_as_rgb(tmp_path):
  """Known values: the content decides, not the name; gray and alpha become RGB."""
  gray, alpha = PIXELS[..., :1], np.concatenate([PIXELS, PIXELS[..., :1]], axis=-1)
  # The BMP and the GIF: one pixel, (10, 20, 30).
  smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
  bmp = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\1\0\0\0\1\0\0\0\1\0\x18\0" + b"\0" * 24
  gif = b"GIF89a\1\0\1\0\x80\0\0\x0a\x14\x1e\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
  cases = {
    "1_rgb.png": (tf.io.encode_png(PIXELS).numpy(), PIXELS),
    "2_gray.png": (tf.io.encode_png(gray).numpy(), np.repeat(gray, 3, axis=-1)),
    "3_alpha.png": (tf.io.encode_png(alpha).numpy(), PIXELS),
    "4_deep.png": (tf.io.encode_png(PIXELS.astype(np.uint16) * 257).numpy(), PIXELS),
    "5_named_jpg.jpg": (tf.io.encode_png(PIXELS).numpy(), PIXELS),
    "6_jpeg.jpg": (tf.io.encode_jpeg(smooth, quality=100).numpy(), smooth),
    "7.bmp": (bmp + b"\x1e\x14\x0a\0", np.array([[[10, 20, 30]]])),
    "8.gif": (gif, np.array([[[10, 20, 30]]])),
  }
  for name, (encoded, _) in cases.items():
    (tmp_path / name).write_bytes(encoded)
  source = files.build(str(tmp_path))
  in_graph = tf.function(source.load)
  from_data = list(tf.data.Dataset.range(len(source)).map(source.load))
  for index, (name, (_, expected)) in enumerate(cases.items()):
    image = _load(source, index)
    assert image.dtype == np.uint8 and image.shape == expected.shape, name
    np.testing.assert_allclose(image.astype(int), expected.astype(int), atol=2 * ("jpeg" in name))
    np.testing.assert_array_equal(in_graph(tf.constant(index, tf.int64)), image)
    np.testing.assert_array_equal(from_data[index], image)
  assert in_graph.get_concrete_function(tf.TensorSpec((), tf.int64)).output_shapes[-1] == 3


def test_unreadable_files_are_named(tmp_path):
  good = tf.io.encode_jpeg(np.zeros((32, 32, 3), np.uint8)).numpy()
  contents = {"a.jpg": good, "b.jpg": good[: len(good) // 2], "c.png": b"", "d.gif": b"text"}
  for name, content in contents.items():
    (tmp_path / name).write_bytes(content)
  gone = _write(tmp_path / "e.png")
  source = files.build(str(tmp_path))
  os.remove(gone)
  failures = dict(source_lib.unreadable(source, range(5)))
  assert [os.path.basename(name) for name in failures] == ["b.jpg", "c.png", "d.gif", "e.png"]
  assert "Unknown image file format" in failures[f"{tmp_path}/d.gif"]
  assert "No such file" in failures[gone]


def _split_names(root: pathlib.Path, fraction: float = 0.3, seed: int = 0) -> list[set[str]]:
  sides = files.split_heldout(files.build(str(root)), fraction, seed=seed)
  return [{os.path.relpath(name, root) for name in side.names} for side in sides]


@pytest.fixture(name="numbered")
def _numbered(tmp_path):
  """200 one-pixel images in two classes; the pixel's red is the number, its green the class."""
  for i in range(200):
    name = f"{'ab'[i % 2]}/{i:03}.png"
    _write(tmp_path / "numbered" / name, np.array([[[i, i % 2, 0]]], np.uint8))
  return tmp_path / "numbered"


def test_the_paths_are_not_a_constant_of_the_map_function(numbered):
  # TensorFlow makes constants of the captured tensors of up to 128 elements.
  load = tf.function(files.build(str(numbered)).load)
  graph = load.get_concrete_function(tf.TensorSpec((), tf.int64)).graph.as_graph_def()
  assert b"numbered" not in graph.SerializeToString()


def test_split_is_disjoint_complete_and_about_the_fraction(numbered):
  train, heldout = _split_names(numbered)
  assert not train & heldout and len(train | heldout) == 200
  assert 40 <= len(heldout) <= 80
  assert _split_names(numbered) == [train, heldout]
  assert _split_names(numbered, seed=1)[1] != heldout
  assert heldout < _split_names(numbered, fraction=0.6)[1]


def test_split_is_the_same_in_every_process_and_version(tmp_path):
  """Known value: computed once. A change would put held-out photographs into training."""
  for i in range(20):
    _write(tmp_path / f"{i:02}.png")
  heldout = _split_names(tmp_path)[1]
  assert sorted(int(name[:2]) for name in heldout) == [0, 5, 6, 7, 8, 12, 15]


def test_split_keeps_labels_with_images(numbered):
  for side in files.split_heldout(files.build(str(numbered)), 0.3):
    assert list(side.names) == sorted(side.names)
    for index, name in enumerate(side.names):
      red, green, _ = _load(side, index)[0, 0]
      assert int(pathlib.Path(name).stem) == red
      assert side.labels[index] == green


def test_split_stays_when_images_are_added_or_all_move(numbered):
  before = _split_names(numbered)
  for i in range(50):
    _write(numbered / "a" / f"new{i}.png")
  after = _split_names(numbered)
  assert all(old < new for old, new in zip(before, after))
  moved = numbered.rename(numbered.parent / "elsewhere")
  assert _split_names(moved) == after


def test_split_has_one_image_at_least_on_each_side(tmp_path):
  for i in range(3):
    _write(tmp_path / f"{i}.png")
  for fraction in (1e-9, 1 - 1e-9):
    sizes = sorted(len(side) for side in _split_names(tmp_path, fraction))
    assert sizes == [1, 2]


def test_split_describes_itself(numbered):
  train, heldout = files.split_heldout(files.build(str(numbered)), 0.3)
  assert heldout.description.startswith(f"{len(heldout)} held-out of 200 images in ")
  assert train.description.startswith(f"{len(train)} training of 200 images in ")


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_split_refuses_other_fractions(numbered, fraction):
  with pytest.raises(ValueError, match="`fraction` between 0 and 1"):
    files.split_heldout(files.build(str(numbered)), fraction)


def test_split_refuses_a_single_image(tmp_path):
  _write(tmp_path / "a.png")
  with pytest.raises(ValueError, match="two images or more"):
    files.split_heldout(files.build(str(tmp_path)), 0.5)


@pytest.mark.skipif("SBAE_TEST_DATA" not in os.environ, reason="SBAE_TEST_DATA is not set")
def test_every_dirty_file_loads_or_is_named():
  source = files.build(os.path.join(os.environ["SBAE_TEST_DATA"], "dirty"))
  giants = {i for i, name in enumerate(source.names) if "synthetic_" in name}
  failures = source_lib.unreadable(source, sorted(set(range(len(source))) - giants), limit=1000)
  assert {os.path.basename(name) for name, _ in failures} >= {
    "empty.jpg",
    "not_an_image.jpg",
    "truncated_50pct.jpg",
  }
  assert len(failures) < len(source) // 2
  assert all(reason and "\n" not in reason for _, reason in failures)
