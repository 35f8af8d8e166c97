"""Top patches: a planted pattern is found, and cut out where it is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf.data.sources import open_source
from sbae_tf.evaluation import top_patches
from sbae_tf.evaluation.receptive_field import ReceptiveField

SIDE, CELL = 24, 4
COUNT = 11

# Photograph, place on the map of 4 x 4 pixels, brightness there. Two lie at borders.
_PLANTED = {3: ((0, 5), 250), 7: ((2, 3), 200), 9: ((5, 0), 230)}


def _images() -> np.ndarray:
  """(COUNT, SIDE, SIDE, 3) uint8: dark noise, and the planted squares."""
  images = np.random.default_rng(0).integers(0, 60, (COUNT, SIDE, SIDE, 3), np.uint8)
  for number, ((y, x), value) in _PLANTED.items():
    images[number, y * CELL : (y + 1) * CELL, x * CELL : (x + 1) * CELL] = value
  return images


@pytest.fixture(name="source")
def _source(tmp_path):
  for number, image in enumerate(_images()):
    Image.fromarray(image).save(tmp_path / f"{number:02d}.png")
  return open_source(str(tmp_path), labels=False)


def _features(images: tf.Tensor) -> dict[str, tf.Tensor]:
  """Of `map`: unit 0 is the brightness of 4 x 4 pixels, unit 1 darkness, unit 2 dead."""
  bright = tf.nn.avg_pool2d(tf.cast(images, tf.float32), CELL, CELL, "VALID")[..., :1]
  maps = tf.concat([bright, 255 - bright, 0 * bright], axis=-1)
  return {"map": maps, "vector": maps[:, 0, 0]}


@pytest.mark.parametrize("batch", [2, 64])
def test_answers_are_those_of_sorting_all(source, monkeypatch, batch) -> None:
  monkeypatch.setattr(top_patches, "_BATCH", batch)
  found = top_patches.strongest(source, _features, "map", image_size=SIDE, count=3)
  blocks = _images()[..., 0].reshape(COUNT, 6, CELL, 6, CELL).mean(axis=(2, 4)).reshape(COUNT, 36)
  for unit, values in enumerate((blocks, 255 - blocks, 0 * blocks)):
    best = values.max(axis=1)
    order = np.argsort(-best, kind="stable")[:3]
    np.testing.assert_array_equal(found.photographs[unit], order)
    np.testing.assert_allclose(found.strengths[unit], best[order], rtol=1e-5)
    places = np.stack(np.divmod(values[order].argmax(axis=1), 6), axis=1)
    np.testing.assert_array_equal(found.places[unit], places)
    np.testing.assert_allclose(found.lowest[unit], best.min(), rtol=1e-5)
  assert found.alive.tolist() == [0, 1]
  assert found.photographs[0].tolist() == [3, 9, 7]


def test_of_a_vector_there_is_one_place(source) -> None:
  found = top_patches.strongest(source, _features, "vector", image_size=SIDE, count=COUNT + 5)
  assert found.strengths.shape == (3, COUNT) and not found.places.any()


def test_patches_are_what_was_planted(source) -> None:
  found = top_patches.strongest(source, _features, "map", image_size=SIDE, count=COUNT)
  field = ReceptiveField(side=10, first=-3, step=CELL)
  (row,) = top_patches.collect(source, found, [0], field=field, image_size=SIDE)
  name, patches = row
  # The weakest of all photographs is what leaves the unit cold.
  assert name == "unit 0" and len(patches) == COUNT - 1
  padded = np.pad(_images(), [(0, 0), (3, 3), (3, 3), (0, 0)], constant_values=top_patches.OUTSIDE)
  for (caption, patch), (number, place) in zip(patches, ((3, (0, 5)), (9, (5, 0)), (7, (2, 3)))):
    assert float(caption) == _PLANTED[number][1]
    y, x = place[0] * CELL, place[1] * CELL
    np.testing.assert_array_equal(patch, padded[number, y : y + 10, x : x + 10])
    assert (patch[3:7, 3:7] == _PLANTED[number][1]).all()


def test_a_square_beyond_the_photograph_is_gray() -> None:
  image = np.full((SIDE, SIDE, 3), 9, np.uint8)
  patch = top_patches.cut(image, ReceptiveField(side=40, first=-8, step=0), (0, 0))
  assert (patch[8:32, 8:32] == 9).all() and (patch == 9).sum() == image.size
  patch = top_patches.cut(image, ReceptiveField(side=4, first=100, step=0), (0, 0))
  assert (patch == top_patches.OUTSIDE).all()


def test_the_sheet_has_every_patch() -> None:
  red, blue = (np.full((9, 9, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
  sheet = np.asarray(top_patches.sheet([("unit 0", [("1", red)] * 9), ("unit 1", [("2", blue)])]))
  assert 1100 < sheet.shape[1] < 1250
  assert ((sheet == (255, 0, 0)).all(-1).sum(), (sheet == (0, 0, 255)).all(-1).sum()) == (
    9 * 112 * 112,
    112 * 112,
  )
