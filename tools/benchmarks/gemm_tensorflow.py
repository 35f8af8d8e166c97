"""A contestant: TensorFlow's product of large square matrices."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import metadata

from sbae_tf import runtime
from tools.benchmarks import gemm, protocol, step_setting


def product(side: int, precision: str) -> Callable[[], object]:
  """A function that multiplies two random (side, side) matrices.

  Args:
    side: of the matrices.
    precision: `float32` or `bfloat16`, of the factors and the product.
  """
  import tensorflow as tf

  factors = [
    tf.cast(tf.random.stateless_normal((side, side), seed=(0, i)), precision) for i in range(2)
  ]
  return lambda: tf.linalg.matmul(*factors)


def main() -> None:
  """Runs the contestant."""
  replies = protocol.claim_stdout()
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--precision", choices=step_setting.PRECISIONS, required=True)
  arguments = parser.parse_args()
  runtime.silence_tensorflow_logs()
  runtime.start_tensorflow()
  side, multiply = gemm.fastest(lambda side: product(side, arguments.precision))
  versions = {"tensorflow": metadata.version("tensorflow")}
  about = {"versions": versions, "detail": f"{side} x {side}"}
  protocol.serve(gemm.products(multiply, side), replies, about=about, start=0.0)


if __name__ == "__main__":
  main()
