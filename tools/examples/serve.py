"""Serves a SavedModel over HTTP in TensorFlow Serving's REST form, for a first try.

  python serve.py --model=runs/mine/encoder --outputs=embedding
  printf '{"signature_name": "from_bytes", "instances": [{"b64": "%s"}]}' "$(base64 -w0 a.jpg)" |
    curl -d @- http://localhost:8501/v1/models/encoder:predict

Clients stay as they are when TensorFlow Serving takes its place: that has batching, versions, gRPC
and encryption, and this has not. Needs TensorFlow alone.

Reference: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import argparse
import base64
import json
import pathlib
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

LARGEST_BODY = 64 * 2**20  # Bytes.


class Model:
  """A SavedModel's signatures, from JSON to JSON."""

  def __init__(self, path: str, outputs: Sequence[str] = ()) -> None:
    """Loads it.

    Args:
      path: the SavedModel's folder.
      outputs: those to answer with; empty: all that a signature has.

    Raises:
      ValueError: a signature has none of `outputs`.
    """
    self._loaded = tf.saved_model.load(path)  # Its functions live as long as it does.
    self._signatures = self._loaded.signatures
    self._outputs = outputs
    for name, signature in self._signatures.items():
      there = sorted(signature.structured_outputs)
      if outputs and not set(outputs) & set(there):
        raise ValueError(f"Expected --outputs from {there}, those of {name}. Received: {outputs}")

  def predict(self, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answers a request.

    Args:
      request: with `instances`, a value a photograph, or `inputs`, a value a batch; strings that
        are not text as `{"b64": ...}`. And `signature_name`, if it is not `serving_default`.

    Returns:
      `predictions`, a value a photograph, or `outputs`, a value a batch, to match. A value is an
      object by name, unless there is one output alone.

    Raises:
      ValueError: it is no such request, or the model cannot run it.
    """
    name = request.get("signature_name", "serving_default")
    if not isinstance(name, str) or name not in self._signatures:
      raise ValueError(f"Expected a signature from {sorted(self._signatures)}. Received: {name!r}")
    if ("instances" in request) == ("inputs" in request):
      raise ValueError("Expected either 'instances' or 'inputs'.")
    signature = self._signatures[name]
    specs = signature.structured_input_signature[1]
    rows = "instances" in request
    given = _columns(request["instances"], list(specs)) if rows else request["inputs"]
    if not isinstance(given, dict) or "b64" in given:
      given = dict.fromkeys(specs, given)
    if set(given) != set(specs):
      raise ValueError(f"Expected the inputs {sorted(specs)}. Received: {sorted(given)}")
    try:
      found = signature(**{k: _tensor(given[k], k, spec) for k, spec in specs.items()})
    except tf.errors.InvalidArgumentError as error:  # The model says what is wrong.
      raise ValueError(error.message) from error
    names = self._outputs or sorted(found)
    values = {name: found[name].numpy().tolist() for name in names if name in found}
    if len(values) == 1:
      (only,) = values.values()
      return {"predictions" if rows else "outputs": only}
    if rows:
      return {"predictions": [dict(zip(values, row)) for row in zip(*values.values())]}
    return {"outputs": values}


def _columns(instances: Any, names: Sequence[str]) -> dict[str, list[Any]]:
  """A value a photograph to a value a batch, by input."""
  if not isinstance(instances, list) or not instances:
    raise ValueError("Expected 'instances' to be a list that is not empty.")
  if not isinstance(instances[0], dict) or "b64" in instances[0]:
    return {names[0]: instances}
  if not all(isinstance(row, dict) and set(row) == set(names) for row in instances):
    raise ValueError(f"Expected in each of 'instances' the inputs {list(names)}.")
  return {name: [row[name] for row in instances] for name in names}


def _tensor(value: Any, name: str, spec: tf.TensorSpec) -> tf.Tensor:
  try:
    if spec.dtype == tf.string:
      tensor = tf.constant(_decoded(value), tf.string)
    else:
      array = np.array(value)
      tensor = tf.constant(array.astype(spec.dtype.as_numpy_dtype))
      if not np.array_equal(tensor, array):  # 300 would become 44, and 0.5 become 0.
        raise ValueError("Numbers of another type")
    if not spec.shape.is_compatible_with(tensor.shape):
      raise ValueError("Another shape")
    return tensor
  except (TypeError, ValueError) as error:
    raise ValueError(f"Expected '{name}' of {spec.dtype.name}, shape {spec.shape}.") from error


def _decoded(value: Any) -> Any:
  """Strings in lists; those in base64 to bytes."""
  if isinstance(value, list):
    return [_decoded(part) for part in value]
  if isinstance(value, dict) and set(value) == {"b64"}:
    return base64.b64decode(value["b64"], validate=True)
  return value


class Handler(BaseHTTPRequestHandler):
  """Answers `GET .../NAME` and `POST .../NAME:predict`."""

  model: ClassVar[Model]
  name: ClassVar[str]
  protocol_version = "HTTP/1.1"

  def do_GET(self) -> None:
    """Tells that the model is there."""
    if self.path == f"/v1/models/{self.name}":
      state = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK"}}
      self._answer(HTTPStatus.OK, {"model_version_status": [state]})
    else:
      self._answer(HTTPStatus.NOT_FOUND, {"error": f"Expected /v1/models/{self.name}"})

  def do_POST(self) -> None:
    """Runs a signature."""
    size = int(self.headers.get("Content-Length") or 0)
    if size > LARGEST_BODY:
      self.close_connection = True  # What is not read would be taken for the next request.
      self._answer(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"Expected at most {LARGEST_BODY} bytes."}
      )
      return
    body = self.rfile.read(size)
    if self.path != f"/v1/models/{self.name}:predict":
      self._answer(HTTPStatus.NOT_FOUND, {"error": f"Expected /v1/models/{self.name}:predict"})
      return
    try:
      request = json.loads(body)
      if not isinstance(request, dict):
        raise ValueError("Expected a JSON object.")
      answer = self.model.predict(request)
    except ValueError as error:
      self._answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
      return
    self._answer(HTTPStatus.OK, answer)

  def _answer(self, status: HTTPStatus, content: Mapping[str, Any]) -> None:
    body = json.dumps(content).encode()
    self.send_response(status)
    self.send_header("Content-Type", "application/json")
    self.send_header("Content-Length", str(len(body)))
    self.end_headers()
    self.wfile.write(body)


def main() -> None:
  """Runs the command line, until it is interrupted."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--model", required=True, help="folder of the SavedModel")
  parser.add_argument("--name", help="in addresses; default: that of the folder")
  parser.add_argument("--outputs", default="", help="with commas between them; default: all")
  parser.add_argument("--host", default="localhost", help="'' for all of this machine's addresses")
  parser.add_argument("--port", type=int, default=8501, help="0: one that is free")
  arguments = parser.parse_args()
  try:
    outputs = [name for name in arguments.outputs.split(",") if name]
    Handler.model = Model(arguments.model, outputs)
  except (OSError, ValueError) as error:
    parser.error(str(error))
  Handler.name = arguments.name or pathlib.Path(arguments.model).resolve().name
  with ThreadingHTTPServer((arguments.host, arguments.port), Handler) as server:
    address = f"http://{arguments.host}:{server.server_port}/v1/models/{Handler.name}"
    print(f"Ready: {address}", flush=True)
    try:
      server.serve_forever()
    except KeyboardInterrupt:
      print()


if __name__ == "__main__":
  main()
