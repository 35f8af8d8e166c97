"""What SavedModels hold: TensorFlow functions that need nothing of this package.

By TensorFlow's convention for reusable SavedModels: the loaded object is callable with `training`,
and has `variables`, `trainable_variables` and `regularization_losses`, so that
`tensorflow_hub.KerasLayer(path, trainable=True)` and plain TensorFlow fine-tune it.

Reference: https://www.tensorflow.org/hub/reusable_saved_models
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import tensorflow as tf

from sbae_tf.colorizer import Colorizer
from sbae_tf.config import group_name
from sbae_tf.encoded_images import decode_central
from sbae_tf.encoder import Encoder

Signatures = Mapping[str, Callable[..., Mapping[str, tf.Tensor]]]

_ENCODED = tf.TensorSpec((None,), tf.string, name="encoded")
# Gray or color: of channels that are not known here.
_GRAY_OR_COLOR = tf.TensorSpec((None, None, None, None), tf.uint8, name="images")


# A `tf.Module` has `variables` as a property, which no SavedModel holds. This tracks attributes,
# and has none of those names.
class ServedEncoder(tf.train.Checkpoint):
  """An encoder as users of its SavedModel see it.

  Attributes:
    encoder: the encoder; `load_encoder` finds its weights under this name.
    variables: all of its variables.
    trainable_variables: those that training changes.
    regularization_losses: functions without arguments, each a () float32 term of a loss.
    assets: the files that the SavedModel brings along, by name.
  """

  def __init__(self, encoder: Encoder, assets: Mapping[str, tf.saved_model.Asset]) -> None:
    super().__init__()
    self.encoder = encoder
    self.variables = list(encoder.variables)
    self.trainable_variables = list(encoder.trainable_variables)
    self.regularization_losses = _regularization_losses(encoder)
    self.assets = dict(assets)

  @tf.function(autograph=False)
  def __call__(self, images: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
    """As `Encoder.__call__`."""
    return self.encoder(self._checked(images), training=training)

  def make_signatures(self) -> Signatures:
    """The signatures by name; also traces what a call of the loaded object needs."""
    self.__call__.get_concrete_function(self._images, training=True)
    signatures = {
      "serving_default": self.__call__.get_concrete_function(self._images, training=False)
    }
    for name, index in branch_signatures(self.encoder).items():
      signatures[name] = self._branch(index)
    if self.encoder.color.bands:
      return signatures  # A photograph's file has no bands.
    data = self.encoder.config.data

    @tf.function(autograph=False, input_signature=[_ENCODED])
    def from_bytes(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
      return self.encoder(
        decode_central(encoded, image_size=data.image_size, max_pixels=data.max_pixels)
      )

    return {**signatures, "from_bytes": from_bytes}

  @property
  def _images(self) -> tf.TensorSpec:
    return tf.TensorSpec((None, None, None, self.encoder.color.planes), tf.uint8, name="images")

  def _checked(self, images: tf.Tensor) -> tf.Tensor:
    return _checked(images, (self.encoder.color.planes,), self.encoder.stride)

  def _branch(self, index: int) -> Callable[[tf.Tensor], Mapping[str, tf.Tensor]]:
    @tf.function(autograph=False, input_signature=[self._images])
    def branch(images: tf.Tensor) -> dict[str, tf.Tensor]:
      return self.encoder.branch(self._checked(images), index)

    return branch


class ServedColorizer(tf.train.Checkpoint):
  """A colorizer as users of its SavedModel see it.

  Attributes:
    colorizer: the colorizer.
    assets: the files that the SavedModel brings along, by name.
  """

  def __init__(self, colorizer: Colorizer, assets: Mapping[str, tf.saved_model.Asset]) -> None:
    super().__init__()
    self.colorizer = colorizer
    self.assets = dict(assets)

  @tf.function(autograph=False, input_signature=[_GRAY_OR_COLOR])
  def colorize(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """As `Colorizer.__call__`, under the name `rgb`."""
    stride = self.colorizer.model.encoder.stride
    return {"rgb": self.colorizer(_checked(images, (1, 3), stride))}

  def make_signatures(self) -> Signatures:
    """The signatures by name."""
    return {"serving_default": self.colorize, "colorize": self.colorize}


def branch_signatures(encoder: Encoder) -> dict[str, int]:
  """The signatures that give a branch's features alone: a name to the branch's index.

  The name is the branch's input channels, such as `L` and `ab`. What sees the same by another tower
  gets a number, `L_2`, or where it predicts the same, too, its task: `L_regression`. Branches that
  see the same by the same tower have one signature.
  """
  branches = encoder.config.branches
  seen = [(tower, branch.inputs) for tower, branch in zip(encoder.tower_of, branches)]
  found: dict[str, int] = {}
  for index, branch in enumerate(branches):
    if seen[index] in seen[:index]:
      continue
    towers = {tower for b, (tower, _) in zip(branches, seen) if b.name == branch.name}
    task = f"_{branch.task.name.rpartition('.')[2]}" if len(towers) > 1 else ""
    name = f"{group_name(branch.inputs)}{task}"
    numbered = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    found[next(n for n in numbered if n not in found)] = index
  return found


def _checked(images: tf.Tensor, channels: tuple[int, ...], stride: int) -> tf.Tensor:
  """The photographs, once it is sure that they are.

  A signature's shape is not held to by all that run it, and four channels would not fail: they
  would be taken for other pixels of three.

  Raises:
    tf.errors.InvalidArgumentError: says what to do.
  """
  shape = tf.shape(images, tf.int64)
  # Not the last of `shape`: optimizers put there what the signature says, and drop the check.
  found = tf.size(images, tf.int64), tf.reduce_prod(shape[:3])
  fits = tf.reduce_any([tf.equal(found[0], count * found[1]) for count in channels])
  wanted = " or ".join(f"(B, H, W, {count})" for count in channels)
  advice = {
    (3,): "Repeat gray three times: tf.image.grayscale_to_rgb; of four drop alpha: [..., :3]",
    (1, 3): "Of four drop alpha: [..., :3]",
  }.get(channels, "Red, green, blue, and a plane of 8 bits for each band")
  sides = shape[1:3]
  checks = [
    tf.debugging.Assert(
      fits,
      [f"Expected `images` {wanted} uint8. {advice}. Received the shape", shape],
      summarize=4,
    ),
    tf.debugging.Assert(
      tf.reduce_all((sides % stride == 0) & (sides > 0)),
      [
        f"Expected `images` of height and width that are multiples of {stride}. Crop or resize "
        "them, such as with tf.image.resize_with_crop_or_pad. Received the shape",
        shape,
      ],
      summarize=4,
    ),
  ]
  with tf.control_dependencies([check for check in checks if check is not None]):
    return tf.identity(images)


def _regularization_losses(encoder: Encoder) -> list[Callable[[], tf.Tensor]]:
  """The terms that the towers' layers add to a loss, for fresh towers."""

  def loss(tower: tf.keras.Model, index: int) -> Callable[[], tf.Tensor]:
    return tf.function(lambda: tower.losses[index], autograph=False, input_signature=[])

  return [loss(tower, i) for tower in encoder.towers for i in range(len(tower.losses))]
