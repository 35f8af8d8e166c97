"""What a training step does, counted on the built model. Letters as in `tools.scaling`."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # They import TensorFlow.
  import tensorflow as tf

  from sbae_tf.config import PretrainConfig


@dataclasses.dataclass(frozen=True)
class Workload:
  """What a model's step does, whatever the machine. Letters as in `tools.scaling`.

  Attributes:
    name: the preset's.
    parameters: trainable ones.
    image_size: S, pixels.
    flops: F, an image.
    forward_flops: F', an image.
    activation_bytes: A, an image.
    gradient_bytes: V, a step.
    weight_bytes: W, a step.
    optimizer_bytes: O, a step.
    kernels: K, a step.
  """

  name: str
  parameters: int
  image_size: int
  flops: int
  forward_flops: int
  activation_bytes: int
  gradient_bytes: int
  weight_bytes: int
  optimizer_bytes: int
  kernels: int


def count(name: str, config: PretrainConfig) -> Workload:
  """Builds a configuration's model and optimizer, and counts.

  Args:
    name: what the result is called.
    config: a valid configuration.

  Raises:
    ValueError: a layer is of a kind whose arithmetic is not known here.
  """
  import tensorflow as tf

  from sbae_tf.steps import Steps

  steps = Steps(config, tf.distribute.get_strategy(), steps_per_epoch=1, steps=1)
  model, size = steps.model, config.data.image_size
  small = size // model.encoder.stride
  images = collections.Counter(model.encoder.tower_of)  # That each tower sees of a photograph.
  layers = [
    work.times(images[i])
    for i, tower in enumerate(model.encoder.towers)
    for work in layer_work(tower, size, True)
  ]
  layers += [work for head in model.heads for work in layer_work(head, small, False)]
  variables = model.trainable_variables
  parameters = sum(int(tf.size(v)) for v in variables)
  slots = sum(int(tf.size(v)) for v in steps.optimizer.variables if v.shape.rank) // parameters
  return Workload(
    name,
    parameters,
    size,
    flops=sum(work.flops for work in layers),
    forward_flops=sum(work.forward_flops for work in layers),
    activation_bytes=sum(work.activation_bytes for work in layers),
    gradient_bytes=4 * parameters,
    weight_bytes=sum(work.weight_bytes for work in layers),
    optimizer_bytes=4 * parameters * (1 + 2 * (1 + slots)),
    kernels=3 * len(layers) + len(variables),
  )


class LayerWork(NamedTuple):
  """One layer's part of a `Workload`, for one image."""

  forward_flops: int
  flops: int
  activation_bytes: int
  weight_bytes: int

  def times(self, images: int) -> LayerWork:
    """That for several images; weights are read once."""
    return self._replace(
      forward_flops=images * self.forward_flops,
      flops=images * self.flops,
      activation_bytes=images * self.activation_bytes,
    )


def layer_work(network: tf.keras.Model, size: int, on_data: bool) -> Iterator[LayerWork]:
  """Goes through the layers of a functional model.

  Args:
    network: with one input, (B, H, W, C).
    size: H and W.
    on_data: whether its input is data, which needs no gradient.

  Yields:
    Each layer's work.

  Raises:
    ValueError: a layer is of a kind whose arithmetic is not known here.
  """
  import tensorflow as tf

  (images,) = network.inputs
  shapes = {id(images): tf.TensorShape((1, size, size, images.shape[-1]))}
  for layer in network.layers:  # What a layer reads stands before it.
    if isinstance(layer, tf.keras.layers.InputLayer):
      continue
    inputs = tf.nest.flatten(layer.input)
    seen = [shapes[id(x)] for x in inputs]
    shape = layer.compute_output_shape(seen if len(seen) > 1 else seen[0])
    shapes[id(layer.output)] = shape
    forward = 0
    if type(layer) is tf.keras.layers.Conv2D:
      forward = 2 * int(tf.size(layer.kernel)) * shape[1] * shape[2]
    elif any(v.shape.rank > 1 for v in layer.trainable_weights):
      raise ValueError(f"Expected convolutions. Cannot count {type(layer).__name__} {layer.name}.")
    # Forward; the gradient of the weights; that of the input.
    passes = 2 if on_data and inputs[0] is images else 3
    number = tf.as_dtype(layer.compute_dtype).size
    read = number * sum(x.num_elements() for x in seen)
    written = number * shape.num_elements()
    weights = sum(int(tf.size(v)) for v in layer.trainable_weights)
    copied = 0 if number == 4 else 4 + number  # From float32 to what it computes with.
    yield LayerWork(
      forward, passes * forward, passes * read + 2 * written, weights * (3 * number + copied)
    )
