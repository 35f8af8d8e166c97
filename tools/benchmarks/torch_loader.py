"""A contestant: PyTorch's DataLoader with Pillow or OpenCV. Runs in an environment of its own.

As its users write it: a map-style dataset that decodes, crops and flips one image, and workers that
make whole batches of them. The number of workers, and OpenCV's interpolation, are those that are
fastest here: each is tried at the start.
"""

from __future__ import annotations

import argparse
import functools
import gc
import itertools
import pathlib
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any

import cv2
import torch
from PIL import Image
from torchvision.transforms import v2

from tools.benchmarks import crops, protocol

Load = Callable[[str, random.Random], torch.Tensor]


class Crops(torch.utils.data.Dataset):
  """Random crops of files, one at a time."""

  def __init__(self, files: Sequence[str], load: Load) -> None:
    self._files, self._load = list(files), load
    self.generator = random.Random()

  def __len__(self) -> int:
    return len(self._files)

  def __getitem__(self, index: int) -> torch.Tensor:
    return self._load(self._files[index], self.generator)


class Endless(torch.utils.data.Sampler):
  """A new order of all images again and again.

  The end of an epoch costs a DataLoader a pause, and a small collection has many ends.
  """

  def __init__(self, count: int) -> None:
    self._count = count

  def __iter__(self) -> Iterator[int]:
    while True:
      yield from torch.randperm(self._count).tolist()


def pillow_load() -> Load:
  """Decodes with Pillow, crops and flips with torchvision.

  Returns:
    From a path to a (3, S, S) uint8 tensor; draws from PyTorch's own generator.
  """
  transform = v2.Compose(
    [
      v2.RandomResizedCrop(crops.IMAGE_SIZE, scale=crops.AREA, ratio=crops.ASPECT, antialias=True),
      v2.RandomHorizontalFlip(),
      v2.PILToTensor(),
    ]
  )

  def load(path: str, _: random.Random) -> torch.Tensor:
    with Image.open(path) as image:
      return transform(image.convert("RGB"))

  return load


def opencv_load(interpolation: int) -> Load:
  """Decodes, crops and flips with OpenCV.

  Args:
    interpolation: such as `cv2.INTER_AREA`.

  Returns:
    From a path to an (S, S, 3) uint8 tensor.
  """

  def load(path: str, generator: random.Random) -> torch.Tensor:
    image = cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
      raise ValueError(f"OpenCV cannot read {path}")
    top, left, height, width = crops.random_box(image.shape[0], image.shape[1], generator)
    crop = image[top : top + height, left : left + width]
    crop = cv2.resize(crop, (crops.IMAGE_SIZE, crops.IMAGE_SIZE), interpolation=interpolation)
    crop = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
    return torch.from_numpy(cv2.flip(crop, 1) if generator.random() < 0.5 else crop)

  return load


def batches(files: Sequence[str], load: Load, *, workers: int) -> Iterator[int]:
  """Yields the number of images of batch after batch.

  Args:
    files: the images.
    load: from a path to a tensor.
    workers: processes beside this one; 0 loads here.
  """
  loader = torch.utils.data.DataLoader(
    Crops(files, load),
    batch_size=crops.BATCH_SIZE,
    sampler=Endless(len(files)),
    num_workers=workers,
    worker_init_fn=_start_worker,
    multiprocessing_context="fork" if workers else None,
  )
  for batch in loader:
    yield len(batch)


def worker_counts(cores: int) -> list[int]:
  """The numbers of workers to try: all up to one more than cores, or those that can be best.

  Args:
    cores: the number of processors to use.
  """
  if cores <= 4:
    return list(range(cores + 2))
  return [0, cores // 2, cores - 1, cores, cores + 1]


def fastest(
  choices: dict[str, Callable[[], Iterator[int]]], *, seconds: float
) -> tuple[str, dict[str, float]]:
  """Tries each choice for a while.

  Args:
    choices: names, and what starts each.
    seconds: to measure each for.

  Returns:
    The name of the fastest, and the images/s of all.
  """
  rates = {}
  for name, start in choices.items():
    iterator = start()
    count = protocol.measure(iterator, seconds=seconds)
    rates[name] = count.images / count.seconds
    del iterator  # Its workers end with it.
    gc.collect()
  return max(rates, key=lambda name: rates[name]), rates


def _start_worker(_: int) -> None:
  cv2.setNumThreads(0)
  worker = torch.utils.data.get_worker_info()
  worker.dataset.generator.seed(worker.seed)  # Each has a copy of the same.


def _loads(decoder: str) -> dict[str, Load]:
  if decoder == "pillow":
    return {"": pillow_load()}
  return {
    "INTER_AREA": opencv_load(cv2.INTER_AREA),
    "INTER_LINEAR": opencv_load(cv2.INTER_LINEAR),
  }


def _choices(
  files: Sequence[str], decoder: str, cores: int
) -> dict[str, Callable[[], Iterator[int]]]:
  return {
    f"{workers} workers{', ' if name else ''}{name}": functools.partial(
      batches, files, load, workers=workers
    )
    for workers, (name, load) in itertools.product(worker_counts(cores), _loads(decoder).items())
  }


def _about(best: str, rates: dict[str, float]) -> dict[str, Any]:
  packages = ("torch", "torchvision", "opencv-python-headless", "pillow")
  return {
    "versions": {name: metadata.version(name) for name in packages},
    "detail": best,
    "tried": rates,
  }


def main() -> None:
  """Runs the contestant."""
  replies = protocol.claim_stdout()
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folder", type=pathlib.Path)
  parser.add_argument("--decoder", choices=("pillow", "opencv"), required=True)
  parser.add_argument("--cores", type=int, required=True)
  parser.add_argument("--try_seconds", type=float, default=3.0)
  arguments = parser.parse_args()
  warnings.filterwarnings("ignore", message="This DataLoader will create")  # That is the trial.
  cv2.setNumThreads(0)
  torch.set_num_threads(1)
  choices = _choices(crops.jpeg_files(arguments.folder), arguments.decoder, arguments.cores)
  best, rates = fastest(choices, seconds=arguments.try_seconds)
  protocol.serve(choices[best](), replies, about=_about(best, rates))


if __name__ == "__main__":
  main()
