"""Writes an encoder or a colorizer in any format, once it was seen to give the right numbers."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from sbae_tf import pairing
from sbae_tf.colorizer import Colorizer
from sbae_tf.data import photographs
from sbae_tf.data.pipeline import evaluation_dataset
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.sources import open_source
from sbae_tf.encoder import Encoder
from sbae_tf.export import export_colorizer, export_encoder, load_encoder
from sbae_tf.export_request import Request
from sbae_tf.failures import RunError
from sbae_tf.formats import onnx, tflite
from sbae_tf.formats.difference import largest_differences
from sbae_tf.formats.portable import save_portable
from sbae_tf.model_card import UNKNOWN, Provenance
from sbae_tf.rescaling import rescale_encoder
from sbae_tf.run_folder import folder_aside, write_aside
from sbae_tf.trained import load_model
from sbae_tf.writing import writing

# The largest difference from the SavedModel, or from the live model for a SavedModel, as a part of
# a feature's largest number. 8 bits are told and not held to anything: what they cost depends on
# the encoder, and a probe tells what it matters.
_TOLERANCES = {"none": 1e-4, "float16": 1e-2, "int8": None}
# Of a SavedModel that computes in 16 bits itself: bfloat16 rounds to 8 bits after every layer.
_TOLERANCE_16_BITS = 0.05
_TOLERANCE_LEVELS = 1.0  # Of a colorizer's 256: rounding.

_CHECKED = 32  # Photographs.
_CALIBRATED = 200  # Others, of which ranges or rates are taken.


class DifferenceError(RunError):
  """What was converted gives other numbers, and was not written."""


@dataclasses.dataclass(frozen=True)
class Written:
  """What an export made, and how it was checked.

  Attributes:
    size: of the file or folder, in bytes.
    checked_on: the photographs, in words.
    runtime: what it was run by; empty: it was not checked.
    differences: each output's largest difference, as a part of its largest number; of a colorizer
      in levels of 256.
    tolerance: the largest that is no error; None: none is.
    rates: the layers' learning rates before they were scaled, as parts of their geometric mean;
      empty where they were not.
  """

  size: int
  checked_on: str
  runtime: str
  differences: Mapping[str, float]
  tolerance: float | None
  rates: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Photographs:
  """Photographs (N, S, S, 3) uint8, no one twice."""

  description: str
  checked: np.ndarray
  calibrating: np.ndarray


def export(request: Request) -> Written:
  """Exports, checks, and only then gives the file its name.

  Args:
    request: what the flags ask for.

  Raises:
    ValueError: something is missing, damaged, or in the way.
    DifferenceError: the numbers are others than those of the SavedModel. Nothing was written.
    RunError: tf2onnx or onnxruntime failed.
    OSError, WriteError: the disk is full, or the like.
  """
  if request.format == "onnx":
    onnx.require("tf2onnx", python=request.onnx_python)
  out = pathlib.Path(request.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  if request.format == "colorizer":
    return _export_colorizer(request, out)
  with tempfile.TemporaryDirectory(prefix="sbae_tf_export_") as temporary:
    scratch = pathlib.Path(temporary)
    if request.encoder:
      saved_model = pathlib.Path(request.encoder)
      encoder, provenance = load_encoder(saved_model), _provenance(saved_model)
    else:
      model, provenance = load_model(request.workdir, checkpoint=request.checkpoint)
      saved_model, encoder = scratch / "encoder", model.encoder
      if request.format != "saved_model":
        with writing(scratch, tf.errors.OpError):
          export_encoder(encoder, saved_model, provenance=provenance)
    if request.format == "saved_model":
      return _export_saved_model(request, encoder, provenance, out)
    return _convert(request, encoder, saved_model, out, scratch=scratch)


def _export_saved_model(
  request: Request, encoder: Encoder, provenance: Provenance, out: pathlib.Path
) -> Written:
  taken = _take(request, encoder, image_size=encoder.config.data.image_size)
  features = encoder(taken.checked)
  expected = {name: features[name].numpy() for name in sorted(features)}
  rates: Mapping[str, float] = {}
  if request.rescale:
    rates = rescale_encoder(encoder, taken.calibrating)
    provenance = dataclasses.replace(provenance, rescaled=True)
  with folder_aside(out) as aside:
    with writing(out, tf.errors.OpError):
      export_encoder(encoder, aside, provenance=provenance)
    differences = largest_differences(_serve(aside, taken.checked), expected)
    tolerance = _tolerance(request, encoder)
    _hold(differences, tolerance)
  return Written(_size(out), taken.description, "TensorFlow", differences, tolerance, rates)


def _export_colorizer(request: Request, out: pathlib.Path) -> Written:
  model, provenance = load_model(request.workdir, checkpoint=request.checkpoint)
  colorizer = Colorizer(model)  # Before all else: there may be no branch to colorize with.
  taken = _take(request, model.encoder, image_size=model.config.data.image_size)
  with folder_aside(out) as aside:
    with writing(out, tf.errors.OpError):
      export_colorizer(model, aside, provenance=provenance)
    signature = tf.saved_model.load(str(aside)).signatures["colorize"]
    rgb = signature(images=tf.constant(taken.checked))["rgb"].numpy()
    expected = colorizer(taken.checked).numpy()
    differences = {"rgb": float(np.abs(rgb.astype(np.int32) - expected).max())}
    _hold(differences, _TOLERANCE_LEVELS, unit=" levels")
  return Written(_size(out), taken.description, "TensorFlow", differences, _TOLERANCE_LEVELS)


def _convert(
  request: Request,
  encoder: Encoder,
  saved_model: pathlib.Path,
  out: pathlib.Path,
  *,
  scratch: pathlib.Path,
) -> Written:
  """Writes TFLite or ONNX."""
  side = request.image_size or encoder.config.data.image_size
  if side % encoder.stride:
    raise ValueError(f"Expected --image_size a multiple of {encoder.stride}. Received: {side}.")
  taken = _take(request, encoder, image_size=side)
  portable, converted = scratch / "portable", scratch / "converted"
  save_portable(encoder, portable, image_size=side)
  found: Mapping[str, np.ndarray] = {}
  if request.format == "tflite":
    content = tflite.convert(portable, quantize=request.quantize, photographs=taken.calibrating)
    runtime, found = "TensorFlow Lite", tflite.run(content, taken.checked)
  else:
    onnx.convert(portable, converted, python=request.onnx_python)
    content, runtime = converted.read_bytes(), ""
    if onnx.has("onnxruntime", python=request.onnx_python):
      runtime = "onnxruntime"
      found = onnx.run(converted, taken.checked, python=request.onnx_python)
  differences, tolerance = {}, _tolerance(request, encoder)
  if runtime:
    differences = largest_differences(found, _serve(saved_model, taken.checked))
    _hold(differences, tolerance)
  write_aside(out, content)
  return Written(_size(out), taken.description, runtime, differences, tolerance)


def _serve(saved_model: pathlib.Path, images: np.ndarray) -> dict[str, np.ndarray]:
  """Features by the SavedModel."""
  signature = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
  features = signature(images=tf.constant(images))
  return {name: features[name].numpy() for name in sorted(features)}


def _tolerance(request: Request, encoder: Encoder) -> float | None:
  tolerance = _TOLERANCES[request.quantize]
  if tolerance is None or encoder.config.precision == "float32":
    return tolerance
  return max(tolerance, _TOLERANCE_16_BITS)


def _hold(differences: Mapping[str, float], tolerance: float | None, *, unit: str = "") -> None:
  """Raises where a difference is too large, or no number."""
  for name, difference in differences.items():
    if not np.isfinite(difference) or (tolerance is not None and difference > tolerance):
      of = unit or " of its largest number"
      raise DifferenceError(
        f"`{name}` differs by {difference:.2g}{of}, and not by {tolerance} at most. Nothing was "
        "written. Please report it, with the configuration."
      )


def _take(request: Request, encoder: Encoder, *, image_size: int) -> _Photographs:
  """Photographs to check on, and others to calibrate by, evenly over what there is."""
  calibrated = _CALIBRATED if request.quantize == "int8" or request.rescale else 0
  wanted = _CHECKED + calibrated
  if request.data:
    # Weights say how often training sees each part; here every photograph counts once.
    beside = pairing.beside(encoder.config, pattern=request.beside or None)
    source = dataclasses.replace(open_source(request.data, beside=beside), shares=())
  elif encoder.color.bands:
    raise ValueError("Expected --data: the encoder takes bands beside photographs to check it on.")
  else:
    source = photographs.build("heldout")
  indices = np.unique(np.linspace(0, len(source) - 1, wanted).astype(np.int64))
  dataset = evaluation_dataset(
    source.subset(indices, source.description),
    batch_size=len(indices),
    image_size=image_size,
    skipped=Skipped(len(indices), limit=1.0),  # Those that can be read do.
    max_pixels=encoder.config.data.max_pixels,
  )
  nothing = np.zeros((0, image_size, image_size, encoder.color.planes), np.uint8)
  images = np.concatenate([nothing, *(batch["image"].numpy() for batch in dataset)])
  least = 2 if calibrated else 1
  if len(images) < least:
    raise ValueError(
      f"Expected {least} or more photographs in --data that can be read. Received: {len(images)} "
      f"of {source.description}."
    )
  checked = np.zeros(len(images), bool)
  checked[:: wanted // _CHECKED] = True
  description = f"{checked.sum()} of {source.description}"
  return _Photographs(description, images[checked], images[~checked])


def _provenance(saved_model: pathlib.Path) -> Provenance:
  """Where the weights of a SavedModel come from, as far as it says."""
  try:
    text = (saved_model / "assets" / "training.json").read_text(encoding="utf-8")
    return Provenance(**json.loads(text))
  except (OSError, ValueError, TypeError):
    return UNKNOWN


def _size(path: pathlib.Path) -> int:
  """Bytes of a file, or of all files in a folder."""
  files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
  return sum(os.stat(file).st_size for file in files)
