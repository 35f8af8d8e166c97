"""What every color space must do; finds them by itself."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import plugins

SPACES = plugins.names("color")


def _all_colors() -> np.ndarray:
  """(1, 64, 512, 3) uint8: every 8th level of each channel, and 255."""
  levels = np.append(np.arange(0, 255, 8), 255)[1:].astype(np.uint8)
  grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1)
  return grid.reshape(1, 64, 512, 3)


def _images(space) -> np.ndarray:
  """All colors, with all levels of each band."""
  colors = _all_colors()
  levels = np.arange(colors.size // 3).reshape(*colors.shape[:3], 1) % 256
  return np.concatenate([colors, *[levels.astype(np.uint8)] * space.bands], -1)


@pytest.fixture(params=SPACES, name="space")
def _space(request):
  return plugins.find("color", request.param).build()


def test_round_trip_is_exact_to_the_level(space):
  images = _images(space)
  back = space.decode(space.encode(tf.constant(images))).numpy()
  assert np.abs(back * 255 - images[..., :3]).max() < 0.5


def test_channels_and_types(space):
  values = space.encode(tf.zeros((2, 8, 16, space.planes), tf.uint8))
  assert values.shape == (2, 8, 16, len(space.channels))
  assert values.dtype == tf.float32
  assert space.decode(values).shape == (2, 8, 16, 3)


def test_ranges_hold_and_are_tight(space):
  values = space.encode(tf.constant(_images(space))).numpy().reshape(-1, len(space.channels))
  for channel, column in zip(space.channels, values.T):
    width = channel.high - channel.low
    assert channel.low - 1e-3 <= column.min() < channel.low + 0.05 * width
    assert channel.high - 0.05 * width < column.max() <= channel.high + 1e-3


def test_eager_graph_and_pipeline_agree(space):
  shape = (2, 8, 8, space.planes)
  images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
  eager = space.encode(tf.constant(images)).numpy()
  graph = tf.function(space.encode)(tf.constant(images)).numpy()
  dataset = tf.data.Dataset.from_tensors(images).map(space.encode)
  np.testing.assert_allclose(graph, eager, atol=1e-4)
  np.testing.assert_allclose(next(iter(dataset)).numpy(), eager, atol=1e-4)


def test_refuses_what_is_no_uint8_photograph(space):
  planes = space.planes
  expected = rf"Expected `images` \(B, H, W, {planes}\) uint8. Received"
  for shape, dtype in (
    ((1, 8, 8, planes), tf.float32),
    ((1, 8, 8, planes + 1), tf.uint8),
    ((8, 8, planes), tf.uint8),
  ):
    with pytest.raises(ValueError, match=expected):
      space.encode(tf.zeros(shape, dtype))


def test_bands_are_planes_of_levels(space):
  images = np.full((1, 2, 2, space.planes), 9, np.uint8)
  assert space.planes == 3 + space.bands
  if not space.bands:
    assert space.known(tf.constant(images)) is None and space.levels is None
    return
  images[0, :, :, 3:] = np.array([[0, 1], [128, 255]])[..., None]
  bands = space.channels[-space.bands :]
  assert space.band_names == tuple(band.name for band in bands)
  values = space.encode(tf.constant(images)).numpy()[0, ..., -space.bands :]
  for band, found in zip(bands, np.moveaxis(values, -1, 0)):
    middle = (band.low + band.high) / 2
    np.testing.assert_allclose(found, [[middle, band.low], [middle, band.high]], rtol=1e-5)
  known = space.known(tf.constant(images)).numpy()
  assert known.dtype == np.float32 and known.shape == (1, 2, 2, len(space.channels))
  assert (
    known[0, 0, 0].tolist() == [1.0] * (len(space.channels) - space.bands) + [0.0] * space.bands
  )
  assert known.sum() == known.size - space.bands


def test_decode_clips_to_gamut(space):
  wild = tf.constant([[[[3 * c.high for c in space.channels]]]], tf.float32)
  rgb = space.decode(wild).numpy()
  assert np.isfinite(rgb).all() and rgb.min() >= 0 and rgb.max() <= 1


def test_slice_follows_the_names_order(space):
  names = [channel.name for channel in space.channels][::-1]
  values = tf.reshape(tf.range(len(names), dtype=tf.float32), (1, 1, 1, -1))
  assert space.slice(values, names).numpy().ravel().tolist() == sorted(range(len(names)))[::-1]
  with pytest.raises(ValueError, match="no channel 'depth'"):
    space.indices(["depth"])


def test_the_cpus_way_is_the_definition(space):
  """XLA takes the definition, which is for accelerators, and a graph on a CPU the other."""
  images = tf.constant(_images(space))
  defined = space.encode_rgb(tf.cast(images[..., :3], tf.float32) / 255.0).numpy()
  for jit_compile in (False, True):
    values = tf.function(space.encode, jit_compile=jit_compile)(images).numpy()
    np.testing.assert_allclose(values[..., :3], defined, rtol=0, atol=2e-4)


def test_no_gradient_and_so_no_nan(space):
  """uint8 has none; tfio's own at black would be NaN."""
  images = tf.zeros((1, 8, 8, space.planes), tf.uint8)
  weight = tf.Variable(2.0)
  with tf.GradientTape() as tape:
    total = tf.reduce_sum(weight * space.encode(images))
  assert np.isfinite(tape.gradient(total, weight))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 3, 5)])
def test_scale_takes_the_range_to_plus_minus_one(space, shape, jit_compile):
  rng = np.random.default_rng(0)
  low, high = (np.array([getattr(c, end) for c in space.channels]) for end in ("low", "high"))
  values = rng.uniform(low, high, (*shape, len(low))).astype(np.float32)
  values[0, 0, 0], values[0, 0, 1] = low, high
  names = [channel.name for channel in space.channels]
  for chosen in (names, names[:1], names[1:], names[::-1], [names[2], names[0]]):
    i = [names.index(name) for name in chosen]
    scale = tf.function(lambda v, chosen=chosen: space.scale(v, chosen), jit_compile=jit_compile)
    scaled = scale(tf.constant(values)).numpy()
    assert scaled.shape == (*shape, len(chosen)) and scaled.dtype == np.float32
    expected = (2 * values - (high + low)) / (high - low)
    np.testing.assert_allclose(scaled, expected[..., i], atol=1e-6)
    assert scaled[0, 0, 0].tolist() == pytest.approx([-1] * len(i), abs=1e-6)
    assert scaled[0, 0, 1].tolist() == pytest.approx([1] * len(i), abs=1e-6)
  with pytest.raises(ValueError, match="no channel 'depth'"):
    space.scale(tf.constant(values), ["depth"])


def test_slices_of_neighbors_and_of_others(space):
  names = [channel.name for channel in space.channels]
  values = np.random.default_rng(0).normal(size=(2, 4, 4, len(names))).astype(np.float32)
  for i in ([0], [1, 2], [0, 2], [2, 1], [0, 1, 2]):
    got = space.slice(tf.constant(values), [names[k] for k in i])
    np.testing.assert_array_equal(got, values[..., i])
