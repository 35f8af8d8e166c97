"""Cached features: sizes of the paper, right numbers in the right rows, and computed once."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf.evaluation.feature_cache import FeatureCache, map_side
from sbae_tf.evaluation.labelled import Labelled, open_labelled
from sbae_tf.evaluation.subject import Subject
from sbae_tf.failures import RunError
from tests import mean_color


class _Pixels:
  """A subject whose map are the pixels; counts the batches."""

  def __init__(self, *, side: int = 8, checksum: str = "0", factor: float = 1.0) -> None:
    self.batches = 0
    self._factor = factor
    shapes = {"pixels/all": (side, side, 3), "mean": (3,)}
    self.subject = Subject(
      name="pixels",
      image_size=side,
      shapes=shapes,
      checksum=checksum,
      features=self._features,
      trainable=None,
    )

  def _features(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    values = tf.cast(images, tf.float32) * self._factor

    def count() -> np.float32:
      self.batches += 1
      return np.float32(0)

    # In the graph, for tracing it counts once only.
    values += tf.numpy_function(count, [], tf.float32)
    values = tf.ensure_shape(values, (None, None, None, 3))
    return {"pixels/all": values, "mean": tf.reduce_mean(values, axis=(1, 2))}


@pytest.fixture(name="data")
def _data(tmp_path) -> Labelled:
  return open_labelled(str(mean_color.write_photographs(tmp_path / "photos", 7)))


def _cache(pixels: _Pixels, folder: pathlib.Path, **changes: object) -> FeatureCache:
  return FeatureCache(pixels.subject, folder, batch_size=3, say=lambda line: None, **changes)


@pytest.mark.parametrize(
  ("shape", "side"),
  [
    # Zhang, Isola and Efros 2017, section 4.1: 9,600 dimensions of AlexNet's conv1, conv3 and
    # conv4, 9,216 of conv2 and conv5.
    ((55, 55, 96), 10),
    ((27, 27, 256), 6),
    ((13, 13, 384), 5),
    ((13, 13, 256), 6),
    ((3, 3, 128), 3),  # Never enlarged.
    ((1, 1, 4096), 1),
    ((7, 7, 20_000), 1),  # Never nothing.
  ],
)
def test_map_side(shape, side):
  assert map_side(shape, 9000) == side


def test_rows_are_the_photographs(data, tmp_path):
  pixels = _Pixels()
  cache = _cache(pixels, tmp_path / "cache")
  mean = cache.get(data, "mean", dimensions=9)
  assert mean.shape == (7, 3) and mean.dtype == np.float32 and isinstance(mean, np.memmap)
  expected = 255 * mean_color.expected(list(data.source.names))
  np.testing.assert_allclose(mean, expected, atol=1e-4)
  whole = cache.get(data, "pixels/all", dimensions=9000)  # A map that is small enough stays.
  np.testing.assert_allclose(whole, np.tile(expected, 64), atol=1e-4)


def test_maps_are_resized_as_by_pillow(tmp_path):
  rng = np.random.default_rng(0)
  for number in range(4):
    file = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(file)
  data = open_labelled(str(tmp_path / "photos"))
  found = _cache(_Pixels(side=24), tmp_path / "c").get(data, "pixels/all", dimensions=75)
  assert found.shape == (4, 5 * 5 * 3)
  for name, row in zip(data.source.names, found):
    # Pillow's resizing is antialiased, and float.
    channels = Image.open(name).split()
    expected = [c.convert("F").resize((5, 5), Image.Resampling.BILINEAR) for c in channels]
    np.testing.assert_allclose(row.reshape(5, 5, 3), np.stack(expected, -1), atol=0.1)


def test_computed_once(data, tmp_path):
  pixels = _Pixels()
  cache = _cache(pixels, tmp_path)
  cache.prepare(data, ["mean", "pixels/all"], dimensions=12)
  assert pixels.batches == 3  # One pass for both.
  cache.get(data, "mean", dimensions=500)  # A vector has one size.
  cache.get(data, "pixels/all", dimensions=13)  # The same side.
  again = _cache(pixels, tmp_path).get(data, "pixels/all", dimensions=12)
  assert pixels.batches == 3 and again.shape == (7, 12)
  cache.get(data, "pixels/all", dimensions=27)
  assert pixels.batches == 6
  # Others are told apart: photographs, weights, and what counts as unreadable.
  part = data.subset(np.array([2, 1]))
  np.testing.assert_array_equal(cache.get(part, "mean", dimensions=9)[1], _row(cache, data, 1))
  assert pixels.batches == 7
  other = _Pixels(checksum="1", factor=2.0)
  np.testing.assert_allclose(
    _row(_cache(other, tmp_path), data, 1), 2 * _row(cache, data, 1), rtol=1e-6
  )
  _cache(pixels, tmp_path, max_pixels=64).get(data, "mean", dimensions=9)
  assert (pixels.batches, other.batches) == (10, 3)
  assert not list(tmp_path.rglob(".*"))


def _row(cache: FeatureCache, data: Labelled, index: int) -> np.ndarray:
  return np.array(cache.get(data, "mean", dimensions=9)[index])


def test_nothing_is_left_of_what_fails(tmp_path):
  photos = mean_color.write_photographs(tmp_path / "photos", 7, broken=(4,))
  data = open_labelled(str(photos))
  cache = _cache(_Pixels(), tmp_path / "cache")
  with pytest.raises(ValueError, match=r"1 or more cannot. The first: .*004.png \(not_an_image"):
    cache.get(data, "mean", dimensions=9)
  good = data.subset(np.array([i for i, n in enumerate(data.source.names) if "004" not in n]))
  infinite = _cache(_Pixels(factor=np.inf), tmp_path / "cache")
  with pytest.raises(RunError, match="Feature 'mean' of .*png is not finite"):
    infinite.get(good, "mean", dimensions=9)
  assert not list((tmp_path / "cache").rglob("*.npy*"))
  with pytest.raises(ValueError, match="a layer of mean, pixels/all. Received: conv3"):
    cache.get(good, "conv3", dimensions=9)
