"""Receptive fields: what kernels and strides say, and no pixel more or less."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.config import Component, DataConfig, PretrainConfig
from sbae_tf.encoder import Encoder
from sbae_tf.evaluation import receptive_field
from sbae_tf.evaluation.receptive_field import ReceptiveField

SIDE = 64

# Worked out by hand: Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional
# neural networks", Eq. 2 for the side and Eq. 4 for the first pixel. TensorFlow pads an even input
# of stride 2 by 1 before and 2 after for a kernel of 5, and by 0 and 1 for one of 3.
_SIMPLENET = {
  "conv1": ReceptiveField(5, -1, 2),
  "conv2": ReceptiveField(9, -1, 4),
  "conv3": ReceptiveField(17, -1, 8),
  "conv4": ReceptiveField(33, -9, 8),
}


def _features(encoder: Encoder):
  return tf.function(
    lambda images: encoder(images),
    input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.uint8)],
    autograph=False,
  )


@pytest.fixture(name="features", scope="module")
def _simplenet():
  tf.keras.utils.set_random_seed(0)
  config = PretrainConfig(
    data=DataConfig(image_size=SIDE), backbone=Component("simplenet", {"width": 0.25})
  )
  return _features(Encoder(config))


@pytest.mark.parametrize("layer", _SIMPLENET)
def test_it_is_what_kernels_and_strides_say(features, layer) -> None:
  assert receptive_field.measure(features, layer, image_size=SIDE) == _SIMPLENET[layer]


def test_a_field_as_large_as_the_photograph_is_the_photograph(features) -> None:
  field = receptive_field.measure(features, "conv5", image_size=SIDE)  # 49, from pixel 15 on.
  assert field == receptive_field.whole(SIDE)
  assert field.corner((3, 7)) == (0, 0)


@pytest.mark.parametrize("place", [(0, 0), (1, 6), (7, 7)])
def test_at_every_place_the_unit_sees_that_square_alone(features, place) -> None:
  field = _SIMPLENET["conv3"]
  y, x = field.corner(place)
  rng = np.random.default_rng(1)
  image, other = rng.integers(0, 256, (2, 1, SIDE, SIDE, 3), np.uint8)

  def change(rows: slice, columns: slice, *, within: bool) -> float:
    mixed = (image if within else other).copy()
    mixed[:, rows, columns] = (other if within else image)[:, rows, columns]
    both = (features(tf.constant(i))["conv3"].numpy()[0][place] for i in (image, mixed))
    return float(np.abs(np.subtract(*both)).max())

  rows, columns = (slice(max(0, first), first + field.side) for first in (y, x))
  assert change(rows, columns, within=False) < 1e-5
  # The square's first and last row that lie inside count.
  for row in (rows.start, min(rows.stop, SIDE) - 1):
    assert change(slice(row, row + 1), columns, within=True) > 1e-5


def test_any_function_does_and_its_own_stride_is_found() -> None:
  def features(images: tf.Tensor) -> dict[str, tf.Tensor]:
    values = tf.cast(images, tf.float32) / 255
    means = tf.nn.avg_pool2d(values, 7, 3, "VALID")  # 20 places: 64 / 20 is no stride.
    return {"valid": means, "all": means - tf.reduce_mean(means), "constant": means * 0}

  field = receptive_field.measure(features, "valid", image_size=SIDE)
  assert field == ReceptiveField(7, 0, 3)
  assert field.corner((19, 1)) == (57, 3)
  for layer in ("all", "constant"):
    assert receptive_field.measure(features, layer, image_size=SIDE) == receptive_field.whole(SIDE)


def test_a_given_side_is_about_the_middle_of_a_place() -> None:
  field = receptive_field.around(8, image_size=SIDE, side=12)
  assert field.corner((0, 2)) == (-2, 14)  # The places' middles are 4 and 20.
