"""ONNX, by tf2onnx: onnxruntime, and what else reads it.

They run in a process of their own, by any interpreter that has tf2onnx, TensorFlow and onnxruntime:
the newest onnx wants other versions of protobuf and ml_dtypes than TensorFlow 2.15. Beside that one
tf2onnx 1.17 works with onnx below 1.19, and the extra `onnx` installs them so. Python 3.9 has no
tf2onnx that does.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from sbae_tf.failures import RunError

_OPSET = 15
_LINES = 3  # Of what a process said before it failed.


class MissingError(ValueError):
  """An interpreter does not have a package."""


def convert(
  saved_model: str | os.PathLike[str],
  path: str | os.PathLike[str],
  *,
  python: str | os.PathLike[str] = sys.executable,
) -> None:
  """Converts an encoder.

  The file takes `images`, (B, S, S, 3) uint8, any B, and gives every feature by its name.

  Args:
    saved_model: folder of what `save_portable` wrote.
    path: the file to write.
    python: an interpreter that has tf2onnx and TensorFlow.

  Raises:
    MissingError: it does not have tf2onnx.
    RunError: tf2onnx failed; says how.
  """
  require("tf2onnx", python=python)
  flags = [f"--saved-model={saved_model}", "--signature_def=serving_default", "--tag=serve"]
  _run([python, "-m", "tf2onnx.convert", *flags, f"--opset={_OPSET}", f"--output={path}"])


def run(
  path: str | os.PathLike[str],
  images: np.ndarray,
  *,
  python: str | os.PathLike[str] = sys.executable,
) -> dict[str, np.ndarray]:
  """Features of photographs, by onnxruntime on the CPU.

  Args:
    path: a file that `convert` wrote.
    images: (B, S, S, 3) uint8.
    python: an interpreter that has onnxruntime.

  Returns:
    Every feature, float32, by name.

  Raises:
    MissingError: it does not have onnxruntime.
    RunError: onnxruntime failed; says how.
  """
  require("onnxruntime", python=python)
  with tempfile.TemporaryDirectory() as folder:
    inputs, outputs = pathlib.Path(folder, "images.npy"), pathlib.Path(folder, "features.npz")
    np.save(inputs, images)
    script = pathlib.Path(__file__).with_name("_onnx_consumer.py")
    _run([python, script, path, inputs, outputs])
    with np.load(outputs) as features:
      return dict(features)


def has(package: str, *, python: str | os.PathLike[str] = sys.executable) -> bool:
  """Whether an interpreter finds a package."""
  code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
  try:
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0
  except OSError:
    return False


def require(package: str, *, python: str | os.PathLike[str] = sys.executable) -> None:
  """Raises `MissingError`, which says what to do, where an interpreter does not find a package."""
  if not has(package, python=python):
    raise MissingError(
      f"{python} has no {package}: pip install 'sbae_tf[onnx]', or name an interpreter that has it "
      "by --onnx_python."
    )


def _run(command: Sequence[str | os.PathLike[str]]) -> None:
  """Runs a process, and raises with the last it said if it fails."""
  variables = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **os.environ}
  done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=variables)
  if done.returncode:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()][-_LINES:]
    name = " ".join(map(str, command[1:3]))
    raise RunError(f"{name} failed with status {done.returncode}: {'; '.join(lines)}")
