"""Each pixel's clean values by an l2 loss, from inputs with noise."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sbae_tf.color.color_space import Channel
from sbae_tf.tasks import _draws
from sbae_tf.tasks.regression import Regression

CORRUPTS = True

_NOISES = ("masking", "gaussian", "salt_and_pepper")


def corrupted(inputs: tf.Tensor, seed: tf.Tensor, *, noise: str, amount: float) -> tf.Tensor:
  """Adds noise, drawn for each channel of each pixel by itself.

  Args:
    inputs: (B, H, W, C) float32 in [-1, 1].
    seed: (2,) int64.
    noise:
      `masking`: a channel of a pixel is set to 0, the middle of its range, with the probability
        `amount`.
      `gaussian`: a normal variate is added. Its standard deviation is `amount` of the range from -1
        to 1, 0.2 for 0.1; what leaves the range is not clipped.
      `salt_and_pepper`: it is set to -1 or to 1, both equally likely, with the probability
        `amount`.
    amount: in (0, 1).

  Returns:
    (B, H, W, C) float32.

  Raises:
    ValueError: `noise` is unknown, or `amount` is outside (0, 1).

  Reference: Vincent et al. 2010, JMLR 11:3371.
  Differs from the paper: `amount` is the noisy part on average, there it is that to the element.
    Inputs are in [0, 1] there, and masking sets them to their least; the least of Lab's a and b is
    a strong color, the middle is nearly none.
  """
  _check(noise, amount)
  shape = tf.shape(inputs)
  if noise == "gaussian":
    return inputs + 2.0 * amount * _draws.normal(shape, seed)
  drawn = _draws.uniform(shape, seed)
  if noise == "masking":
    return tf.where(drawn < amount, tf.zeros_like(inputs), inputs)
  extreme = tf.where(drawn < amount / 2, -tf.ones_like(inputs), tf.ones_like(inputs))
  return tf.where(drawn < amount, extreme, inputs)


def _check(noise: str, amount: float) -> None:
  if noise not in _NOISES:
    raise ValueError(f"Expected `noise` to be one of {', '.join(_NOISES)}. Received: {noise}.")
  if not 0 < amount < 1:
    raise ValueError(f"Expected `amount` between 0 and 1. Received: {amount}.")


class Denoising(Regression):
  """Predicts the clean values from inputs with noise."""

  def __init__(self, channels: Sequence[Channel], *, noise: str, amount: float) -> None:
    """Makes the task.

    Args:
      channels: the target channels.
      noise: `masking`, `gaussian` or `salt_and_pepper`.
      amount: of it, in (0, 1).

    Raises:
      ValueError: `noise` is unknown, or `amount` is outside (0, 1).
    """
    super().__init__(channels)
    _check(noise, amount)
    self._noise, self._amount = noise, amount

  def corrupt(self, inputs: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    return corrupted(inputs, seed, noise=self._noise, amount=self._amount)


def build(channels: Sequence[Channel], *, noise: str = "masking", amount: float = 0.1) -> Denoising:
  """Regression of the target channels from inputs with noise: a denoising autoencoder.

  Args:
    channels: the target channels, any number of them.
    noise: `masking`, `gaussian` or `salt_and_pepper`; see `corrupted`.
    amount: the part of the numbers that are masked, or set to their least or greatest; of Gaussian
      noise the standard deviation, as a part of their range. In (0, 1).

  Raises:
    ValueError: `noise` is unknown, or `amount` is outside (0, 1).

  Reference: Vincent et al. 2010, JMLR 11:3371. The Lab(drop50) of Zhang, Isola, Efros 2017 drops
    half of the input: `masking` at 0.5, but for the factor of dropout.
  Differs from the paper: predicts means over the squares of the last feature map's stride, as all
    tasks do, not each pixel.
  """
  return Denoising(channels, noise=noise, amount=amount)
