"""Trains a network and a linear classifier on it together, once or again and again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sbae_tf.evaluation.batches import Batches
from sbae_tf.evaluation.epochs import Epoch, Epochs
from sbae_tf.evaluation.labelled import Labelled
from sbae_tf.evaluation.layer_rates import LayerRates
from sbae_tf.evaluation.logistic_regression import top_k_accuracy
from sbae_tf.evaluation.pooled_classifier import PooledClassifier
from sbae_tf.evaluation.subject import Subject


class FineTuner:
  """An encoder and a classifier on it, trained from the same start as often as wanted.

  ```python
  with subject.training() as encoder:
    tuner = FineTuner(subject, encoder, classes=10)
    tuner.fit(train, steps=200, steps_per_epoch=10, seed=0)
    logits = tuner.logits_of(test)
  ```

  What it computes is compiled once, for all calls of `fit`.

  Attributes:
    layers: names of the features that the classifier sees.
    image_size: S, the side of the photographs.
    rates: the optimizers.
  """

  def __init__(
    self,
    subject: Subject,
    encoder: Any,
    *,
    classes: int,
    layers: Sequence[str] = (),
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    layer_decay: float = 1.0,
    grid: int = 3,
    crop_area: float = 0.5,
  ) -> None:
    """Makes the classifier and the optimizers.

    Args:
      subject: whose encoder it is.
      encoder: what `subject.training()` yields; its weights are changed.
      classes: K, at least 2.
      layers: names of the features that the classifier sees; none for all maps, or, where there is
        no map, all vectors.
      batch_size: B, of training.
      learning_rate: the classifier's in the first epoch; a tenth of it is taken away each epoch.
      layer_decay: by which the encoder's are smaller, see `LayerRates`.
      grid: the classifier sees means of each map over so many cells a side, see `pool`.
      crop_area: the smallest part of a photograph's area that a random crop keeps, in (0, 1].

    Raises:
      ValueError: an argument is out of range, a layer is unknown, or the encoder does not return it
        when it is called.

    Reference: Budhkar, Casabuena and Iyengar 2019, for the classifier on all layers and the decay.
    The grid is ours.
    """
    check_options(
      batch_size=batch_size,
      learning_rate=learning_rate,
      layer_decay=layer_decay,
      grid=grid,
      crop_area=crop_area,
    )
    self.layers = _chosen(subject, layers)
    self.image_size = subject.image_size
    self._encoder = encoder
    self._batches = Batches(image_size=self.image_size, batch_size=batch_size, crop_area=crop_area)
    self._classifier = PooledClassifier(self._shapes(subject), grid=grid, classes=classes)
    self.rates = LayerRates(
      self._classifier.trainable_variables,
      encoder.trainable_variables,
      maps=subject.maps,
      decay=layer_decay,
    )
    weights = [*encoder.variables, *self._classifier.variables]
    self._epochs = Epochs(weights, self.rates, learning_rate=learning_rate)
    side, self.planes = self.image_size, subject.planes
    images = tf.TensorSpec((None, side, side, self.planes), tf.uint8)
    labels = tf.TensorSpec((None,), tf.int32)
    self._train = tf.function(self._step, input_signature=[images, labels], autograph=False)
    self._measure = tf.function(self.logits, input_signature=[images], autograph=False)

  @property
  def modules(self) -> dict[str, Any]:
    """What holds the variables and files that `logits` needs, by name: for a SavedModel."""
    return {"encoder": self._encoder, "classifier": self._classifier}

  def logits(self, images: tf.Tensor) -> tf.Tensor:
    """Scores of the classes, without training; runs eagerly and in graphs.

    Args:
      images: (B, S, S, 3) uint8.

    Returns:
      (B, K) float32, unnormalized.
    """
    return self._classifier(self._encoder(images, training=False), training=False)

  def logits_of(self, data: Labelled) -> np.ndarray:
    """Scores of the classes for the central squares of photographs.

    Args:
      data: N photographs.

    Returns:
      (N, K) float32.

    Raises:
      ValueError: one of them cannot be read.
    """
    return np.concatenate([self._measure(images).numpy() for images in self._batches.central(data)])

  def fit(
    self,
    train: Labelled,
    *,
    steps: int,
    steps_per_epoch: int,
    seed: int,
    validation: Labelled | None = None,
    patience: int = 0,
    say: Callable[[Epoch], None] = lambda epoch: None,
  ) -> tuple[list[Epoch], Epoch | None]:
    """Trains from the start: the encoder as it was given, a classifier that knows nothing.

    Args:
      train: N photographs. Fewer than a batch are repeated to fill it, each time cut anew.
      steps: in all, at least 1.
      steps_per_epoch: after so many the learning rate falls, and `validation` is looked at.
      seed: of order, crops and flips.
      validation: photographs whose accuracy chooses the epoch; None keeps the last one.
      patience: ends after so many epochs that are not better than the best; 0 does not.
      say: told each epoch.

    Returns:
      The epochs, and which of them has left its weights, the best, the first of equals; None
      without `validation`: the last.

    Raises:
      ValueError: a photograph cannot be read.
      NonFiniteLossError: the loss is infinite or not a number.
    """
    self._epochs.restart()
    batches = self._batches.training(train, steps=steps, seed=seed)
    return self._epochs.run(
      (self._train(batch["image"], batch["label"]) for batch in batches),
      steps=steps,
      steps_per_epoch=steps_per_epoch,
      judge=lambda epoch: self._judged(epoch, validation),
      patience=patience,
      say=say,
    )

  def _judged(self, epoch: Epoch, validation: Labelled | None) -> Epoch:
    """The epoch with what the validation photographs say of it."""
    if validation is None:
      return epoch
    logits = self.logits_of(validation)
    return dataclasses.replace(
      epoch,
      accuracy=top_k_accuracy(logits, validation.labels, 1),
      validation_loss=float(_cross_entropy(validation.labels, logits)),
    )

  def _step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """A step of the optimizers; the loss before it, () float32."""
    with tf.GradientTape() as tape:
      features = self._encoder(images, training=True)
      loss = _cross_entropy(labels, self._classifier(features, training=True))
    self.rates.minimize(loss, tape)
    return loss

  def _shapes(self, subject: Subject) -> dict[str, tuple[int, ...]]:
    """Of the classifier's features of a photograph, as the encoder gives them when it is called."""
    side = self.image_size
    try:
      features = self._encoder(tf.zeros((1, side, side, subject.planes), tf.uint8), training=False)
      return {name: tuple(features[name].shape[1:]) for name in self.layers}
    except (tf.errors.OpError, AttributeError, KeyError, TypeError, ValueError) as error:
      reason = " ".join(str(error).split())[:200]
      raise ValueError(
        f"{subject.name} cannot be fine-tuned: called with photographs and `training=`, it does "
        f"not return {', '.join(self.layers)} by name ({reason})."
      ) from error


def check_options(
  *, batch_size: int, learning_rate: float, layer_decay: float, crop_area: float, grid: int = 1
) -> None:
  """Raises ValueError where an argument of `FineTuner` is out of range."""
  for name, value in (("learning_rate", learning_rate), ("layer_decay", layer_decay)):
    if not 0 < value < math.inf:
      raise ValueError(f"Expected `{name}` above 0. Received: {value}")
  if not 0 < crop_area <= 1:
    raise ValueError(f"Expected `crop_area` above 0, at most 1. Received: {crop_area}")
  for name, value, least in (("batch_size", batch_size, 2), ("grid", grid, 1)):
    if value < least:
      raise ValueError(f"Expected `{name}` of {least} or more. Received: {value}")


def _chosen(subject: Subject, layers: Sequence[str]) -> tuple[str, ...]:
  unknown = [name for name in layers if name not in subject.shapes]
  if unknown:
    raise ValueError(
      f"Expected `layers` of {', '.join(sorted(subject.shapes))}. Received: {', '.join(unknown)}"
    )
  return tuple(dict.fromkeys(layers)) or subject.maps or tuple(sorted(subject.shapes))


def _cross_entropy(labels: tf.Tensor | np.ndarray, logits: tf.Tensor | np.ndarray) -> tf.Tensor:
  """Mean over photographs, () float32, in nats."""
  return tf.reduce_mean(
    tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
  )
