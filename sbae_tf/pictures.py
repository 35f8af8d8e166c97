"""Pictures of a run: the first layer's filters, and a panel of predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from sbae_tf.color.color_space import ColorSpace
from sbae_tf.config import group_name
from sbae_tf.encoder import Encoder
from sbae_tf.model import PretrainModel

_GAP = 2  # Pixels between two pictures of a grid.
_CAPTION = 14  # Height of a caption, in pixels.
_FILTER_SIDE = 48  # Of a filter, about, in pixels.


def filters(encoder: Encoder) -> np.ndarray:
  """The first layer's filters of every tower, side by side.

  A filter is shown as the color that its weights mean: the tower's input channels swing about the
  middle of their range, up to its ends for the filter's largest weight; the others stay there.
  Bands are shown as red, green and blue.

  Args:
    encoder: the encoder.

  Returns:
    (H, W, 3) uint8.
  """
  grids = []
  color = encoder.color
  for channels, tower in zip(encoder.tower_channels, encoder.towers):
    weights = tower.trainable_variables[0].numpy()  # (height, width, C, filters)
    weights = weights / (np.abs(weights).max(axis=(0, 1, 2)) + 1e-12)
    scaled = np.moveaxis(weights, -1, 0)  # (filters, height, width, C) in [-1, 1]
    values = _neutral(color, scaled.shape[:3])
    for c, index in enumerate(color.indices(channels)):
      channel = color.channels[index]
      half = (channel.high - channel.low) / 2
      values[..., index] = (channel.high + channel.low) / 2 + scaled[..., c] * half
    images = _picture(color, values, channels)
    zoom = max(1, _FILTER_SIDE // images.shape[1])
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    columns = math.ceil(math.sqrt(len(images)))
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    grids.append(_with_caption(_grid(rows), f"{group_name(channels)} filters"))
  return _beside(grids)


def panel(model: PretrainModel, images: tf.Tensor) -> np.ndarray:
  """What the model predicts, a row a photograph.

  Columns: the photograph; each group of channels that a branch sees or predicts, alone; then for
  each branch the views that its task makes; its input if the task corrupts it; its prediction
  alone, and together with its input, in color, where it predicts other channels. Predictions are
  decoded by the task (for classification the annealed mean) and enlarged bilinearly from the small
  map; channels that a picture does not show stay neutral. Bands are shown as red, green and blue,
  black where they have no value.

  Args:
    model: the model.
    images: (B, H, W, S) uint8 as the color space takes them, H and W multiples of the stride.

  Returns:
    (height, width, 3) uint8.
  """
  seed = tf.constant([0, 0], tf.int64)  # The same views and noise each time.
  color = model.encoder.color
  values, known = color.encode(images), color.known(images)
  seen = model.corrupted(model.prepare(images, seed).inputs, seed)
  outputs = model.outputs(seen, training=False)
  small = model.target_values(values, known)
  columns = [("photograph", images.numpy()[..., :3])]
  groups = [g for b in model.config.branches for g in (b.inputs, b.targets)]
  for group in dict.fromkeys(groups):
    shown = _render(model, {group: color.slice(values, group)})
    if known is not None:
      shown = shown * color.slice(known, group).numpy().min(-1, keepdims=True).astype(np.uint8)
    columns.append((group_name(group), shown))
  views = model.views(images, seed)
  captions = model.config.branch_names
  for i, (branch, task) in enumerate(zip(model.config.branches, model.tasks)):
    name = group_name(branch.inputs)
    if task.has_views:
      pieces = np.split(views[i].numpy(), len(views[i]) // len(images))
      columns += [(f"view {number}", piece) for number, piece in enumerate(pieces, 1)]
    if task.corrupts:
      noisy = _native(color, seen[i], branch.inputs)
      columns.append((f"{name} as seen", _render(model, {branch.inputs: noisy})))
    decoded = task.decode(outputs[i], small[i])
    if decoded is None:
      continue
    predicted = tf.image.resize(decoded, images.shape[1:3], "bilinear")
    alone = _render(model, {branch.targets: predicted})
    columns.append((f"{captions[i]}: {group_name(branch.targets)}", alone))
    both_sides = {*branch.inputs, *branch.targets}
    if not set(branch.inputs) <= set(branch.targets) and not both_sides & set(color.band_names):
      given = color.slice(values, branch.inputs)
      both = _render(model, {branch.inputs: given, branch.targets: predicted})
      columns.append((f"with {name}", both))
  return _beside([_with_caption(_grid([[i] for i in column]), name) for name, column in columns])


def _native(color: ColorSpace, scaled: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
  """Channels in [-1, 1] to the same in native units: `ColorSpace.scale` backwards."""
  channels = color.select(names)
  middle = np.array([(channel.high + channel.low) / 2 for channel in channels], np.float32)
  half = np.array([(channel.high - channel.low) / 2 for channel in channels], np.float32)
  return scaled * half + middle


def _neutral(color: ColorSpace, shape: Sequence[int]) -> np.ndarray:
  """(*shape, C) float32: mid-gray in every channel, bands in the middle of their ranges."""
  levels = [119] * 3 + [0] * color.bands  # L = 50
  gray = color.encode(tf.constant(levels, tf.uint8, (1, 1, 1, color.planes)))
  return np.broadcast_to(gray.numpy()[0, 0, 0], (*shape, gray.shape[-1])).copy()


def _render(model: PretrainModel, groups: dict[tuple[str, ...], tf.Tensor]) -> np.ndarray:
  """Groups of channels, each (B, H, W, C) in native units, to (B, H, W, 3) uint8."""
  color = model.encoder.color
  some = next(iter(groups.values()))
  values = _neutral(color, some.shape[:3])
  for names, group in groups.items():
    values[..., color.indices(names)] = group.numpy()
  return _picture(color, values, [name for names in groups for name in names])


def _picture(color: ColorSpace, values: np.ndarray, names: Sequence[str]) -> np.ndarray:
  """(B, H, W, C) in native units to (B, H, W, 3) uint8 of the channels of these names.

  Bands alone are red, green and blue, one of them gray; beside others they are not seen.
  """
  if not set(names) <= set(color.band_names):
    return _to_uint8(color.decode(tf.constant(values)))
  levels = (color.scale(tf.constant(values), names[:3]) + 1.0) / 2.0
  if len(names) == 1:
    levels = tf.repeat(levels, 3, axis=-1)
  levels = tf.pad(levels, [(0, 0)] * 3 + [(0, 3 - levels.shape[-1])], constant_values=0.5)
  return _to_uint8(tf.clip_by_value(levels, 0.0, 1.0))


def _to_uint8(images: tf.Tensor) -> np.ndarray:
  return np.round(images.numpy() * 255).astype(np.uint8)


def _grid(rows: Sequence[Sequence[np.ndarray] | np.ndarray]) -> np.ndarray:
  """Rows of pictures of one size, on white; a short last row is filled up."""
  height, width = rows[0][0].shape[:2]
  grid = np.full(
    (len(rows) * (height + _GAP) - _GAP, len(rows[0]) * (width + _GAP) - _GAP, 3), 255, np.uint8
  )
  for i, row in enumerate(rows):
    for j, image in enumerate(row):
      y, x = i * (height + _GAP), j * (width + _GAP)
      grid[y : y + height, x : x + width] = image
  return grid


def _with_caption(picture: np.ndarray, text: str) -> np.ndarray:
  font = ImageFont.load_default()
  width = max(picture.shape[1], int(font.getlength(text)) + 2)
  canvas = Image.new("RGB", (width, picture.shape[0] + _CAPTION), "white")
  canvas.paste(Image.fromarray(picture), (0, _CAPTION))
  ImageDraw.Draw(canvas).text((1, 1), text, fill="black", font=font)
  return np.asarray(canvas)


def _beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
  height = max(picture.shape[0] for picture in pictures)
  padded = [
    np.pad(p, ((0, height - p.shape[0]), (_GAP, _GAP), (0, 0)), constant_values=255)
    for p in pictures
  ]
  return np.concatenate(padded, axis=1)
