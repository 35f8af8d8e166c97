"""Trains a network and a head on it to tell the class of every pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sbae_tf.evaluation import windows
from sbae_tf.evaluation.confusion import Confusion
from sbae_tf.evaluation.epochs import Epoch, Epochs
from sbae_tf.evaluation.label_classes import IGNORED
from sbae_tf.evaluation.layer_rates import LayerRates
from sbae_tf.evaluation.score_head import ScoreHead
from sbae_tf.evaluation.segmented import Segmented
from sbae_tf.evaluation.subject import Subject


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How a network is trained on dense labels.

  Attributes:
    layers: names of the maps that are scored; none for all.
    batch_size: B.
    learning_rate: the head's in the first epoch; a tenth of it is taken away each epoch.
    layer_decay: by which the encoder's are smaller, see `LayerRates`.
    frozen: whether the encoder stays as it is, and only the head learns.
    side: S, of the random windows; None for the photographs' side of the subject.
    scales: by which photographs are resized before, lowest and highest factor.
  """

  layers: tuple[str, ...] = ()
  batch_size: int = 16
  learning_rate: float = 1e-3
  layer_decay: float = 1.0
  frozen: bool = False
  side: int | None = None
  scales: tuple[float, float] = (0.5, 2.0)


class Segmenter:
  """An encoder and a head on it, trained from the same start as often as wanted.

  ```python
  with subject.training() as encoder:
    segmenter = Segmenter(subject, encoder, classes=11, recipe=Recipe())
    segmenter.fit(train, steps=200, steps_per_epoch=10, seed=0)
    segmenter.measure(test)[0].mean_iou
  ```

  Attributes:
    layers: names of the maps that are scored, the largest first.
    side: S, of the random windows.
    stride: height and width of what the encoder sees are multiples of it.
  """

  def __init__(self, subject: Subject, encoder: Any, *, classes: int, recipe: Recipe) -> None:
    """Makes the head and the optimizers.

    Args:
      subject: whose encoder it is.
      encoder: what `subject.training()` yields, or another one of the same network; its weights are
        changed.
      classes: K, at least 2.
      recipe: how it is trained.

    Raises:
      ValueError: a layer is unknown or no map, or the encoder takes photographs of one size only.
    """
    self.layers = _chosen(subject, recipe.layers)
    self.stride = _stride(subject)
    self.side = recipe.side or subject.image_size
    if self.side % self.stride:
      raise ValueError(
        f"Expected a side of windows (`crop_size`) that is a multiple of {self.stride}. Received: "
        f"{self.side}"
      )
    self._encoder, self._recipe, self._classes = encoder, recipe, classes
    self._head = ScoreHead(self._channels(subject), classes=classes)
    learning = () if recipe.frozen else encoder.trainable_variables
    rates = LayerRates(
      self._head.trainable_variables, learning, maps=subject.maps, decay=recipe.layer_decay
    )
    self._rates = rates
    self._epochs = Epochs(
      [*encoder.variables, *self._head.variables], rates, learning_rate=recipe.learning_rate
    )
    specs = [
      tf.TensorSpec((None, None, None, 3), tf.uint8),
      tf.TensorSpec((None, None, None), tf.uint8),
    ]
    side = [
      tf.TensorSpec((recipe.batch_size, self.side, self.side, 3), tf.uint8),
      tf.TensorSpec((recipe.batch_size, self.side, self.side), tf.uint8),
    ]
    self._train = tf.function(self._step, input_signature=side, autograph=False)
    self._look = tf.function(self._judge, input_signature=specs, autograph=False)

  def fit(
    self,
    train: Segmented,
    *,
    steps: int,
    steps_per_epoch: int,
    seed: int,
    validation: Segmented | None = None,
    patience: int = 0,
    weights: Iterable[np.ndarray] | None = None,
    say: Callable[[Epoch], None] = lambda epoch: None,
  ) -> tuple[list[Epoch], Epoch | None]:
    """Trains from the start: the encoder as it was given, a head that knows nothing.

    Args:
      train: photographs.
      steps: in all, at least 1.
      steps_per_epoch: after so many the learning rate falls, and `validation` is looked at.
      seed: of order and windows.
      validation: photographs whose mean intersection over union chooses the epoch; it is the
        epoch's `accuracy`. None keeps the last one.
      patience: ends after so many epochs that are not better than the best; 0 does not.
      weights: values of the encoder's variables to start from; None for those it was given with.
      say: told each epoch.

    Returns:
      As `Epochs.run`.

    Raises:
      ValueError: a photograph cannot be read.
      NonFiniteLossError: the loss is infinite or not a number.
    """
    self._epochs.restart()
    for variable, value in zip(self._encoder.variables, weights or ()):
      variable.assign(value)
    batches = windows.training_batches(
      train,
      steps=steps,
      batch_size=self._recipe.batch_size,
      side=self.side,
      scales=self._recipe.scales,
      seed=seed,
    )

    def judge(epoch: Epoch) -> Epoch:
      if validation is None:
        return epoch
      confusion, loss = self.measure(validation)
      return dataclasses.replace(epoch, accuracy=confusion.mean_iou, validation_loss=loss)

    return self._epochs.run(
      (self._train(photographs, labels) for photographs, labels in batches),
      steps=steps,
      steps_per_epoch=steps_per_epoch,
      judge=judge,
      patience=patience,
      say=say,
    )

  def measure(self, data: Segmented) -> tuple[Confusion, float]:
    """Counts the pixels of whole photographs.

    Args:
      data: photographs.

    Returns:
      The pixels, and their mean cross-entropy in nats.

    Raises:
      ValueError: a photograph cannot be read.
    """
    confusion, total = Confusion(self._classes), 0.0
    for index in range(len(data)):
      photograph, labels = windows.padded(*data.pair(index), multiple=self.stride)
      counts, loss, _ = self._look(photograph[np.newaxis], labels[np.newaxis])
      confusion.add(counts.numpy())
      total += float(loss)
    return confusion, total / max(1, int(confusion.counts.sum()))

  def predict(self, photograph: np.ndarray) -> np.ndarray:
    """The most probable class of every pixel.

    Args:
      photograph: (H, W, 3) uint8 of any size.

    Returns:
      (H, W) uint8.
    """
    height, width, _ = photograph.shape
    nothing = np.full((height, width), IGNORED, np.uint8)
    whole, labels = windows.padded(photograph, nothing, multiple=self.stride)
    _, _, classes = self._look(whole[np.newaxis], labels[np.newaxis])
    return classes.numpy()[0, :height, :width]

  def _logits(self, images: tf.Tensor, *, training: bool) -> tf.Tensor:
    """Scores of every pixel, (B, H, W, K) float32."""
    features = self._encoder(images, training=training and not self._recipe.frozen)
    return self._head(features, size=tf.shape(images)[1:3], training=training)

  def _step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """A step of the optimizers; the loss before it, the labelled pixels' mean, () float32."""
    with tf.GradientTape() as tape:
      losses, count = _cross_entropy(labels, self._logits(images, training=True))
      loss = losses / tf.maximum(count, 1.0)
    self._rates.minimize(loss, tape)
    return loss

  def _judge(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Counts (K, K) int32, the sum of the cross-entropies, and the classes (B, H, W) uint8."""
    logits = self._logits(images, training=False)
    losses, _ = _cross_entropy(labels, logits)
    classes = tf.argmax(logits, axis=-1, output_type=tf.int32)
    known = labels != IGNORED
    place = tf.cast(labels, tf.int32) * self._classes + classes
    counts = tf.math.bincount(
      tf.boolean_mask(place, known), minlength=self._classes**2, maxlength=self._classes**2
    )
    counts = tf.reshape(counts, (self._classes, self._classes))
    return counts, losses, tf.cast(classes, tf.uint8)

  def _channels(self, subject: Subject) -> dict[str, int]:
    """C of each layer; runs the encoder once, on what is no square."""
    shape = (1, subject.image_size, subject.image_size + self.stride, 3)
    try:
      features = self._encoder(tf.zeros(shape, tf.uint8), training=False)
      return {name: int(features[name].shape[-1]) for name in self.layers}
    except (tf.errors.OpError, KeyError, TypeError, ValueError) as error:
      reason = " ".join(str(error).split())[:200]
      raise ValueError(
        f"{subject.name} cannot segment: called with photographs of {shape[2]} x {shape[1]} pixels "
        f"and `training=`, it does not return {', '.join(self.layers)} by name ({reason})."
      ) from error


def _chosen(subject: Subject, layers: Sequence[str]) -> tuple[str, ...]:
  """The layers, the largest map first."""
  unknown = [name for name in layers if name not in subject.maps]
  if unknown or not subject.maps:
    raise ValueError(
      f"Expected `layers` of the maps {', '.join(subject.maps) or '(there are none)'}. Received: "
      f"{', '.join(unknown) or 'none'}"
    )
  names = [name for name in subject.maps if not layers or name in layers]
  return tuple(sorted(names, key=lambda name: -subject.shapes[name][0]))


def _stride(subject: Subject) -> int:
  """That of the smallest map."""
  height = min(subject.shapes[name][0] for name in subject.maps)
  return max(1, round(subject.image_size / height))


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """The sum over the pixels that are labelled, in nats, and their number, () float32 each."""
  known = labels != IGNORED
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
    labels=tf.where(known, tf.cast(labels, tf.int32), 0), logits=logits
  )
  weights = tf.cast(known, tf.float32)
  return tf.reduce_sum(losses * weights), tf.reduce_sum(weights)
