"""A contestant: PyTorch's product of large square matrices. Runs in an environment of its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

import torch

from tools.benchmarks import gemm, protocol, step_setting


def product(side: int, precision: str) -> Callable[[], object]:
  """A function that multiplies two random (side, side) matrices.

  Args:
    side: of the matrices.
    precision: `float32` or `bfloat16`, of the factors and the product.
  """
  generator = torch.Generator().manual_seed(0)
  factors = [
    torch.randn((side, side), generator=generator).to(getattr(torch, precision)) for _ in range(2)
  ]
  return lambda: torch.matmul(*factors)


def main() -> None:
  """Runs the contestant."""
  replies = protocol.claim_stdout()
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--precision", choices=step_setting.PRECISIONS, required=True)
  arguments = parser.parse_args()
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  side, multiply = gemm.fastest(lambda side: product(side, arguments.precision))
  about = {"versions": {"torch": torch.__version__}, "detail": f"{side} x {side}"}
  protocol.serve(gemm.products(multiply, side), replies, about=about, start=0.0)


if __name__ == "__main__":
  main()
