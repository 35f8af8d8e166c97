"""The embedded photographs: color images that ship inside scikit-image and scikit-learn.

Ten photographs that are on every machine where the two packages are installed, so that a first run
needs no data set and no network. Every item is a square crop of one of them; the right or lower
fifth of each photograph is held out and never seen in training.

Only photographs with color in them: the gray ones, the drawings and the second picture of
scikit-image's stereo pair (it shows again what the first one's held-out part shows) are left out.
"""

from __future__ import annotations

import functools
import importlib.util
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sbae_tf.data import source as source_lib

# Name, package, path in the package; the same files in scikit-image 0.24 to 0.26.
_PHOTOGRAPHS = (
  ("astronaut", "skimage", "data/astronaut.png"),
  ("chelsea", "skimage", "data/chelsea.png"),
  ("coffee", "skimage", "data/coffee.png"),
  ("hubble_deep_field", "skimage", "data/hubble_deep_field.jpg"),
  ("ihc", "skimage", "data/ihc.png"),
  ("motorcycle", "skimage", "data/motorcycle_left.png"),
  ("retina", "skimage", "data/retina.jpg"),
  ("rocket", "skimage", "data/rocket.jpg"),
  ("china", "sklearn", "datasets/images/china.jpg"),
  ("flower", "sklearn", "datasets/images/flower.jpg"),
)
_DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn"}

# (top, left, height, width) in pixels. The square inside the round retina: its corners are black.
_USED_PART = {"retina": (207, 207, 997, 997)}

_SPLITS = {"train": 2560, "heldout": 512}  # The default number of crops.
_HELDOUT_PART = 0.2
_SMALLEST_CROP = 64


def build(split: str, *, crops: int | None = None, seed: int = 0) -> source_lib.Source:
  """Cuts crops at several scales out of the embedded photographs.

  Args:
    split: `"train"` or `"heldout"`; the two share no pixel.
    crops: how many; by default 2,560 for training and 512 held out. The photographs take turns,
      and fewer crops are the first of more.
    seed: of the crops' places and sizes, not negative.

  Returns:
    A source of `crops` square images of 64 pixels and up, labelled with their photograph.

  Raises:
    ValueError: `split` is unknown, `crops` or `seed` is out of range, or scikit-image or
      scikit-learn is missing.
  """
  if split not in _SPLITS:
    raise ValueError(f"Expected `split` one of {', '.join(_SPLITS)}. Received: {split!r}")
  crops = _SPLITS[split] if crops is None else crops
  images = [_decode(package, path) for _, package, path in _PHOTOGRAPHS]
  class_names = tuple(name for name, _, _ in _PHOTOGRAPHS)
  regions = [
    region_of(split, _USED_PART.get(name, (0, 0, *image.shape[:2])))
    for name, image in zip(class_names, images)
  ]
  labels, boxes = draw_boxes(regions, crops=crops, seed=seed)
  with tf.device("cpu:0"):
    labels_tensor, boxes_tensor = tf.constant(labels), tf.constant(boxes)

  def crop(image: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    return image[box[0] : box[0] + box[2], box[1] : box[1] + box[3]]

  def read(index: tf.Tensor) -> tf.Tensor:
    box = tf.gather(boxes_tensor, index)
    branches = [functools.partial(crop, image, box) for image in images]
    square = tf.switch_case(tf.gather(labels_tensor, index), branches)
    # PNG without loss takes fifty times as long; this differs from it by 1.5 levels on average.
    return tf.io.encode_jpeg(square, quality=95, chroma_downsampling=False)

  return source_lib.Source(
    names=[
      f"{class_names[label]}[{top}:{top + height}, {left}:{left + width}]"
      for label, (top, left, height, width) in zip(labels, boxes)
    ],
    labels=labels,
    class_names=class_names,
    read=read,
    description=f"{crops:,} {split} crops of {len(images)} embedded photographs",
  )


def region_of(split: str, box: Sequence[int]) -> tuple[int, int, int, int]:
  """The part of a photograph that a split may use.

  Args:
    split: `"train"` for the left or upper 80% along the longer side, `"heldout"` for the rest.
    box: (top, left, height, width) of the usable photograph, in pixels.

  Returns:
    (top, left, height, width) in pixels, inside `box`.
  """
  top, left, height, width = box
  heldout = round(_HELDOUT_PART * max(height, width))
  size = heldout if split == "heldout" else max(height, width) - heldout
  offset = 0 if split == "train" else max(height, width) - heldout
  if width >= height:
    return top, left + offset, height, size
  return top + offset, left, size, width


def draw_boxes(
  regions: Sequence[tuple[int, int, int, int]], *, crops: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Draws square boxes inside regions, their sides log-uniform from 64 to the shorter side.

  Args:
    regions: (top, left, height, width) in pixels, each side at least 64.
    crops: how many boxes; the regions take turns.
    seed: of the NumPy generator; not negative.

  Returns:
    The regions' indices (crops,) int32 and the boxes (crops, 4) int32: top, left, height, width.

  Raises:
    ValueError: `crops` is not positive, `seed` is negative or a region is too small.
  """
  if crops < 1:
    raise ValueError(f"Expected `crops` of 1 or more. Received: {crops}")
  if seed < 0:
    raise ValueError(f"Expected `seed` of 0 or more. Received: {seed}")
  shorter = np.array([min(height, width) for _, _, height, width in regions])
  if shorter.min() < _SMALLEST_CROP:
    raise ValueError(
      f"Expected regions of {_SMALLEST_CROP} pixels or more. Received: {shorter.min()}"
    )
  indices = np.arange(crops, dtype=np.int32) % len(regions)
  # One row a crop, so that fewer crops are the first of more.
  draws = np.random.default_rng(seed).random((crops, 3))
  top, left, height, width = np.array(regions)[indices].T
  ratio = (shorter[indices] + 1) / _SMALLEST_CROP
  side = np.minimum(_SMALLEST_CROP * ratio ** draws[:, 0], shorter[indices]).astype(np.int32)
  top = top + (draws[:, 1] * (height - side + 1)).astype(np.int32)
  left = left + (draws[:, 2] * (width - side + 1)).astype(np.int32)
  return indices, np.stack([top, left, side, side], axis=1).astype(np.int32)


def _decode(package: str, path: str) -> tf.Tensor:
  """Reads one photograph, (H, W, 3) uint8, without importing its (slow) package."""
  spec = importlib.util.find_spec(package)
  folders = list(spec.submodule_search_locations or ()) if spec else []
  file = next((f for f in (pathlib.Path(folder, path) for folder in folders) if f.is_file()), None)
  if file is None:
    raise ValueError(
      f"The embedded photographs need {package}/{path}, which is not installed. Run: pip install "
      f"{' '.join(_DISTRIBUTIONS.values())}; or give a folder of images of your own."
    )
  with tf.device("cpu:0"):
    return tf.io.decode_image(tf.io.read_file(str(file)), channels=3, expand_animations=False)
