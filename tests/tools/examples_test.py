"""The examples, each as the script that a user starts, in a process that has not this package."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import re
import runpy
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

_EXAMPLES = pathlib.Path(__file__).parents[2] / "tools" / "examples"
_COLORS = {"blue": (40, 60, 160), "green": (50, 150, 60), "red": (170, 50, 40)}

# Runs a script as `__main__`, and refuses the package: the SavedModel has to be enough.
_ALONE = """
import runpy, sys

class NotHere:
  def find_spec(name, path=None, target=None):
    if name.partition(".")[0] == "sbae_tf":
      raise ImportError(f"{name} is not to be used here")

sys.meta_path.insert(0, NotHere)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def encoder(encoder_folder) -> pathlib.Path:
  return encoder_folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> pathlib.Path:
  """20 photographs in each of three classes, which differ in their color."""
  rng = np.random.default_rng(1)
  folder = tmp_path_factory.mktemp("photographs")
  for name, color in _COLORS.items():
    (folder / name).mkdir()
    for i in range(20):
      image = np.clip(rng.normal(color, 40, (40, 50, 3)), 0, 255).astype(np.uint8)
      Image.fromarray(image).save(folder / name / f"{i:02d}.jpg")
  return folder


def _run(script: str, *flags: str) -> str:
  done = subprocess.run(
    [sys.executable, "-c", _ALONE, str(_EXAMPLES / script), *flags],
    env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    capture_output=True,
    text=True,
    timeout=400,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", ["finetune_tensorflow", "finetune_keras", "finetune_hub"])
def test_fine_tuning_learns(script, encoder, photographs, tmp_path):
  if script == "finetune_hub" and importlib.util.find_spec("tensorflow_hub") is None:
    pytest.skip("tensorflow_hub is not installed")
  out = tmp_path / "classifier"
  flags = ["--image_size=32", "--batch_size=16", "--epochs=10", f"--out={out}"]
  told = _run(f"{script}.py", f"--encoder={encoder}", f"--data={photographs}", *flags)
  # Keras tells the held-out loss as well, and small ones as 6.9e-04.
  losses = [float(loss) for loss in re.findall(r"(?<!val_)loss:? ([\d.e+-]+)", told)]
  assert len(losses) == (20 if script == "finetune_keras" else 10)
  assert losses[-1] < 0.5 * losses[0]
  # What was written classifies, without the script: photographs of one color each.
  classifier = tf.saved_model.load(str(out)).signatures["serving_default"]
  (name, spec), *_ = classifier.structured_input_signature[1].items()
  images = np.array(list(_COLORS.values()))[:, np.newaxis, np.newaxis]
  noise = np.random.default_rng(2).normal(0, 40, (3, 32, 32, 3))
  images = tf.cast(np.clip(images + noise, 0, 255), spec.dtype)
  (scores,) = classifier(**{name: images}).values()
  assert np.argmax(scores, axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
  "stays", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["frozen", "trained"]
)
def test_keras_sees_the_encoders_variables(stays, encoder):
  """And leaves all of them alone, batch statistics too, while the encoder is frozen."""
  layer = runpy.run_path(str(_EXAMPLES / "finetune_keras.py"))["Encoder"](str(encoder))
  layer.trainable = not stays
  images = np.random.default_rng(3).integers(0, 256, (16, 32, 32, 3), np.uint8)
  photographs = tf.keras.Input((32, 32, 3), dtype=tf.uint8)
  model = tf.keras.Model(photographs, tf.keras.layers.Dense(2)(layer(photographs)))
  model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
  before = [v.numpy() for v in layer.loaded.variables]
  assert len(layer.trainable_weights) == (0 if stays else len(layer.loaded.trainable_variables))
  assert len(layer.weights) == len(layer.loaded.variables) > 0
  model.fit(images, np.arange(16) % 2, verbose=0)
  same = [np.array_equal(v, b) for v, b in zip(layer.loaded.variables, before)]
  assert all(same) if stays else not any(same)


@contextlib.contextmanager
def _serving(*flags: str) -> Iterator[str]:
  """The server's address, while it runs."""
  process = subprocess.Popen(
    [sys.executable, "-c", _ALONE, str(_EXAMPLES / "serve.py"), "--port=0", *flags],
    env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  killer = threading.Timer(300, process.kill)  # Else a server that is silent is waited for.
  killer.start()
  try:
    line = process.stdout.readline()
    killer.cancel()  # From here on requests have limits of their own.
    ready = re.fullmatch(r"Ready: (http://\S+)\n", line)
    assert ready, line
    yield ready[1]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=300) == 0
  finally:
    killer.cancel()
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def server(encoder) -> Iterator[str]:
  with _serving(f"--model={encoder}") as address:
    yield address


def _ask(address: str, request: Any = None) -> tuple[int, Any]:
  """The status and the answer; of a GET without a request."""
  body = request if isinstance(request, bytes) or request is None else json.dumps(request).encode()
  try:
    with urllib.request.urlopen(address, body, timeout=60) as answer:
      return answer.status, json.load(answer)
  except urllib.error.HTTPError as error:
    return error.code, json.load(error)


def _files(images: np.ndarray) -> list[bytes]:
  files = []
  for image in images:
    buffer = io.BytesIO()
    Image.fromarray(image).resize((48, 40)).save(buffer, "JPEG")
    files.append(buffer.getvalue())
  return files


def _expected(encoder: pathlib.Path, signature: str, **given: Any) -> dict[str, np.ndarray]:
  outputs = tf.saved_model.load(str(encoder)).signatures[signature](**given)
  return {name: value.numpy() for name, value in outputs.items()}


def _hold(found: Any, expected: dict[str, np.ndarray]) -> None:
  assert set(found) == set(expected)
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4 * np.abs(value).max())


@pytest.mark.parametrize("named", [False, True])
def test_serves_photographs_in_both_forms(named, server, encoder, images):
  expected = _expected(encoder, "serving_default", images=tf.constant(images))
  pixels = images.tolist()
  rows = [{"images": image} for image in pixels] if named else pixels
  status, answer = _ask(f"{server}:predict", {"instances": rows})
  assert status == 200 and list(answer) == ["predictions"] and len(answer["predictions"]) == 4
  _hold({k: [row[k] for row in answer["predictions"]] for k in answer["predictions"][0]}, expected)
  request = {"signature_name": "serving_default", "inputs": {"images": pixels} if named else pixels}
  status, answer = _ask(f"{server}:predict", request)
  assert status == 200 and list(answer) == ["outputs"]
  _hold(answer["outputs"], expected)


@pytest.mark.parametrize("named", [False, True])
def test_serves_files(named, server, encoder, images):
  files = _files(images)
  expected = _expected(encoder, "from_bytes", encoded=tf.constant(files))
  coded = [{"b64": base64.b64encode(file).decode()} for file in files]
  rows = [{"encoded": file} for file in coded] if named else coded
  status, answer = _ask(f"{server}:predict", {"signature_name": "from_bytes", "instances": rows})
  assert status == 200
  _hold({k: [row[k] for row in answer["predictions"]] for k in answer["predictions"][0]}, expected)
  status, answer = _ask(
    f"{server}:predict",
    {"signature_name": "from_bytes", "inputs": {"encoded": coded} if named else coded},
  )
  assert status == 200
  _hold(answer["outputs"], expected)


def test_serves_one_output_without_its_name(encoder, images):
  expected = _expected(encoder, "L", images=tf.constant(images))["embedding"]
  with _serving(f"--model={encoder}", "--outputs=embedding", "--name=mine") as address:
    assert address.endswith("/v1/models/mine")
    request = {"signature_name": "L", "instances": images.tolist()}
    status, answer = _ask(f"{address}:predict", request)
  assert status == 200
  _hold({"embedding": answer["predictions"]}, {"embedding": expected})


def test_tells_that_the_model_is_there(server):
  status, answer = _ask(server)
  assert status == 200 and answer["model_version_status"][0]["state"] == "AVAILABLE"
  assert _ask(f"{server}2")[0] == 404
  assert _ask(f"{server}2:predict", {"instances": [1]})[0] == 404


_PIXELS = np.zeros((1, 32, 32, 3), np.uint8).tolist()


@pytest.mark.parametrize(
  ("request_", "message"),
  [
    (b"no JSON", "Expecting value"),
    ([1], "Expected a JSON object"),
    ({}, "either 'instances' or 'inputs'"),
    ({"instances": _PIXELS, "inputs": _PIXELS}, "either 'instances' or 'inputs'"),
    ({"instances": []}, "a list that is not empty"),
    ({"instances": [{"images": _PIXELS[0]}, 3]}, "in each of 'instances' the inputs"),
    ({"signature_name": "none", "instances": _PIXELS}, "Expected a signature from"),
    ({"signature_name": [1], "instances": _PIXELS}, "Expected a signature from"),
    ({"inputs": {"pictures": _PIXELS}}, r"Expected the inputs \['images'\]"),
    ({"instances": _PIXELS[0]}, "Expected 'images' of uint8, shape"),
    ({"instances": [[[[0, 0, 300]]]]}, "Expected 'images' of uint8"),
    ({"instances": [[[[0, 0, 0.5]]]]}, "Expected 'images' of uint8"),
    ({"instances": [[[[0, 0, 1], [0]]]]}, "Expected 'images' of uint8"),
    ({"instances": [[[["a", "b", "c"]]]]}, "Expected 'images' of uint8"),
    ({"instances": np.zeros((1, 20, 32, 3), int).tolist()}, "multiples of 8"),
    ({"signature_name": "from_bytes", "instances": ["text"]}, "Convert others"),
    ({"signature_name": "from_bytes", "instances": [{"b64": "?"}]}, "Expected 'encoded' of string"),
    ({"signature_name": "from_bytes", "instances": [3]}, "Expected 'encoded' of string"),
  ],
)
def test_a_bad_request_is_told_what_to_do(request_, message, server):
  status, answer = _ask(f"{server}:predict", request_)
  assert status == 400 and re.search(message, answer["error"]), answer
  assert _ask(server)[0] == 200


@pytest.mark.parametrize(
  ("flags", "message"),
  [(["--model=/nowhere"], "/nowhere"), (["--outputs=embeding"], "Expected --outputs from")],
)
def test_a_server_that_cannot_start_says_why(flags, message, encoder):
  done = subprocess.run(
    [sys.executable, str(_EXAMPLES / "serve.py"), f"--model={encoder}", *flags],
    env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert done.returncode == 2
  assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
