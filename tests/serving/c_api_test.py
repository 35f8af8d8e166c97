"""A C program on TensorFlow's C API: what serves without Python computes the same numbers."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_SOURCE = pathlib.Path(__file__).with_name("c_api_consumer.c")
_TENSORFLOW = pathlib.Path(tf.sysconfig.get_lib())


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> str:
  """The compiled consumer."""
  compiler = shutil.which("gcc")
  if compiler is None:
    pytest.skip("gcc is not installed")
  if not (_TENSORFLOW / "libtensorflow_cc.so.2").is_file():
    pytest.skip("this TensorFlow brings no libtensorflow_cc.so.2")
  path = str(tmp_path_factory.mktemp("compiled") / "consumer")
  libraries = [f"-l:libtensorflow_{name}.so.2" for name in ("cc", "framework")]
  flags = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-I", tf.sysconfig.get_include()]
  search = ["-L", str(_TENSORFLOW), f"-Wl,-rpath,{_TENSORFLOW}"]
  done = subprocess.run(
    [compiler, *flags, str(_SOURCE), "-o", path, *search, *libraries],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  return path


def _signature(path: pathlib.Path, name: str) -> tuple[str, dict[str, str]]:
  """The input's tensor, and the outputs' by name, as the file says."""
  model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
  signature = model.meta_graphs[0].signature_def[name]
  (given,) = signature.inputs.values()
  return given.name, {key: output.name for key, output in signature.outputs.items()}


def _run(program: str, path: pathlib.Path, signature: str, given: Sequence[str]):
  """The process, and the outputs by name."""
  tensor, outputs = _signature(path, signature)
  done = subprocess.run(
    [program, str(path), tensor, *given, *outputs.values()],
    capture_output=True,
    timeout=300,
    check=False,
  )
  found, place = {}, 0
  for name in outputs if done.returncode == 0 else ():
    rank = int(np.frombuffer(done.stdout, np.int64, 1, place)[0])
    shape = np.frombuffer(done.stdout, np.int64, rank, place + 8)
    place += 8 * (1 + rank)
    found[name] = np.frombuffer(done.stdout, np.float32, shape.prod(), place).reshape(shape)
    place += found[name].nbytes
  assert place == len(done.stdout)
  return done, found


def _pixels(images: np.ndarray, folder: pathlib.Path) -> list[str]:
  images.tofile(folder / "pixels")
  return ["uint8", ",".join(map(str, images.shape)), str(folder / "pixels")]


@pytest.mark.parametrize("signature", ["serving_default", "L", "ab"])
def test_photographs(signature, program, served, tmp_path):
  done, found = _run(program, served.path, signature, _pixels(served.images, tmp_path))
  assert done.returncode == 0, done.stderr.decode()[-3000:]
  served.hold(signature, found)


def test_files(program, served, tmp_path):
  for i, file in enumerate(served.files):
    (tmp_path / str(i)).write_bytes(file)
  given = ["string", ",".join(str(tmp_path / str(i)) for i in range(len(served.files)))]
  done, found = _run(program, served.path, "from_bytes", given)
  assert done.returncode == 0, done.stderr.decode()[-3000:]
  served.hold("from_bytes", found)


def test_other_channels_are_told_what_to_do(program, served, tmp_path):
  """No shape is checked here: the SavedModel has to."""
  images = np.zeros((3, 32, 32, 4), np.uint8)
  done, _ = _run(program, served.path, "serving_default", _pixels(images, tmp_path))
  assert done.returncode == 1
  assert "Expected `images` (B, H, W, 3) uint8" in done.stderr.decode()


def test_bad_files_are_told_what_to_do(program, served, tmp_path):
  (tmp_path / "bad").write_bytes(b"no photograph")
  done, _ = _run(program, served.path, "from_bytes", ["string", str(tmp_path / "bad")])
  assert done.returncode == 1
  assert "Expected `encoded` to be whole JPEG" in done.stderr.decode()
