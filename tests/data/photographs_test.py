"""Tests of sbae_tf.data.photographs."""

from __future__ import annotations

import importlib.util
import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf.data import photographs

NAMES = ["astronaut", "chelsea", "coffee", "hubble_deep_field", "ihc", "motorcycle", "retina"]
NAMES += ["rocket", "china", "flower"]


def _inside(box, region) -> bool:
  return (
    box[0] >= region[0]
    and box[1] >= region[1]
    and box[0] + box[2] <= region[0] + region[2]
    and box[1] + box[3] <= region[1] + region[3]
  )


def _boxes(source):
  """(photograph, top, bottom, left, right) out of the names, such as `coffee[0:64, 10:74]`."""
  for name in source.names:
    photograph, _, rest = name[:-1].partition("[")
    (top, bottom), (left, right) = (map(int, part.split(":")) for part in rest.split(", "))
    yield photograph, top, bottom, left, right


@pytest.fixture(scope="module")
def sources():
  return {split: photographs.build(split) for split in ("train", "heldout")}


def test_default_sizes_and_classes(sources):
  assert (len(sources["train"]), len(sources["heldout"])) == (2560, 512)
  for source in sources.values():
    assert list(source.class_names) == NAMES
    counts = np.bincount(source.labels)
    assert counts.max() - counts.min() <= 1  # The photographs take turns.
    for label, (photograph, *_) in zip(source.labels, _boxes(source)):
      assert source.class_names[label] == photograph
  assert "2,560 train crops of 10" in sources["train"].description


def test_no_pixel_is_in_training_and_held_out(sources):
  used = {(split, name): np.zeros((1500, 1500), bool) for split in sources for name in NAMES}
  for split, source in sources.items():
    for name, top, bottom, left, right in _boxes(source):
      used[split, name][top:bottom, left:right] = True
  for name in NAMES:
    assert used["train", name].sum() > 4 * used["heldout", name].sum() * 0.8
    assert not (used["train", name] & used["heldout", name]).any(), name


def _decoded(encoded: tf.Tensor) -> np.ndarray:
  """(H, W, 3) uint8, by another decoder than the one that is trained with."""
  with Image.open(io.BytesIO(encoded.numpy())) as image:
    assert image.format == "JPEG" and image.mode == "RGB"
    return np.asarray(image)


def test_read_pixels_are_those_of_the_box(sources):
  # The known value: scikit-learn and scikit-image's own files, read here independently.
  for package, path, photograph in (
    ("skimage", "data/chelsea.png", "chelsea"),
    ("skimage", "data/retina.jpg", "retina"),
    ("sklearn", "datasets/images/flower.jpg", "flower"),
  ):
    folder = importlib.util.find_spec(package).submodule_search_locations[0]
    with Image.open(pathlib.Path(folder, path)) as image:
      whole = np.asarray(image.convert("RGB")).astype(int)
    for source in sources.values():
      index = NAMES.index(photograph) + 20
      name, top, bottom, left, right = list(_boxes(source))[index]
      assert name == photograph
      image = _decoded(source.read(tf.constant(index, tf.int64)))
      difference = np.abs(image - whole[top:bottom, left:right])
      # Little is lost in JPEG; a pixel to the side is more, even where nothing is sharp.
      assert difference.mean() < 2.5 and difference.max() < 30
      by_row = image[1:] - whole[top : bottom - 1, left:right]
      by_column = image[:, 1:] - whole[top:bottom, left : right - 1]
      for moved in (by_row, by_column):
        assert np.abs(moved).mean() > 1.05 * difference.mean(), photograph


def test_every_crop_is_a_square_inside_its_photograph(sources):
  for source in sources.values():
    images = [_decoded(encoded) for encoded in tf.data.Dataset.range(40).map(source.read)]
    expected = [(bottom - top, right - left, 3) for _, top, bottom, left, right in _boxes(source)]
    assert [image.shape for image in images] == expected[:40]
    assert all(height == width >= 64 for height, width, _ in expected)


def test_no_crop_has_the_black_around_the_round_retina(sources):
  folder = importlib.util.find_spec("skimage").submodule_search_locations[0]
  with Image.open(pathlib.Path(folder, "data/retina.jpg")) as image:
    brightest = np.asarray(image).max(axis=2)
  assert brightest[:100, :100].max() < 20
  for source in sources.values():
    for name, top, bottom, left, right in _boxes(source):
      if name == "retina":
        assert brightest[[top, top, bottom - 1, bottom - 1], [left, right - 1] * 2].min() > 40


def test_color_is_kept_at_full_resolution(sources):
  """Not halved, as JPEG's often is: color is the target."""
  encoded = sources["train"].read(tf.constant(0, tf.int64)).numpy()
  with Image.open(io.BytesIO(encoded)) as image:
    assert {(width, height) for _, width, height, _ in image.layer} == {(1, 1)}


def test_read_agrees_eagerly_and_in_graphs(sources):
  read = sources["heldout"].read
  from_data = list(tf.data.Dataset.range(10).map(read, num_parallel_calls=2))
  in_graph = tf.function(read)
  for index, encoded in enumerate(from_data):
    assert read(tf.constant(index, tf.int64)) == encoded
    assert in_graph(tf.constant(index, tf.int64)) == encoded
  assert len({encoded.numpy() for encoded in from_data}) == 10
  assert tf.data.Dataset.range(1).map(read).element_spec == tf.TensorSpec((), tf.string)


def test_other_processes_can_read_them(sources):
  """No Python function is in the graph, and no order or mixture is asked for."""
  for source in sources.values():
    assert source.portable and not source.remote
    assert source.run_length == 1 and source.read_run is None and source.shares == ()
    graph = tf.function(source.read).get_concrete_function(tf.TensorSpec((), tf.int64)).graph
    assert not {"PyFunc", "EagerPyFunc"} & {operation.type for operation in graph.get_operations()}


def test_seed_decides_and_fewer_crops_are_the_first(sources):
  names = list(sources["train"].names)
  assert photographs.build("train", crops=30).names == names[:30]
  assert photographs.build("train", crops=30, seed=1).names != names[:30]


@pytest.mark.parametrize("size", [(500, 1000), (1000, 500), (333, 333), (80, 401)])
def test_regions_share_a_photograph(size):
  box = (7, 9, *size)
  train, heldout = (photographs.region_of(split, box) for split in ("train", "heldout"))
  assert _inside(train, box) and _inside(heldout, box)
  assert train[2] * train[3] + heldout[2] * heldout[3] == size[0] * size[1]
  assert heldout[2] * heldout[3] == pytest.approx(0.2 * size[0] * size[1], rel=0.02)
  assert train[0] + train[2] == heldout[0] or train[1] + train[3] == heldout[1]


def test_boxes_stay_inside_and_sides_are_log_uniform():
  regions = [(5, 10, 64, 64), (0, 100, 300, 1000), (50, 0, 801, 641)]
  indices, boxes = photographs.draw_boxes(regions, crops=6000, seed=3)
  assert indices.dtype == boxes.dtype == np.int32
  assert all(_inside(box, regions[index]) for index, box in zip(indices, boxes))
  sides = boxes[indices == 2, 2]
  assert (sides.min(), sides.max()) == (64, 641)
  # The median of a log-uniform side is the geometric mean of its ends.
  assert np.median(sides) == pytest.approx(np.sqrt(64 * 642), rel=0.05)
  tops = (boxes[indices == 2, 0] - 50) / (801 - sides)
  assert abs(tops.mean() - 0.5) < 0.02 and tops.min() < 0.01 and tops.max() > 0.99


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"split": "test"}, "one of train, heldout. Received: 'test'"),
    ({"split": "train", "crops": 0}, "`crops` of 1 or more. Received: 0"),
    ({"split": "train", "seed": -1}, "`seed` of 0 or more"),
  ],
)
def test_wrong_arguments(arguments, message):
  with pytest.raises(ValueError, match=message):
    photographs.build(**arguments)


def test_too_small_a_region_is_refused():
  with pytest.raises(ValueError, match="64 pixels or more. Received: 63"):
    photographs.draw_boxes([(0, 0, 63, 100)], crops=1, seed=0)


@pytest.mark.parametrize("missing", ["skimage", "sklearn"])
def test_a_missing_package_is_one_line_that_says_what_to_install(monkeypatch, missing):
  find_spec = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name)
  )
  with pytest.raises(ValueError, match="pip install scikit-image scikit-learn") as caught:
    photographs.build("train")
  assert missing in str(caught.value) and "\n" not in str(caught.value)
