"""Matrix products: their count of operations, and the choice of a side."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tools.benchmarks import gemm, gemm_tensorflow


def test_operations_are_those_of_a_product():
  assert gemm.flop(3) == 3 * 3 * (3 + 3)  # For each number 3 multiplications and 3 additions.
  made = []
  assert list(itertools.islice(gemm.products(lambda: made.append(1), 10), 3)) == [2000] * 3
  assert len(made) == 3


def test_the_side_of_the_highest_rate_is_kept():
  now = [0.0]
  rates = {10: 1e3, 20: 4e3, 40: 2e3}
  slow = itertools.chain([1.0, 1.0, 50.0], itertools.repeat(1.0))  # Once something else runs.

  def make(side):
    def multiply():
      now[0] += gemm.flop(side) / rates[side] * (next(slow) if side == 20 else 1.0)
      return side

    return multiply

  side, multiply = gemm.fastest(make, sides=list(rates), clock=lambda: now[0])
  assert side == 20 and multiply() == 20


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_tensorflows_product_is_one_of_that_precision(precision):
  product = gemm_tensorflow.product(64, precision)()
  assert product.shape == (64, 64) and product.dtype.name == precision
  # The sums of 64 products of normal numbers.
  assert float(np.std(product.numpy().astype(np.float32))) == pytest.approx(8.0, rel=0.1)
