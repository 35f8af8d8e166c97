from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.formats import tflite
from sbae_tf.formats.difference import largest_differences


def _tensors(content: bytes) -> list[dict]:
  return tf.lite.Interpreter(model_content=content).get_tensor_details()


def _signature(content: bytes) -> tuple[dict, dict]:
  runner = tf.lite.Interpreter(model_content=content).get_signature_runner("serving_default")
  return runner.get_input_details(), runner.get_output_details()


@pytest.fixture(scope="module")
def float32(portable) -> bytes:
  return tflite.convert(portable)


@pytest.fixture(scope="module")
def int8(portable) -> bytes:
  rng = np.random.default_rng(1)
  # From black to white, smooth and noisy: what ranges are taken from.
  photographs = rng.integers(0, 256, (16, 4, 4, 3)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
  return tflite.convert(portable, quantize="int8", photographs=photographs)


def test_gives_the_same_numbers(float32, images, expected):
  differences = largest_differences(tflite.run(float32, images), expected)
  assert max(differences.values()) < 1e-4, differences


@pytest.mark.parametrize("count", [1, 3])
def test_takes_any_number_of_photographs(float32, int8, images, expected, count):
  found = tflite.run(float32, images[:count])
  part = {name: value[:count] for name, value in expected.items()}
  assert max(largest_differences(found, part).values()) < 1e-4
  assert tflite.run(int8, images[:count])["embedding"].shape == part["embedding"].shape


def test_takes_uint8_and_gives_float32_in_every_format(float32, int8, encoder):
  for content in (float32, int8):
    inputs, outputs = _signature(content)
    assert {name: detail["dtype"] for name, detail in inputs.items()} == {"images": np.uint8}
    assert set(outputs) == {*encoder.feature_names, "embedding"}
    assert {detail["dtype"] for detail in outputs.values()} == {np.float32}


def test_float16_is_half_the_size_and_near(portable, float32, images, expected):
  content = tflite.convert(portable, quantize="float16")
  assert len(content) < 0.65 * len(float32)
  differences = largest_differences(tflite.run(content, images), expected)
  assert 1e-6 < max(differences.values()) < 1e-2, differences


def test_int8_computes_in_8_bits_and_is_near(float32, int8, images, expected):
  assert len(int8) < 0.5 * len(float32)
  kernels = [t for t in _tensors(int8) if t["dtype"] == np.int8 and len(t["shape"]) == 4]
  assert len(kernels) >= 10  # Kernels and maps of two towers of five layers.
  differences = largest_differences(tflite.run(int8, images), expected)
  assert 1e-4 < max(differences.values()) < 0.2, differences


def test_int8_converts_colors_in_float32(int8, encoder):
  colors = [t for t in _tensors(int8) if "color_conversion" in t["name"]]
  if encoder.color.name == "lab":
    assert len(colors) > 5
  assert not [t["name"] for t in colors if t["dtype"] == np.int8]


def test_refuses_what_it_cannot_do(portable):
  with pytest.raises(ValueError, match="quantize.*int4"):
    tflite.convert(portable, quantize="int4")
  with pytest.raises(ValueError, match="photographs.*int8"):
    tflite.convert(portable, quantize="int8")
