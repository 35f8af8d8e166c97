"""Pictures: what stands where in the panel, and filters in the color they mean."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import pictures
from sbae_tf.config import Branch, Component
from sbae_tf.model import PretrainModel

SIDE, GAP, CAPTION = 32, 2, 14


@pytest.fixture(name="model")
def _model(small_config) -> PretrainModel:
  return PretrainModel(small_config)


def _cells(panel: np.ndarray, rows: int) -> list[list[np.ndarray]]:
  """The panel's pictures by column and row: what stands between white gaps, under captions."""
  body = panel[CAPTION:]
  inked = np.flatnonzero((body != 255).any((0, 2)))
  starts = [x for x in inked if x - 1 not in inked]
  return [[body[i * (SIDE + GAP) :][:SIDE, x : x + SIDE] for i in range(rows)] for x in starts]


def test_panel_shows_photograph_channels_and_predictions(model, images):
  images = np.minimum(images, 250)  # White within a photograph would look like a gap.
  columns = _cells(pictures.panel(model, tf.constant(images)), rows=4)
  assert len(columns) == 7
  photograph, lightness, ab, predicted_ab, colorized, predicted_l, _ = columns
  np.testing.assert_array_equal(np.stack(photograph), images)
  gray = np.stack(lightness).astype(int)
  assert np.abs(gray - gray.mean(-1, keepdims=True)).max() <= 1.5
  assert np.ptp(np.stack(ab).astype(int), axis=-1).max() > 30
  # The colorized photograph has the true L, and not the true color.
  encode = model.encoder.color.encode
  true_l, given_l = encode(images)[..., 0], encode(np.stack(colorized))[..., 0]
  assert np.abs(true_l - given_l).mean() < 5
  assert np.ptp(np.stack(predicted_l).astype(int), axis=-1).max() <= 2
  assert np.isfinite(np.stack(predicted_ab)).all()


def test_a_perfect_prediction_gives_the_photograph_back(model, monkeypatch):
  flat = np.full((1, 32, 32, 3), (200, 120, 60), np.uint8)
  tasks = model.tasks
  truth = model.prepare(tf.constant(flat)).targets
  sure = tuple(1e3 * tf.one_hot(ids, task.quantizer.bins) for task, ids in zip(tasks, truth))
  monkeypatch.setattr(PretrainModel, "outputs", lambda self, inputs, training: sure)
  columns = _cells(pictures.panel(model, tf.constant(flat)), rows=1)
  for with_input in (columns[4], columns[6]):
    lab = model.encoder.color.encode(np.stack(with_input)).numpy()
    error = np.abs(lab - model.encoder.color.encode(flat).numpy()).max((0, 1, 2))
    assert (error < [1.5, 12, 12]).all()  # Half a bin: 0.5 of L, about 10 of a and b.


def test_panel_of_noise_and_views(small_config, images):
  """What towers saw in place of the photographs; nothing where nothing is predicted."""
  branches = (
    Branch(("R", "G", "B"), ("R", "G", "B"), Component("contrastive", {"strength": 0.0})),
    Branch(("R",), ("R",), Component("denoising", {"noise": "salt_and_pepper", "amount": 0.5})),
  )
  config = dataclasses.replace(small_config, color=Component("rgb"), branches=branches)
  model = PretrainModel(config)
  images = np.clip(images, 1, 250)
  panel = pictures.panel(model, tf.constant(images))
  np.testing.assert_array_equal(pictures.panel(model, tf.constant(images)), panel)
  columns = [np.stack(column) for column in _cells(panel, rows=4)]
  assert len(columns) == 7
  photograph, rgb, red, first, second, noisy, predicted = columns
  np.testing.assert_array_equal(photograph, images)
  assert np.abs(rgb.astype(int) - images).max() <= 1
  for view in (first, second):
    assert (view != photograph).any() and view.min() > 0  # Enlarged, never filled up.
  extreme = np.isin(noisy[..., 0], (0, 255))
  assert np.mean(extreme) == pytest.approx(0.5, abs=0.05)
  np.testing.assert_array_equal(noisy[~extreme], red[~extreme])
  assert predicted.shape == red.shape


def test_filters_of_a_shared_tower_are_shown_once(small_config):
  config = dataclasses.replace(small_config, aggregation=Component("shared"))
  encoder = PretrainModel(config).encoder
  kernel = encoder.towers[0].trainable_variables[0]
  weights = np.zeros(kernel.shape, np.float32)
  weights[:, :, 1] = 1.0  # The middle one of L, a and b.
  kernel.assign(weights)
  picture = pictures.filters(encoder)
  assert picture.shape[1] < pictures.filters(PretrainModel(small_config).encoder).shape[1]
  red, green, _ = picture[CAPTION + 2, 8].astype(int)
  assert red > green + 60


def test_filters_show_both_towers(model):
  kernel = model.encoder.towers[1].trainable_variables[0]
  weights = np.zeros(kernel.shape, np.float32)
  weights[..., 0, :] = 1.0  # Only a: towards red.
  kernel.assign(weights)
  picture = pictures.filters(model.encoder)
  assert picture.dtype == np.uint8 and picture.ndim == 3
  right = picture[CAPTION + 2, -8].astype(int)
  assert right[0] > right[1] + 60
