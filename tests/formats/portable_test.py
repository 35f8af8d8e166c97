from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.encoder import Encoder
from sbae_tf.formats.difference import largest_differences
from sbae_tf.formats.portable import save_portable


def _operations(path) -> set[str]:
  """The kinds of all operations in a signature, functions included."""
  graph = tf.saved_model.load(str(path)).signatures["serving_default"].graph.as_graph_def()
  nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
  return {node.op for node in nodes}


def _serve(path, images) -> dict[str, np.ndarray]:
  signature = tf.saved_model.load(str(path)).signatures["serving_default"]
  return {name: value.numpy() for name, value in signature(images=tf.constant(images)).items()}


def test_gives_the_encoders_numbers(portable, images, expected):
  assert max(largest_differences(_serve(portable, images), expected).values()) < 1e-5


def test_has_no_choice_by_device_and_no_check(portable):
  operations = _operations(portable)
  assert "Conv2D" in operations
  assert not operations & {"DeviceIndex", "Case", "StatelessCase", "Assert", "If", "StatelessIf"}


def test_colors_are_converted_by_the_definition(small_config, images, tmp_path):
  encoder = Encoder(small_config)
  save_portable(encoder, tmp_path / "portable", image_size=32)
  # The CPU's way looks up a table, and the definition raises to a power.
  assert "Pow" in _operations(tmp_path / "portable")
  assert "GatherNd" not in _operations(tmp_path / "portable")


def test_16_bits_become_32(small_config, images, tmp_path):
  encoder = Encoder(dataclasses.replace(small_config, precision="mixed_bfloat16"))
  float32 = Encoder(small_config)
  for ours, theirs in zip(float32.variables, encoder.variables):
    ours.assign(theirs)
  save_portable(encoder, tmp_path / "portable", image_size=32)
  exact = {name: value.numpy() for name, value in float32(images).items()}
  assert max(largest_differences(_serve(tmp_path / "portable", images), exact).values()) < 1e-5


@pytest.mark.parametrize("image_size", [0, 33, -8])
def test_refuses_a_size_that_the_stride_does_not_divide(small_config, tmp_path, image_size):
  with pytest.raises(ValueError, match=f"multiple of 8 above 0. Received: {image_size}"):
    save_portable(Encoder(small_config), tmp_path / "portable", image_size=image_size)
