"""Which two views are of one photograph: SimCLR."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.color.color_space import Channel
from sbae_tf.tasks._random_views import random_views
from sbae_tf.tasks.proxy_task import ProxyTask

VIEWS = 2


class Contrastive(ProxyTask):
  """Tells the other view of each photograph from all views of the others."""

  def __init__(
    self, *, temperature: float, projection: int, smallest: float, strength: float
  ) -> None:
    """Makes the task.

    Args:
      temperature: of the loss, above 0.
      projection: K, the numbers that the loss compares.
      smallest: the least area of a view, as a fraction of the photograph's, in (0, 1].
      strength: of the color jitter, from 0 to 1.

    Raises:
      ValueError: an argument is out of range.
    """
    if not temperature > 0:
      raise ValueError(f"Expected `temperature` above 0. Received: {temperature}.")
    if projection < 1:
      raise ValueError(f"Expected `projection` of 1 or more. Received: {projection}.")
    if not 0 <= strength <= 1:
      raise ValueError(f"Expected `strength` from 0 to 1. Received: {strength}.")
    if not 0 < smallest <= 1:
      raise ValueError(f"Expected `smallest` in (0, 1]. Received: {smallest}.")
    self._projection, self._smallest, self._strength = projection, smallest, strength
    losses = runtime.import_quietly("keras_cv").losses
    self._both = losses.SimCLRLoss(temperature, reduction=tf.keras.losses.Reduction.NONE)

  def views(self, images: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    twice = tf.concat([images] * VIEWS, axis=0)
    return random_views(twice, seed, area=(self._smallest, 1.0), strength=self._strength)

  def build_head(self, features: int, *, name: str) -> tf.keras.Model:
    """The mean over the map, and two layers: g of the paper, Eq. 2 and Sec. 2.1."""
    inputs = tf.keras.Input((None, None, features), name="features")
    x = tf.keras.layers.GlobalAveragePooling2D(dtype="float32", name="mean")(inputs)
    x = tf.keras.layers.Dense(features, "relu", dtype="float32", name="hidden")(x)
    x = tf.keras.layers.Dense(self._projection, dtype="float32", name="projection")(x)
    return tf.keras.Model(inputs, x, name=name)

  def target(self, values: tf.Tensor) -> tf.Tensor:
    """Nothing: (2 B, 0) float32. Which views belong together is known from their order."""
    return tf.zeros((tf.shape(values)[0], 0))

  def loss(self, target: tf.Tensor, output: tf.Tensor, known: tf.Tensor | None = None) -> tf.Tensor:
    """NT-Xent in nats, the mean over both views: log(2 B - 1) for a head that knows nothing.

    Args:
      target: unused.
      output: (2 B, K) float32, of the first views and then of the second ones.
      known: unused.

    Returns:
      (B,) float32.

    Reference: Chen et al. 2020, arXiv:2002.05709, Eq. 1.
    """
    del target, known
    first, second = tf.split(output, VIEWS)
    return self._both(first, second) / VIEWS

  def decode(self, output: tf.Tensor, values: tf.Tensor) -> None:
    """Nothing: it predicts no channels."""
    del output, values


def build(
  channels: Sequence[Channel],
  *,
  temperature: float = 0.1,
  projection: int = 128,
  smallest: float = 0.08,
  strength: float = 1.0,
) -> Contrastive:
  """Contrastive learning of two random views of each photograph.

  For branches of the same channels on both sides, such as `R,G,B->R,G,B:contrastive`. Other views
  are those of the same device's part of a batch, as in keras-cv: the loss of two devices is another
  one than that of one. And of a smaller batch it is a lower one.

  Args:
    channels: unused: whatever they are, the task sees them as inputs alone.
    temperature: tau of the loss, above 0.
    projection: the numbers that the loss compares.
    smallest: the least area of a view, as a fraction of the photograph's, in (0, 1]. Of what the
      pipeline has cut out already: `--data.crop_area=1,1` leaves all to the views.
    strength: of the color jitter, from 0 to 1.

  Raises:
    ValueError: an option is out of range.

  Reference: Chen et al. 2020, arXiv:2002.05709: SimCLR.
  Differs from the paper: no batch normalization in the head, which its text has not, its code has;
    see `random_views` for the views.
  """
  del channels
  return Contrastive(
    temperature=temperature, projection=projection, smallest=smallest, strength=strength
  )
