"""Features of photographs from any SavedModel that takes uint8 and returns them by name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from sbae_tf.data.record_manifest import sha256_of

DTYPES = ("float32", "float16")

_CONFIG = "assets/config.json"


class FeatureExtractor:
  """Chosen features of a SavedModel's signature: float maps are averaged over their pixels.

  Attributes:
    path: the SavedModel's folder.
    signature: the signature.
    maps: whether maps stay maps.
    image_size: S, the side of the photographs in pixels.
    dtype: of the features, one of `DTYPES`.
    shapes: of a photograph's features, by name: (C,), of whole maps (h, w, C).
    checksum: SHA-256, hexadecimal, of the SavedModel's graph, weights and assets.
    loaded: the SavedModel as TensorFlow loads it.
  """

  def __init__(
    self,
    path: str,
    *,
    features: Sequence[str] | None = ("embedding",),
    maps: bool = False,
    dtype: str = "float32",
    signature: str = "serving_default",
    image_size: int | None = None,
    planes: int = 3,
  ) -> None:
    """Loads a SavedModel, and runs it once.

    Args:
      path: its folder, any that TensorFlow reads. Whoever wrote it: the signature takes one uint8
        (B, H, W, 3) of any B, and returns features, (B, C) or (B, h, w, C), by name.
      features: which, at least one; None for all that are vectors or maps.
      maps: whether maps stay maps; else the mean over their pixels is taken.
      dtype: of the features, one of `DTYPES`.
      signature: which, such as `L` for one tower of an encoder of this package.
      image_size: S; None for that of the SavedModel's `assets/config.json`, or the only one that
        its signature takes.
      planes: P, of the photographs: 3, and those of bands that lie beside them.

    Raises:
      ValueError: it is no such SavedModel, a name is unknown (lists the right ones), or it takes
        no photographs of that size.
    """
    if dtype not in DTYPES:
      raise ValueError(f"Expected `dtype` one of {', '.join(DTYPES)}. Received: {dtype!r}")
    self.path, self.signature, self.maps, self.dtype = path, signature, maps, dtype
    self.loaded = _load(path)  # Kept, for it owns the weights.
    self._function = _signature(self.loaded, path, signature)
    self._input = _input(self._function, path, signature, planes)
    self.image_size = image_size or _image_size(path, self._input)
    outputs = self._function.structured_outputs
    if features is None:
      features = [name for name in sorted(outputs) if _may_be_feature(outputs[name])]
    unknown = [name for name in features if name not in outputs]
    if unknown or not features:
      raise ValueError(
        f"Expected features of {', '.join(sorted(outputs))}. Received: {', '.join(unknown)}. "
        "Change --features."
      )
    self._features = tuple(dict.fromkeys(features))
    side = self.image_size
    self._images = tf.TensorSpec((None, side, side, planes), tf.uint8)
    if not self._input.shape.is_compatible_with(self._images.shape):
      raise ValueError(
        f"The SavedModel in {path} takes no photographs of {side} x {side} pixels, but "
        f"{self._input.shape}. Give another --image_size."
      )
    self._extract = tf.function(self._chosen, input_signature=[self._images])
    self.shapes = self._try(path)
    self.checksum = _checksum(path)

  def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """The features of photographs.

    Args:
      images: (B, S, S, P) uint8.

    Returns:
      (B, *shapes[name]) of `dtype` under each name.
    """
    return self._extract(images)

  @tf.autograph.experimental.do_not_convert
  def _chosen(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    outputs = self._function(**{self._input.name: images})
    chosen = {name: outputs[name] for name in self._features}
    for name, value in chosen.items():
      if value.shape.rank == 4 and not self.maps:
        chosen[name] = tf.reduce_mean(tf.cast(value, tf.float32), axis=(1, 2))
    return {name: tf.cast(value, self.dtype) for name, value in chosen.items()}

  def _try(self, path: str) -> dict[str, tuple[int, ...]]:
    """The features' shapes: those of a photograph, for a signature need not tell them."""
    side = self.image_size
    try:
      features = self(tf.zeros((1, *self._images.shape[1:]), tf.uint8))
    except (tf.errors.OpError, ValueError) as error:
      raise ValueError(
        f"The SavedModel in {path} takes no photographs of {side} x {side} pixels "
        f"({_reason(error)}). Give another --image_size."
      ) from error
    for name, value in features.items():
      if value.shape.rank not in (2, 4) or value.shape[0] != 1:
        raise ValueError(
          f"Expected feature '{name}' (B, C) or (B, h, w, C). Received: {value.shape} for one "
          "photograph. Change --features."
        )
    return {name: tuple(value.shape[1:]) for name, value in features.items()}


def _may_be_feature(spec: tf.TensorSpec) -> bool:
  return spec.dtype.is_floating and spec.shape.rank in (None, 2, 4)


def _reason(error: Exception) -> str:
  """An error's last line: TensorFlow tells before where in a graph it happened, and after."""
  message = str(getattr(error, "message", None) or error)
  lines = re.sub(r"\[\[\{\{.*|\[Op:.*", "", message).strip().splitlines()
  return " ".join(lines[-1].split()) if lines else type(error).__name__


def _load(path: str) -> Any:
  inside = tf.io.gfile.join(path, "encoder")
  if not tf.io.gfile.exists(tf.io.gfile.join(path, "saved_model.pb")):
    there = tf.io.gfile.exists(tf.io.gfile.join(inside, "saved_model.pb"))
    hint = f" Did you mean {inside}?" if there else ""
    raise ValueError(f"There is no SavedModel in {path}: expected its saved_model.pb.{hint}")
  try:
    return tf.saved_model.load(path)
  # IndexError where a file of weights ends too early.
  except (tf.errors.OpError, OSError, IndexError, ValueError) as error:
    message = " ".join(str(error).split())
    raise ValueError(f"Cannot load the SavedModel in {path}: {message}") from error


def _signature(loaded: Any, path: str, name: str) -> Any:
  signatures = getattr(loaded, "signatures", {})
  if name not in signatures:
    known = ", ".join(sorted(signatures)) or "none"
    raise ValueError(
      f"The SavedModel in {path} has no signature '{name}'. It has: {known}. Change --signature."
    )
  return signatures[name]


def _input(function: Any, path: str, name: str, planes: int) -> tf.TensorSpec:
  """The signature's only input, checked to be photographs."""
  positional, named = function.structured_input_signature
  specs = [
    tf.TensorSpec(spec.shape, spec.dtype, name=key) for key, spec in named.items()
  ]  # The spec's own name may be another.
  shape = specs[0].shape if len(specs) == 1 and not positional else None
  wanted = [None, None, None, planes]
  if shape is None or specs[0].dtype != tf.uint8 or not shape.is_compatible_with(wanted):
    found = "; ".join(f"{spec.name} {spec.shape} {spec.dtype.name}" for spec in specs)
    raise ValueError(
      f"Expected signature '{name}' of the SavedModel in {path} to take photographs, uint8 "
      f"(B, H, W, {planes}). It takes: {found}. Change --signature."
    )
  if shape.rank is not None and shape[0] is not None:
    raise ValueError(
      f"Expected signature '{name}' of the SavedModel in {path} to take batches of any size. It "
      f"takes {shape[0]} photographs. Export it again, with None for that."
    )
  return specs[0]


def _image_size(path: str, spec: tf.TensorSpec) -> int:
  """The side in the configuration that lies inside, or the only one that fits."""
  config = tf.io.gfile.join(path, _CONFIG)
  try:
    with tf.io.gfile.GFile(config, "rb") as file:
      return int(json.loads(file.read())["data"]["image_size"])
  except (tf.errors.OpError, ValueError, KeyError, TypeError):
    pass  # Written by others.
  side = spec.shape[1] if spec.shape.rank == 4 else None
  if side is None:
    raise ValueError(f"The SavedModel in {path} does not tell its image size. Give --image_size.")
  return side


def _checksum(path: str) -> str:
  """One of everything that decides what the SavedModel computes."""
  digest = hashlib.sha256()
  for file in sorted(_files(path)):
    relative = file[len(path) :].lstrip("/")
    digest.update(f"{relative}\0{sha256_of(file)}\n".encode())
  return digest.hexdigest()


def _files(path: str) -> Iterator[str]:
  yield tf.io.gfile.join(path, "saved_model.pb")
  for part in ("variables", "assets"):
    for folder, _, names in tf.io.gfile.walk(tf.io.gfile.join(path, part)):
      yield from (tf.io.gfile.join(folder, name) for name in names)
