"""ONNX by the real tf2onnx and onnxruntime, where an interpreter has them.

`SBAE_ONNX_PYTHON=/envs/onnx/bin/python` names one of another environment.
"""

from __future__ import annotations

import os
import pathlib
import sys

import numpy as np
import pytest

from sbae_tf.failures import RunError
from sbae_tf.formats import onnx
from sbae_tf.formats.difference import largest_differences

_PYTHON = os.environ.get("SBAE_ONNX_PYTHON", sys.executable)


@pytest.fixture(scope="session")
def converted(portable, tmp_path_factory) -> pathlib.Path:
  for package in ("tf2onnx", "onnxruntime"):
    if not onnx.has(package, python=_PYTHON):
      pytest.skip(f"{_PYTHON} has no {package}")
  path = tmp_path_factory.mktemp("onnx") / "encoder.onnx"
  onnx.convert(portable, path, python=_PYTHON)
  return path


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_gives_the_same_numbers(converted, images, expected, count):
  found = onnx.run(converted, images[:count], python=_PYTHON)
  part = {name: value[:count] for name, value in expected.items()}
  differences = largest_differences(found, part)
  assert max(differences.values()) < 1e-4, differences
  assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}


@pytest.mark.slow
def test_says_how_the_runtime_failed(converted, images):
  with pytest.raises(RunError, match="_onnx_consumer.py.*failed with status 1.*images"):
    onnx.run(converted, images[:, :24], python=_PYTHON)


def test_says_how_a_process_failed(tmp_path, images):
  python = tmp_path / "python"  # Finds every package, and fails at all else.
  python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "no such thing" >&2\nexit 3\n')
  python.chmod(0o755)
  with pytest.raises(RunError, match="tf2onnx.convert failed with status 3: no such thing"):
    onnx.convert(tmp_path, tmp_path / "out.onnx", python=python)
  with pytest.raises(RunError, match="failed with status 3: no such thing"):
    onnx.run(tmp_path / "out.onnx", images, python=python)


def test_says_what_is_missing(tmp_path, images):
  python = tmp_path / "python"
  with pytest.raises(onnx.MissingError, match="python has no tf2onnx: pip install"):
    onnx.convert(tmp_path, tmp_path / "out.onnx", python=python)
  with pytest.raises(onnx.MissingError, match="python has no onnxruntime"):
    onnx.run(tmp_path / "out.onnx", images, python=python)


def test_finds_packages():
  assert onnx.has("numpy")
  assert not onnx.has("no_such_package")
  assert not onnx.has("numpy", python="/no/such/python")
