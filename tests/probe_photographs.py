"""Photographs of three classes, and what a kNN probe has to say of them, in NumPy."""

from __future__ import annotations

import pathlib

import numpy as np
from PIL import Image

SIDE = 32
TRAIN, TEST = range(60), range(1000, 1040)

_COLORS = ((200, 120, 90), (120, 160, 90), (110, 110, 190))


def image(number: int) -> np.ndarray:
  """(SIDE, SIDE, 3) uint8: noise about a color that is mostly nearest to that of its class."""
  rng = np.random.default_rng(number)
  color = _COLORS[number % 3] + rng.normal(0, 60, 3)
  return np.clip(color + rng.normal(0, 30, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def write(folder: pathlib.Path, numbers: range) -> str:
  """Writes `0/0000.png`, `1/0001.png` and so on; returns the folder."""
  for number in numbers:
    file = folder / str(number % 3) / f"{number:04}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image(number)).save(file)
  return str(folder)


def top1(encoder, layer: str = "embedding") -> float:
  """The part of `TEST` that the weighted votes of the 20 nearest in `TRAIN` are right about."""
  directions = []
  for numbers in (TRAIN, TEST):
    values = encoder(np.stack([image(number) for number in numbers]))[layer].numpy()
    vectors = values.reshape(len(numbers), -1, values.shape[-1]).mean(axis=1)
    directions.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
  train, test = directions
  right = 0
  for number, vector in zip(TEST, test):
    cosines = train @ vector
    nearest = np.argsort(-cosines)[:20]
    votes = np.bincount(nearest % 3, np.exp(cosines[nearest] / 0.07), minlength=3)
    right += int(votes.argmax()) == number % 3
  return right / len(TEST)
