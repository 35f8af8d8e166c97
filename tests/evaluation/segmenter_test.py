"""Training on pixels: it learns, repeats, keeps what is to be kept, and counts as NumPy does."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data.skipped import Skipped
from sbae_tf.evaluation import subject as subject_lib
from sbae_tf.evaluation.label_classes import IGNORED, choose_classes
from sbae_tf.evaluation.masks import MaskRule
from sbae_tf.evaluation.segmented import Segmented, open_segmented
from sbae_tf.evaluation.segmenter import Recipe, Segmenter


@pytest.fixture(scope="module")
def scenes(write_scenes, tmp_path_factory) -> tuple[Segmented, Segmented]:
  folder = tmp_path_factory.mktemp("scenes")
  both = []
  for name, count, seed in (("train", 20, 0), ("test", 5, 1)):
    data = open_segmented(
      write_scenes(folder / name, count=count, seed=seed),
      MaskRule("{folder}annot/{stem}.png"),
      skipped=Skipped(count, limit=1.0),
    )
    both.append(data.labelled(choose_classes(data.numbers, names=(), ignored={9})))
  return both[0], both[1]


def _values(encoder) -> list[np.ndarray]:
  return [variable.numpy() for variable in encoder.variables]


def test_learns_measures_and_repeats(any_size_subject, any_size, scenes):
  train, test = scenes
  encoder = any_size_subject._trainable
  recipe = Recipe(batch_size=10, learning_rate=0.02, scales=(0.8, 1.25))
  segmenter = Segmenter(any_size_subject, encoder, classes=3, recipe=recipe)
  assert (segmenter.layers, segmenter.stride, segmenter.side) == (("conv1", "conv2"), 4, 32)

  def fit(**options):
    return segmenter.fit(train, steps=60, steps_per_epoch=20, seed=5, **options)

  before, loss = segmenter.measure(test)
  assert loss == pytest.approx(np.log(3), rel=1e-3)  # All classes are equally likely,
  assert before.counts[:, 1:].sum() == 0  # and the first of equals is taken.
  epochs, best = fit(validation=test)
  assert best.accuracy == max(epoch.accuracy for epoch in epochs) > 0.8
  confusion, loss = segmenter.measure(test)
  assert (confusion.mean_iou, loss) == (best.accuracy, best.validation_loss)
  # Photographs of 42 x 53, which the stride does not divide, at their own size.
  union, overlap = np.zeros(3), np.zeros(3)
  for index in range(len(test)):
    photograph, truth = test.pair(index)
    found = segmenter.predict(photograph)
    assert found.shape == truth.shape == (42, 53)
    found = np.where(truth == IGNORED, IGNORED, found)
    for label in range(3):
      overlap[label] += np.sum((found == label) & (truth == label))
      union[label] += np.sum((found == label) | (truth == label))
  np.testing.assert_allclose(confusion.iou, overlap / union)

  learnt = _values(encoder)
  again, _ = fit()
  assert [epoch.loss for epoch in again] == [epoch.loss for epoch in epochs]
  assert [epoch.accuracy for epoch in again] == [None] * 3
  other, _ = fit(weights=_values(any_size(1)))
  assert other[0].loss != again[0].loss
  assert np.abs(_values(encoder)[0] - learnt[0]).max() > 0.1


def test_frozen_and_by_layers(any_size_subject, any_size, scenes):
  encoder = any_size_subject._trainable
  before = _values(encoder)
  for recipe, moved in (
    (Recipe(batch_size=2, layers=("conv1",), frozen=True), [False, False]),
    (Recipe(batch_size=2, layers=("conv1",), layer_decay=0.5), [True, False]),
  ):
    segmenter = Segmenter(any_size_subject, encoder, classes=3, recipe=recipe)
    segmenter.fit(scenes[0], steps=2, steps_per_epoch=2, seed=0)
    now = _values(encoder)
    assert [np.any(a != b) for a, b in zip(now, before)] == moved
    assert segmenter.layers == ("conv1",) and segmenter.measure(scenes[1])[1] != np.log(3)


def test_the_loss_is_of_the_labelled_pixels(any_size_subject, scenes):
  encoder = any_size_subject._trainable
  recipe = Recipe(batch_size=2, learning_rate=0.1)
  segmenter = Segmenter(any_size_subject, encoder, classes=3, recipe=recipe)
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2, 32, 32, 3), np.uint8)
  labels = rng.choice(np.array([0, 1, 2, IGNORED], np.uint8), (2, 32, 32))
  for _ in range(3):
    logits = segmenter._logits(tf.constant(images), training=True).numpy()
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    odds /= odds.sum(axis=-1, keepdims=True)
    known = labels != IGNORED
    right = np.take_along_axis(odds, np.where(known, labels, 0)[..., np.newaxis], -1)[known]
    assert float(segmenter._train(images, labels)) == pytest.approx(-np.log(right).mean(), rel=1e-4)
  nothing = np.full_like(labels, IGNORED)
  assert float(segmenter._train(images, nothing)) == 0.0
  assert np.isfinite(segmenter._logits(tf.constant(images), training=False)).all()


def test_errors(any_size_subject, others_model):
  encoder = any_size_subject._trainable
  for recipe, message in (
    (Recipe(layers=("conv3",)), "of the maps conv1, conv2. Received: conv3"),
    (Recipe(layers=("embedding",)), "of the maps conv1, conv2. Received: embedding"),
    (Recipe(side=30), "`crop_size`.* multiple of 4. Received: 30"),
  ):
    with pytest.raises(ValueError, match=message):
      Segmenter(any_size_subject, encoder, classes=3, recipe=recipe)
  saved = subject_lib.of_saved_model(others_model)
  with saved.training() as loaded, pytest.raises(ValueError, match="segment: .* of 40 x 32 pixels"):
    Segmenter(saved, loaded, classes=3, recipe=Recipe())
