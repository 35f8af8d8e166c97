"""Each pixel's bin by softmax and cross-entropy; colors by the annealed mean."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.color.color_space import Channel
from sbae_tf.config import Component
from sbae_tf.quantize.quantizer import Quantizer
from sbae_tf.tasks._pointwise_head import pointwise_head
from sbae_tf.tasks.proxy_task import ProxyTask


def annealed_mean(logits: tf.Tensor, centers: tf.Tensor, *, temperature: float = 0.38) -> tf.Tensor:
  """Decodes bin scores to values by the annealed mean.

  The mean of the distribution `exp(log(p) / T)`, normalized, where p is the softmax of `logits`.

  Args:
    logits: (B, h, w, K) float32, unnormalized.
    centers: (B, K, C) or (1, K, C) float32, in any unit.
    temperature: T in [0, 1]; 1 is the mean, 0 the mode (of bins that score alike the first).

  Returns:
    (B, h, w, C) float32 in the unit of `centers`, inside their convex hull.

  Raises:
    ValueError: `temperature` is outside [0, 1].

  Reference: Zhang et al. 2016, arXiv:1603.08511, Eq. 5.
  """
  if not 0 <= temperature <= 1:
    raise ValueError(f"Expected `temperature` in [0, 1]. Received: {temperature}.")
  if temperature:
    # log p differs from the logits by a constant of the pixel, which softmax takes away again.
    probabilities = tf.nn.softmax(logits / temperature, axis=-1)
  else:  # The limit.
    probabilities = tf.one_hot(tf.argmax(logits, axis=-1), tf.shape(logits)[-1])
  shape = tf.shape(logits)
  flat = tf.reshape(probabilities, (shape[0], -1, shape[3]))  # (B, h w, K)
  means = tf.matmul(flat, centers)  # (B, h w, C), (1, K, C) broadcast over B
  return tf.reshape(means, (shape[0], shape[1], shape[2], tf.shape(centers)[2]))


class Classification(ProxyTask):
  """Predicts the bin of each pixel.

  Attributes:
    quantizer: turns values into bins.
    temperature: of the annealed mean that decodes predictions, in [0, 1].
  """

  def __init__(self, quantizer: Quantizer, *, temperature: float) -> None:
    """Makes the task.

    Args:
      quantizer: turns values into bins.
      temperature: of the annealed mean, in [0, 1].

    Raises:
      ValueError: `temperature` is outside [0, 1].
    """
    if not 0 <= temperature <= 1:
      raise ValueError(f"Expected option `temperature` in [0, 1]. Received: {temperature}.")
    self.quantizer = quantizer
    self.temperature = temperature

  def build_head(self, features: int, *, name: str) -> tf.keras.Model:
    return pointwise_head(features, self.quantizer.bins, name=name)

  def target(self, values: tf.Tensor) -> tf.Tensor:
    """(B, h, w, C) float32 in native units to (B, h, w) int32 bins."""
    return self.quantizer.encode(values)

  def loss(self, target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Cross-entropy in nats, a mean over pixels: log K for a head that knows nothing.

    Reference: Zhang, Isola, Efros 2017, Sec. 3.1.
    Differs from the paper: a mean over the pixels where the paper has their sum, so that the
      learning rate does not depend on the map's size.
    """
    per_pixel = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=target, logits=output)
    return tf.reduce_mean(per_pixel, axis=(1, 2))

  def decode(self, output: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    centers = self.quantizer.centers(values)
    return annealed_mean(output, centers, temperature=self.temperature)


def build(
  channels: Sequence[Channel], *, quantizer: str = "uniform", temperature: float = 0.38
) -> Classification:
  """Classification over quantized bins at each pixel.

  Args:
    channels: the target channels, one or two.
    quantizer: a quantizer in text form, such as `rescaled` or `uniform(bins=50)`.
    temperature: of the annealed mean that decodes predictions, in [0, 1].

  Raises:
    ValueError: the quantizer or one of its options is unknown, or a value is out of range.
  """
  component = Component.parse(quantizer)
  bins = plugins.find("quantizer", component.name).build(channels, **component.options)
  return Classification(bins, temperature=temperature)
