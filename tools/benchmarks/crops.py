"""The crops that every contestant makes, without TensorFlow, PyTorch or this package."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import random

AREA = (0.25, 1.0)
ASPECT = (3 / 4, 4 / 3)
IMAGE_SIZE = 96
BATCH_SIZE = 64

_TRIES = 10  # As torchvision.
_REDUCTIONS = (8, 4, 2, 1)  # Those of which libjpeg-turbo has fast code; its others are slower.


@dataclasses.dataclass(frozen=True)
class Cut:
  """One crop of one file, planned.

  Attributes:
    path: the JPEG file.
    height: of the whole image, in pixels.
    width: of the whole image, in pixels.
    reduction: 1, 2, 4 or 8: the largest that leaves the crop `IMAGE_SIZE` pixels or more.
    box: top, left, height and width of the crop, in pixels of the reduced image.
  """

  path: str
  height: int
  width: int
  reduction: int
  box: tuple[int, int, int, int]


def jpeg_files(folder: pathlib.Path) -> list[str]:
  """The sorted paths of all JPEG files below a folder.

  Args:
    folder: is searched with its sub-folders.

  Raises:
    ValueError: there are fewer than a batch.
  """
  files = sorted(
    str(path)
    for path in folder.rglob("*")
    if path.suffix.lower() in (".jpg", ".jpeg") and not path.name.startswith(".")
  )
  if len(files) < BATCH_SIZE:
    raise ValueError(f"Expected {BATCH_SIZE} JPEG files or more in {folder}. Found {len(files)}.")
  return files


def random_box(height: int, width: int, generator: random.Random) -> tuple[int, int, int, int]:
  """Chooses the part of an image that a random resized crop keeps, as torchvision does.

  Args:
    height: of the image, in pixels.
    width: of the image, in pixels.
    generator: is drawn from.

  Returns:
    Top, left, height and width in pixels, inside the image.
  """
  low, high = math.log(ASPECT[0]), math.log(ASPECT[1])
  for _ in range(_TRIES):
    area = height * width * generator.uniform(*AREA)
    aspect = math.exp(generator.uniform(low, high))
    box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    if 0 < box_width <= width and 0 < box_height <= height:
      top = generator.randint(0, height - box_height)
      left = generator.randint(0, width - box_width)
      return top, left, box_height, box_width
  box_height = min(height, round(width / ASPECT[0]))
  box_width = min(width, round(height * ASPECT[1]))
  return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def plan_cut(path: str, height: int, width: int, generator: random.Random) -> Cut:
  """Draws a crop of an image, and finds how far its decoder may reduce it.

  Args:
    path: the JPEG file.
    height: of the image, in pixels.
    width: of the image, in pixels.
    generator: is drawn from.
  """
  box = random_box(height, width, generator)
  side = min(box[2:])
  reduction = next(k for k in _REDUCTIONS if side >= k * IMAGE_SIZE or k == 1)
  top, left, box_height, box_width = (length // reduction for length in box)
  return Cut(path, height, width, reduction, (top, left, box_height, box_width))
