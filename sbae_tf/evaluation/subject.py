"""What is evaluated: a SavedModel of anybody's, or a live encoder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sbae_tf.encoder import Encoder
from sbae_tf.feature_extractor import FeatureExtractor

Features = Mapping[str, tf.Tensor]


class Subject:
  """An encoder under evaluation.

  Attributes:
    name: what reports call it.
    image_size: S, the side of the photographs that it is shown.
    planes: of 8 bits that they have: 3, and those of bands that lie beside them.
    shapes: of a photograph's features, by name: (h, w, C) of a map, (C,) of a vector.
    checksum: hexadecimal, of everything that decides what it computes.
    encoder: the live encoder, where it is one; None for a SavedModel.
    path: the SavedModel's folder; None for a live encoder.
  """

  def __init__(
    self,
    *,
    name: str,
    image_size: int,
    shapes: Mapping[str, tuple[int, ...]],
    checksum: str,
    features: Callable[[tf.Tensor], Features],
    trainable: Any,
    encoder: Encoder | None = None,
    path: str | None = None,
    planes: int = 3,
  ) -> None:
    """For `of_saved_model` and `of_encoder`.

    Args:
      name: see the attributes, as for those that follow.
      image_size: S.
      shapes: by name.
      checksum: hexadecimal.
      features: (B, S, S, 3) uint8 to named features, without training.
      trainable: called with (images, training=) and with `variables` and `trainable_variables`;
        None where the encoder cannot be trained.
      encoder: the live encoder.
      path: the SavedModel's folder.
      planes: of the photographs.
    """
    self.planes = planes
    self.name, self.image_size, self.shapes, self.checksum = name, image_size, shapes, checksum
    self.encoder, self.path = encoder, path
    self._features, self._trainable = features, trainable

  @property
  def maps(self) -> tuple[str, ...]:
    """Names of the feature maps, from the first to the last by the number in their names."""
    return tuple(sorted((n for n, s in self.shapes.items() if len(s) == 3), key=_natural))

  def features(self, images: tf.Tensor) -> Features:
    """Named features of photographs, float32, without training.

    Args:
      images: (B, S, S, 3) uint8.

    Returns:
      (B, *shapes[name]) under each name.
    """
    return self._features(images)

  @contextlib.contextmanager
  def training(self) -> Iterator[Any]:
    """The encoder to be trained within a block; afterwards its weights are what they were.

    Yields:
      Called with (B, S, S, 3) uint8 and `training=`, it returns named features; it has `variables`
      and `trainable_variables`.

    Raises:
      ValueError: it cannot be trained.
    """
    if self._trainable is None:
      raise ValueError(
        f"{self.name} cannot be fine-tuned: its SavedModel is not callable with `training=`, or "
        "has no trainable variables."
      )
    before = [variable.numpy() for variable in self._trainable.variables]
    try:
      yield self._trainable
    finally:
      for variable, value in zip(self._trainable.variables, before):
        variable.assign(value)


def of_encoder(
  encoder: Encoder, *, name: str = "encoder", image_size: int | None = None
) -> Subject:
  """A live encoder as a subject.

  Args:
    encoder: is computed with as it is at the time.
    name: what reports call it.
    image_size: S; None for that of its configuration.
  """
  side = image_size or encoder.config.data.image_size

  images = tf.TensorSpec((None, side, side, encoder.color.planes), tf.uint8)

  @tf.function(input_signature=[images], autograph=False)
  def features(images: tf.Tensor) -> Features:
    return encoder(images, training=False)

  digest = hashlib.sha256(str(encoder.config).encode())
  for variable in encoder.variables:
    digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
  return Subject(
    name=name,
    image_size=side,
    shapes=_shapes(features, images),
    checksum=digest.hexdigest(),
    features=features,
    trainable=encoder,
    encoder=encoder,
    planes=encoder.color.planes,
  )


def of_saved_model(
  path: str | os.PathLike[str],
  *,
  name: str | None = None,
  signature: str = "serving_default",
  image_size: int | None = None,
  planes: int = 3,
) -> Subject:
  """A SavedModel as a subject, whoever wrote it.

  Args:
    path: its folder.
    name: what reports call it; None for the path.
    signature: from uint8 photographs to named features; a tower alone by its own. Only the whole
      one can be fine-tuned.
    image_size: S; None for that of its configuration, or the only one that it takes.
    planes: of the photographs that it takes.

  Raises:
    ValueError: there is none, or its signature is another.
  """
  path = os.fspath(path)
  extractor = FeatureExtractor(
    path, features=None, maps=True, signature=signature, image_size=image_size, planes=planes
  )
  loaded = extractor.loaded
  whole = signature == "serving_default" and callable(loaded)
  trainable = loaded if whole and getattr(loaded, "trainable_variables", None) else None
  return Subject(
    name=name or path,
    image_size=extractor.image_size,
    shapes=extractor.shapes,
    checksum=hashlib.sha256(f"{extractor.checksum} {signature}".encode()).hexdigest(),
    features=extractor,
    trainable=trainable,
    path=path,
    planes=planes,
  )


def _shapes(
  features: Callable[[tf.Tensor], Features], images: tf.TensorSpec
) -> dict[str, tuple[int, ...]]:
  found = features(tf.zeros((1, *images.shape[1:]), tf.uint8))
  return {name: tuple(value.shape[1:]) for name, value in found.items()}


def _natural(name: str) -> list[tuple[int, str]]:
  """Sorts `conv2` before `conv10`."""
  return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
