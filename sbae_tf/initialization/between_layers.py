"""Scales a network's layers so that all of them learn at one rate: Algorithm 2 of the paper.

The rate of a layer k is how large the gradient of its weights is beside the weights themselves,

  C_k = sqrt(E[mean of (dl/dW_k)^2] / mean of W_k^2),

for the loss l = <n, z> with n drawn from a normal distribution and z the network's last map: a loss
for a network that no task is known of. Gradient descent changes every layer by the same part of it
in a step where these are equal.

**With batch normalization.** The paper's networks have none: there a layer that is multiplied by r
makes all later maps larger, so its layer above is divided by r, whose own rate changes by that, and
ten rounds with damping make the rates equal. Here the normalization behind a convolution undoes r
at once: r W_k gives the same maps and the gradient dl/dW_k / r, so that C_k becomes C_k / r^2, and
no other layer's rate changes. What remains of the algorithm is r_k = sqrt(C_k / C), C the geometric
mean of all layers' rates, in one round; nothing is undone and nothing is damped. All named maps
stay as they are: that the paper's method scales them, and that a shortcut's two sides must be
scaled alike, has no counterpart. The scales and shifts of the normalization itself have rates, too;
they could be made equal only by making maps larger or smaller, which the next normalization undoes,
and they are left alone, as the paper leaves biases.

Reference: Krähenbühl, Doersch, Donahue and Darrell 2016, arXiv:1511.06856, Sec. 3.2 and
Algorithm 2; C_k and the loss as in their code (github.com/philkr/magic_init), which takes one rate
a layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.initialization._convolutions import NormalizedConvolution, normalized_convolutions

_BATCH = 16  # Photographs that are normalized together, and have a loss of their own.
# Rounds: the second finds that the first did, but where a variance is near the normalization's
# epsilon, which bends the proportion.
_ROUNDS = 4
_CLOSE = 0.01  # From here on rates are called equal.


def check(towers: Sequence[tf.keras.Model]) -> None:
  """Checks that layers can be scaled.

  Args:
    towers: functional models.

  Raises:
    ValueError: a layer with weights is no convolution that batch normalization follows.
  """
  for tower in towers:
    normalized_convolutions(tower)


def layers(tower: tf.keras.Model) -> list[str]:
  """The names of a tower's convolutions, in the order of their rates.

  Raises:
    ValueError: as `check`.
  """
  return [each.convolution.name for each in normalized_convolutions(tower)]


def learning_rates(tower: tf.keras.Model, inputs: np.ndarray, *, seed: int) -> np.ndarray:
  """The rates C_k of a tower's convolutions in training, where batches are normalized.

  Args:
    tower: a functional model; its weights and batch statistics stay as they are.
    inputs: what it sees of N photographs, (N, H, W, C) float32.
    seed: of the random losses.

  Returns:
    (layers,) float64 in the order of the layers, up to a factor that is the same for all of a
    network; 0 for a layer that the last map does not depend on.

  Raises:
    ValueError: as `check`.
  """
  convolutions = normalized_convolutions(tower)
  kernels = [each.convolution.kernel for each in convolutions]
  last = list(tower.output)[-1]
  squares = np.zeros(len(kernels))
  with _kept_statistics(convolutions):
    for start in range(0, len(inputs), _BATCH):
      batch = tf.constant(inputs[start : start + _BATCH])
      with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(kernels)
        features = tower(batch, training=True)[last]
        key = tf.constant([seed, start], tf.int64)
        drawn = tf.random.stateless_normal(tf.shape(features), key, dtype=features.dtype)
        loss = tf.reduce_sum(drawn * features)
      gradients = tape.gradient(loss, kernels, unconnected_gradients=tf.UnconnectedGradients.ZERO)
      squares += [np.mean(np.square(g.numpy(), dtype=np.float64)) for g in gradients]
  sizes = [np.mean(np.square(kernel.numpy(), dtype=np.float64)) for kernel in kernels]
  with np.errstate(divide="ignore", invalid="ignore"):
    return np.sqrt(squares / np.array(sizes) / len(inputs))


def equalize(
  towers: Sequence[tf.keras.Model], inputs: Sequence[np.ndarray], *, seed: int
) -> np.ndarray:
  """Scales the convolutions of towers so that all learn at one rate.

  The towers are one network: all their layers get the geometric mean of all rates. What they
  compute without training stays the same, every map of it; in training, where the batch is
  normalized, but for the normalization's epsilon.

  Args:
    towers: functional models, in float32.
    inputs: what each of them sees of N photographs, (N, H, W, C) float32.
    seed: of the random losses.

  Returns:
    (layers of all towers,) float64: the rates as they were, each as a part of their geometric mean.
    A layer without a rate, because it does not reach the last map or has no weights but zeros, is
    left as it is, and NaN.

  Raises:
    ValueError: as `check`.
  """
  convolutions = [each for tower in towers for each in normalized_convolutions(tower)]
  first: np.ndarray | None = None
  for _ in range(_ROUNDS):
    rates = np.concatenate([learning_rates(t, x, seed=seed) for t, x in zip(towers, inputs)])
    rates[~(np.isfinite(rates) & (rates > 0))] = np.nan
    if np.isnan(rates).all():
      return rates
    rates /= np.exp(np.nanmean(np.log(rates)))
    first = rates if first is None else first
    if np.nanmax(np.abs(np.log(rates))) < _CLOSE:
      break
    for each, rate in zip(convolutions, rates):
      if not np.isnan(rate):
        each.scale(np.sqrt(rate))
  assert first is not None
  return first


@contextlib.contextmanager
def _kept_statistics(convolutions: Sequence[NormalizedConvolution]) -> Iterator[None]:
  """Takes back what training changes in the remembered means and variances."""
  variables = [v for each in convolutions for v in each.normalization.non_trainable_variables]
  values = [variable.numpy() for variable in variables]
  try:
    yield
  finally:
    for variable, value in zip(variables, values):
      variable.assign(value)
