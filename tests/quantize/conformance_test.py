"""What every quantizer must do; finds them by itself."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.color.color_space import Channel

ONE = (Channel("L", 0.0, 100.0),)
TWO = (Channel("a", -86.0, 98.0), Channel("b", -108.0, 94.0))


def _values(channels, seed=0, shape=(3, 12, 12)) -> np.ndarray:
  """Uniform over the channels' ranges, both ends included."""
  rng = np.random.default_rng(seed)
  values = np.stack([rng.uniform(c.low, c.high, shape) for c in channels], -1).astype(np.float32)
  values[:, 0, 0] = [c.low for c in channels]
  values[:, -1, -1] = [c.high for c in channels]
  return values


@pytest.fixture(params=plugins.names("quantizer"), name="plugin")
def _plugin(request):
  return plugins.find("quantizer", request.param)


@pytest.fixture(params=[ONE, TWO], ids=["one", "two"], name="channels")
def _channels(request, plugin):
  taken = plugin.constants.get("CHANNELS")  # By those that are for certain channels.
  if taken and tuple(c.name for c in request.param) != taken:
    with pytest.raises(ValueError, match="Expected the channels"):
      plugin.build(request.param)
    pytest.skip(f"{plugin.name} is for {taken}")
  return request.param


def test_ids_are_bins_of_16_bits_or_more(plugin, channels):
  quantizer = plugin.build(channels)
  ids = quantizer.encode(tf.constant(_values(channels)))
  assert ids.shape == (3, 12, 12) and ids.dtype == tf.int32
  assert ids.numpy().min() >= 0 and ids.numpy().max() < quantizer.bins


def test_a_center_lies_in_its_own_bin(plugin, channels):
  quantizer = plugin.build(channels)
  values = tf.constant(_values(channels))
  centers = np.broadcast_to(quantizer.centers(values), (3, quantizer.bins, len(channels)))
  # Behind the first and last pixel, which fix the range of quantizers that look at the image.
  ends = tf.reshape(values, (3, -1, len(channels)))
  row = tf.concat([ends[:, :1], centers, ends[:, -1:]], axis=1)[:, None]
  ids = quantizer.encode(row).numpy()[:, 0, 1:-1]
  np.testing.assert_array_equal(ids, np.broadcast_to(np.arange(quantizer.bins), ids.shape))


def test_decoding_the_bin_is_off_by_half_a_bin_at_most(plugin, channels):
  quantizer = plugin.build(channels)
  values = _values(channels)
  if "CHANNELS" in plugin.constants:  # Has bins for colors, and not for all of their ranges.
    values *= 0.4
  ids = quantizer.encode(tf.constant(values)).numpy()
  centers = np.broadcast_to(
    quantizer.centers(tf.constant(values)), (3, quantizer.bins, len(channels))
  )
  decoded = np.stack([centers[i][ids[i]] for i in range(3)])
  per_channel = round(quantizer.bins ** (1 / len(channels)))
  half = np.array([(c.high - c.low) / per_channel / 2 for c in channels])
  assert (np.abs(decoded - values) <= half + 1e-3).all()


def test_constant_image_has_a_valid_bin(plugin, channels):
  quantizer = plugin.build(channels)
  for fraction in (0.0, 0.37, 1.0):
    color = [c.low + fraction * (c.high - c.low) for c in channels]
    values = tf.constant(np.broadcast_to(np.float32(color), (1, 4, 4, len(channels))))
    ids = quantizer.encode(values).numpy()
    centers = quantizer.centers(values).numpy()
    assert len(np.unique(ids)) == 1 and 0 <= ids[0, 0, 0] < quantizer.bins
    assert np.isfinite(centers).all()


def test_eager_graph_and_pipeline_agree(plugin, channels):
  quantizer = plugin.build(channels)
  values = _values(channels)
  eager = quantizer.encode(tf.constant(values)).numpy()
  np.testing.assert_array_equal(tf.function(quantizer.encode)(values).numpy(), eager)
  dataset = tf.data.Dataset.from_tensors(values).map(quantizer.encode)
  np.testing.assert_array_equal(next(iter(dataset)).numpy(), eager)


def test_refuses_three_channels(plugin):
  with pytest.raises(ValueError, match="one or two channels|the channels"):
    plugin.build((*ONE, *TWO))


def test_says_whether_all_images_share_its_bins(plugin, channels):
  quantizer = plugin.build(channels)
  values = tf.constant(_values(channels))
  if len(quantizer.centers(values)) == 1:
    np.testing.assert_array_equal(
      quantizer.shared_centers(len(channels)), quantizer.centers(values)[0]
    )
  else:
    with pytest.raises(ValueError, match="bins that all images share"):
      quantizer.shared_centers(len(channels))
