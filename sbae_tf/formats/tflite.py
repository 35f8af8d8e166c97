"""TensorFlow Lite: phones and small devices; also in 16 or 8 bits."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.formats.portable import COLOR_SCOPE

QUANTIZATIONS = ("none", "float16", "int8")


def convert(
  saved_model: str | os.PathLike[str],
  *,
  quantize: str = "none",
  photographs: np.ndarray | None = None,
) -> bytes:
  """Converts an encoder.

  Args:
    saved_model: folder of what `save_portable` wrote.
    quantize: `none`; `float16`: weights in 16 bits, for half the size; `int8`: weights and feature
      maps in 8 bits, for a quarter. Input and output stay uint8 and float32, and colors are
      converted in float32: light and its cube root have too wide a range for 8 bits.
    photographs: for `int8`, (N, S, S, 3) uint8 of the kind that the encoder will see; the range of
      each map is taken from them. One or two hundred do.

  Returns:
    The file. Its signature `serving_default` takes `images`, (B, S, S, 3) uint8; any B, after
    `resize_tensor_input`, which signature runners call by themselves.

  Raises:
    ValueError: `quantize` is unknown, or `int8` comes without photographs.
  """
  if quantize not in QUANTIZATIONS:
    raise ValueError(f"Expected `quantize` one of {QUANTIZATIONS}. Received: {quantize!r}.")
  calibrating = np.zeros((0,)) if photographs is None else photographs
  if quantize == "int8" and not len(calibrating):
    raise ValueError("Expected `photographs` for `quantize` 'int8'. Received none.")
  converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
  if quantize == "none":
    return _quietly(converter)
  converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if quantize == "float16":
    converter.target_spec.supported_types = [tf.float16]
    return _quietly(converter)

  def samples() -> Iterator[Mapping[str, np.ndarray]]:
    for photograph in calibrating:
      yield {"images": photograph[np.newaxis]}

  converter.representative_dataset = samples
  with _quiet():
    debugger = tf.lite.experimental.QuantizationDebugger(converter=converter)
    debugger.options = tf.lite.experimental.QuantizationDebugOptions(
      denylisted_nodes=_color_nodes(debugger.calibrated_model),
      # Nodes of several outputs are not found by name. Only the conversion of colors has this one.
      denylisted_ops=["UNPACK"],
    )
    return bytes(debugger.get_nondebug_quantized_model())


def run(content: bytes, images: np.ndarray) -> dict[str, np.ndarray]:
  """Features of photographs, by the interpreter.

  Args:
    content: what `convert` gave.
    images: (B, S, S, 3) uint8.

  Returns:
    Every feature, float32, by name.
  """
  interpreter = tf.lite.Interpreter(model_content=content)
  return dict(interpreter.get_signature_runner("serving_default")(images=images))


def _quietly(converter: tf.lite.TFLiteConverter) -> bytes:
  with _quiet():
    return bytes(converter.convert())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Hides what converters print, also from native code: statistics, by the page.

  It is printed after all where the block fails.
  """
  sys.stdout.flush()
  sys.stderr.flush()
  with tempfile.TemporaryFile() as captured, runtime.quiet_logs():
    saved = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    try:
      for descriptor in saved:
        os.dup2(captured.fileno(), descriptor)
      yield
    except BaseException:
      captured.seek(0)
      os.write(saved[2], captured.read())
      raise
    finally:
      for descriptor, copy in saved.items():
        os.dup2(copy, descriptor)
        os.close(copy)


def _color_nodes(content: bytes) -> list[str]:
  """Names of the tensors that the conversion of colors is made of."""
  details = tf.lite.Interpreter(model_content=content).get_tensor_details()
  return [detail["name"] for detail in details if COLOR_SCOPE in detail["name"]]
