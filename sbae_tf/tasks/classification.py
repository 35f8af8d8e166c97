"""Each pixel's bin by softmax and cross-entropy; colors by the annealed mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.color.color_space import Channel
from sbae_tf.config import Component
from sbae_tf.quantize.quantizer import Quantizer
from sbae_tf.quantize.soft_encoding import soft_encode
from sbae_tf.tasks._pixel_mean import pixel_mean
from sbae_tf.tasks._pointwise_head import pointwise_head
from sbae_tf.tasks._rebalancing import Rebalancing, scale_gradient
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

  def __init__(
    self,
    quantizer: Quantizer,
    *,
    temperature: float,
    soft_neighbors: int = 1,
    soft_sigma: float = 5.0,
    rebalancing: Rebalancing | None = None,
  ) -> None:
    """Makes the task.

    Args:
      quantizer: turns values into bins.
      temperature: of the annealed mean, in [0, 1].
      soft_neighbors: bins that share a pixel; 1: the one that it is in has all of it.
      soft_sigma: standard deviation of the Gaussian by which they do, in the channels' unit.
      rebalancing: multiplies gradients; None: nothing does.

    Raises:
      ValueError: a number is out of its range.
    """
    if not 0 <= temperature <= 1:
      raise ValueError(f"Expected option `temperature` in [0, 1]. Received: {temperature}.")
    if not 1 <= soft_neighbors <= quantizer.bins:
      raise ValueError(
        f"Expected option `soft_neighbors` from 1 to {quantizer.bins}, the number of bins. "
        f"Received: {soft_neighbors}."
      )
    if not soft_sigma > 0:
      raise ValueError(f"Expected option `soft_sigma` above 0. Received: {soft_sigma}.")
    self.quantizer = quantizer
    self.temperature = temperature
    self._neighbors, self._sigma = soft_neighbors, soft_sigma
    self._rebalancing = rebalancing

  def build_head(self, features: int, *, name: str) -> tf.keras.Model:
    return pointwise_head(features, self.quantizer.bins, name=name)

  @property
  def files(self) -> Mapping[str, bytes]:
    if self._rebalancing is None:
      return {}
    return {"prior.json": self._rebalancing.prior.dumps().encode()}

  def target(self, values: tf.Tensor) -> tf.Tensor:
    """(B, h, w, C) float32 in native units to (B, h, w) int32 bins; if soft (B, h, w, K) float32.

    Reference: Zhang, Isola, Efros 2016, Sec. 2.2, for soft ones; 2017, Sec. 3.1.
    """
    if self._neighbors == 1:
      return self.quantizer.encode(values)
    centers = self.quantizer.centers(values)
    return soft_encode(values, centers, neighbors=self._neighbors, sigma=self._sigma)

  def loss(self, target: tf.Tensor, output: tf.Tensor, known: tf.Tensor | None = None) -> tf.Tensor:
    """Cross-entropy in nats, a mean over pixels: log K for a head that knows nothing.

    With soft targets the least that it can be is their own entropy, not 0. Rebalanced, it is the
    same number, and each pixel's gradient is multiplied by the factor of its bin (of a soft target,
    the bin that has the most of it): as in the published code of 2016, so that losses compare
    whatever the factors. It is then not quite what training lowers.

    Reference: Zhang, Isola, Efros 2017, Sec. 3.1; 2016, Eq. 2 to 4.
    Differs from the paper: a mean over the pixels where the paper has their sum, so that the
      learning rate does not depend on the map's size.
    """
    if self._neighbors == 1:
      ids = target
      per_pixel = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=target, logits=output)
    else:
      ids = tf.argmax(target, axis=-1, output_type=tf.int32)
      per_pixel = tf.nn.softmax_cross_entropy_with_logits(labels=target, logits=output)
    if self._rebalancing is not None:
      factors = tf.gather(tf.constant(self._rebalancing.weights), ids)
      per_pixel = scale_gradient(per_pixel, factors)
    return pixel_mean(per_pixel, known)

  def decode(self, output: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    centers = self.quantizer.centers(values)
    return annealed_mean(output, centers, temperature=self.temperature)


def build(
  channels: Sequence[Channel],
  *,
  quantizer: str = "uniform",
  temperature: float = 0.38,
  soft_neighbors: int = 1,
  soft_sigma: float = 5.0,
  prior: str = "",
  rebalance: float = 0.5,
) -> Classification:
  """Classification over quantized bins at each pixel.

  Args:
    channels: the target channels, one or two.
    quantizer: a quantizer in text form, such as `rescaled` or `uniform(bins=50)`.
    temperature: of the annealed mean that decodes predictions, in [0, 1].
    soft_neighbors: nearest bins that share a pixel as its target, by a Gaussian; 1: a pixel's
      target is the bin that it is in. Zhang, Isola, Efros 2016 have 10.
    soft_sigma: standard deviation of that Gaussian, and of the one that smooths the prior, in the
      channels' unit.
    prior: a file of `tools.color_prior`, of the same bins: gradients are rebalanced by it; or
      `imagenette96`: that of the photographs of Imagenette's training part, for `gamut` of a and b,
      which comes with the package. Empty: they are not.
    rebalance: lambda in (0, 1]: 1 leaves gradients as they are, near 0 they go as the inverse of
      the prior.

  Raises:
    ValueError: the quantizer or one of its options is unknown, or a value is out of range; or the
      bins depend on the image, and there is a prior.
  """
  component = Component.parse(quantizer)
  bins = plugins.find("quantizer", component.name).build(channels, **component.options)
  rebalancing = None
  if prior:
    rebalancing = Rebalancing(
      prior,
      f"{component} of {','.join(channel.name for channel in channels)}",
      bins.shared_centers(len(channels)),
      rebalance=rebalance,
      sigma=soft_sigma,
    )
  return Classification(
    bins,
    temperature=temperature,
    soft_neighbors=soft_neighbors,
    soft_sigma=soft_sigma,
    rebalancing=rebalancing,
  )
