"""What the contestants of the step's benchmark share, whichever library they compute with."""

from __future__ import annotations

import argparse
import random

from tools.benchmarks import crops

MODELS = ("simplenet", "resnet18")
PRECISIONS = ("float32", "bfloat16")
WARM_STEPS = 2  # The first ones trace, compile and reserve memory.


def photographs(count: int = crops.BATCH_SIZE, *, size: int = crops.IMAGE_SIZE) -> bytearray:
  """Random photographs, the same at every call.

  Args:
    count: B, their number.
    size: S, their side in pixels.

  Returns:
    B S S 3 bytes of sRGB, channels last.
  """
  return bytearray(random.Random(0).randbytes(count * size * size * 3))


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds what every contestant of the step is told: `--model` and `--precision`."""
  parser.add_argument("--model", choices=MODELS, required=True)
  parser.add_argument("--precision", choices=PRECISIONS, required=True)
