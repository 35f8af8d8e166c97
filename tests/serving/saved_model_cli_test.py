"""TensorFlow's own command line, `saved_model_cli`, shows and runs an exported encoder."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest


def _cli(*arguments: str) -> str:
  # As the installed script starts it, which need not be on the path.
  done = subprocess.run(
    [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *arguments],
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  return done.stdout


@pytest.mark.parametrize(
  ("signature", "name", "dtype", "shape"),
  [
    ("serving_default", "images", "DT_UINT8", "(-1, -1, -1, 3)"),
    pytest.param("ab", "images", "DT_UINT8", "(-1, -1, -1, 3)", marks=pytest.mark.slow),
    pytest.param("from_bytes", "encoded", "DT_STRING", "(-1)", marks=pytest.mark.slow),
  ],
)
def test_shows_types_and_shapes(signature, name, dtype, shape, served):
  flags = ["--dir", str(served.path), "--tag_set", "serve", "--signature_def", signature]
  shown = " ".join(_cli("show", *flags).split())
  assert f"inputs['{name}'] tensor_info: dtype: {dtype} shape: {shape} name:" in shown
  outputs = dict(re.findall(r"outputs\['(\w+)'\] tensor_info: dtype: (\w+)", shown))
  assert outputs == dict.fromkeys(served.expected[signature], "DT_FLOAT")
  assert "tensorflow/serving/predict" in shown


@pytest.mark.parametrize("signature", ["serving_default", "from_bytes"])
def test_runs(signature, served, tmp_path):
  if signature == "from_bytes":
    np.save(tmp_path / "given.npy", np.array(served.files, object), allow_pickle=True)
    name = "encoded"
  else:
    np.save(tmp_path / "given.npy", served.images)
    name = "images"
  out = tmp_path / "out"
  flags = ["--dir", str(served.path), "--tag_set", "serve", "--signature_def", signature]
  _cli("run", *flags, "--inputs", f"{name}={tmp_path / 'given.npy'}", "--outdir", str(out))
  served.hold(signature, {path.stem: np.load(path) for path in pathlib.Path(out).iterdir()})
