"""Colorization: photographs, gray or in color, to the colors that a branch predicts."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from sbae_tf.color.color_space import ColorSpace
from sbae_tf.model import PretrainModel
from sbae_tf.tasks.classification import Classification


class Colorizer(tf.Module):
  """Keeps the lightness of photographs and predicts their color.

  ```python
  colorizer = Colorizer(model)
  colored = colorizer(gray)             # (B, H, W, 1) uint8 to (B, H, W, 3) uint8
  ```

  Attributes:
    model: the pretraining model, one branch of which predicts color from lightness.
  """

  def __init__(self, model: PretrainModel, *, temperature: float | None = None) -> None:
    """Finds the branch.

    Args:
      model: with a branch from what gray photographs differ in to all other channels, such as
        `L->ab` or `Y->UV`; of several the first that can.
      temperature: of the annealed mean that makes a color of the scores of bins, in [0, 1]: 1 is
        the mean, 0 the mode; None for that of the task.

    Raises:
      ValueError: there is no such branch, or the bins of all of them depend on the true colors;
        there are no bins for a temperature, or it is out of range.
    """
    super().__init__(name="colorizer")
    self.model = model
    index = _colorizing_branch(model)
    self._index, self._branch, self._task = index, model.config.branches[index], model.tasks[index]
    if temperature is not None:
      if not isinstance(self._task, Classification):
        raise ValueError(
          f"Branch {self._branch.name} predicts colors by {self._branch.task.name}, not scores of "
          "bins: there is one way to decode them, without a temperature."
        )
      self._task = Classification(self._task.quantizer, temperature=temperature)

  def __call__(self, images: tf.Tensor) -> tf.Tensor:
    """Colorizes.

    Args:
      images: (B, H, W, 1) uint8 gray, or (B, H, W, 3) uint8 sRGB, of which only the lightness is
        looked at; H and W multiples of the encoder's stride.

    Returns:
      (B, H, W, 3) uint8 sRGB: the lightness of `images`, and the predicted color, decoded by the
      task (the annealed mean of a classification) and enlarged bilinearly from the small map.

    Raises:
      ValueError: `images` is of another type or number of channels.

    Reference: Zhang et al. 2016, arXiv:1603.08511, Sec. 2.3.
    """
    values = self._encode(images)
    predicted = tf.image.resize(self._predict(values), tf.shape(values)[1:3], "bilinear")
    return self._join(values, predicted)

  def predict(self, images: tf.Tensor) -> tf.Tensor:
    """Predicts colors, without enlarging them.

    Args:
      images: as for `__call__`.

    Returns:
      (B, h, w, C) float32: the channels that the branch predicts, in native units, one pixel for
      each square of the stride.

    Raises:
      ValueError: as `__call__` does.
    """
    return self._predict(self._encode(images))

  def join(self, images: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """Joins the lightness of photographs with colors.

    Args:
      images: as for `__call__`, but of any height and width.
      predicted: (B, H, W, C) float32, as `predict` gives them, enlarged.

    Returns:
      (B, H, W, 3) uint8 sRGB. A color that sRGB has not at that lightness is clipped, each of red,
      green and blue by itself, and there lightness is kept about, not exactly.

    Raises:
      ValueError: as `__call__` does.
    """
    return self._join(self._encode(images), predicted)

  @property
  def temperature(self) -> float | None:
    """Of the annealed mean that decodes colors; None where there are no bins."""
    return self._task.temperature if isinstance(self._task, Classification) else None

  @property
  def neutral(self) -> np.ndarray:
    """(C,) float32: the channels that the branch predicts, of what has no color."""
    gray = self.model.encoder.color.encode(tf.fill((1, 1, 1, 3), tf.constant(119, tf.uint8)))
    return self.model.encoder.color.slice(gray, self._branch.targets).numpy()[0, 0, 0]

  def _encode(self, images: tf.Tensor) -> tf.Tensor:
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8 or images.shape.rank != 4 or images.shape[-1] not in (1, 3, None):
      raise ValueError(
        "Expected `images` (B, H, W, 1) or (B, H, W, 3) uint8. "
        f"Received: {images.shape} {images.dtype.name}."
      )
    rgb = tf.broadcast_to(images, tf.concat([tf.shape(images)[:3], [3]], axis=0))
    return self.model.encoder.color.encode(tf.ensure_shape(rgb, (None, None, None, 3)))

  def _predict(self, values: tf.Tensor) -> tf.Tensor:
    inputs = self.model.encoder.branch_inputs(values)
    output = self.model.outputs(inputs, training=False)[self._index]
    # The true colors, which the task does not look at.
    channels = len(self._branch.targets)
    unknown = tf.zeros(tf.concat([tf.shape(output)[:3], [channels]], axis=0))
    return self._task.decode(output, unknown)

  def _join(self, values: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    color, branch = self.model.encoder.color, self._branch
    both = tf.concat([color.slice(values, branch.inputs), predicted], axis=-1)
    # From the branch's order of channels to the color space's.
    both = tf.gather(both, np.argsort(color.indices((*branch.inputs, *branch.targets))), axis=-1)
    return tf.cast(tf.round(color.decode(both) * 255.0), tf.uint8)


def _colorizing_branch(model: PretrainModel) -> int:
  """The index of the first branch that predicts color from lightness and can be decoded."""
  color, config = model.encoder.color, model.config
  if color.bands:
    raise ValueError(f"Color space '{color.name}' cannot colorize: it takes bands, too.")
  names = {channel.name for channel in color.channels}
  lightness = _lightness(color)
  found = [
    index
    for index, branch in enumerate(config.branches)
    if set(branch.inputs) == lightness and set(branch.targets) == names - lightness
  ]
  for index in found:
    if not _needs_true_colors(model, index):
      return index
  if found:
    raise ValueError(
      f"Branch {config.branch_names[found[0]]} cannot colorize: its bins lie in the range of each "
      "photograph's own colors, which a gray one does not have. Train with "
      "--task.quantizer=uniform."
    )
  gray, rest = ",".join(sorted(lightness)), ",".join(sorted(names - lightness))
  raise ValueError(
    f"Expected a branch {gray}->{rest} to colorize with. Received: "
    f"{', '.join(config.branch_names)}."
    if rest
    else f"Color space '{color.name}' cannot colorize: all its channels have a part in lightness."
  )


def _needs_true_colors(model: PretrainModel, index: int) -> bool:
  """Whether the decoding of a branch looks at what is to be predicted."""
  task = model.tasks[index]
  scores = tf.zeros((1, 1, 1, model.heads[index].output_shape[-1]))
  colors = tf.zeros((1, 1, 1, len(model.config.branches[index].targets)))
  return bool(np.any(task.decode(scores, colors) != task.decode(scores, colors + 1.0)))


def _lightness(color: ColorSpace) -> set[str]:
  """The channels in which gray photographs differ from each other."""
  ramp = np.arange(256, dtype=np.uint8)[np.newaxis, np.newaxis, :, np.newaxis].repeat(3, axis=3)
  values = color.encode(tf.constant(ramp)).numpy()
  spread = np.ptp(values, axis=(0, 1, 2))
  # Conversion rounds: neutral chroma is not 0 to the last bit.
  return {c.name for c, s in zip(color.channels, spread) if s > 0.01 * (c.high - c.low)}
