"""Runs an ONNX file by onnxruntime: a script for an interpreter that may have no TensorFlow.

`python _onnx_consumer.py MODEL.onnx images.npy features.npz`
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime


def main(model: str, images: str, features: str) -> None:
  """Writes every output, by its name.

  Args:
    model: the ONNX file; its input is called `images`.
    images: file with (B, S, S, 3) uint8.
    features: file to write.
  """
  session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
  names = [output.name for output in session.get_outputs()]
  np.savez(features, **dict(zip(names, session.run(names, {"images": np.load(images)}))))


if __name__ == "__main__":
  main(*sys.argv[1:])
