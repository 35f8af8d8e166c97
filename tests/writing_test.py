"""Tests of sbae_tf.writing."""

from __future__ import annotations

import errno
import pathlib

import pytest

from sbae_tf.failures import WriteError
from sbae_tf.writing import writing


def test_what_cannot_be_written_is_one_line_that_says_why() -> None:
  class TensorFlowError(Exception):
    pass

  path = pathlib.Path("run") / "x"
  why = "No space left on device"
  for error in (
    OSError(errno.ENOSPC, why),
    TensorFlowError(f"{{{{function_node f}}}} /a/b;c.tempstate1;\n {why} [Op:SaveV2]"),
    TensorFlowError(why),
  ):
    with pytest.raises(WriteError) as raised, writing(path, TensorFlowError):
      raise error
    assert str(raised.value) == (
      "Cannot write run/x: No space left on device. Make room or mend the disk; the same command "
      "then goes on."
    )
  with pytest.raises(TensorFlowError), writing(path):
    raise TensorFlowError
