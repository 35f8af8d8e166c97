"""TensorFlow Serving's gRPC interface: its own client library against a small server on the model.

The server does what TensorFlow Serving's `Predict` does: finds the signature and its inputs by
name, runs the SavedModel, and answers with the outputs that were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf

grpc = pytest.importorskip("grpc")
pytest.importorskip("tensorflow_serving")

from tensorflow_serving.apis import (  # noqa: E402 - where it is installed.
  predict_pb2,
  prediction_service_pb2_grpc,
)

_TIMEOUT = 60.0  # Seconds.


class _Server(prediction_service_pb2_grpc.PredictionServiceServicer):
  """Serves one SavedModel under one name."""

  def __init__(self, path: str, name: str) -> None:
    self._signatures = tf.saved_model.load(path).signatures
    self._name = name

  def Predict(self, request, context):  # noqa: N802 - the service's own name.
    name = request.model_spec.signature_name or "serving_default"
    if request.model_spec.name != self._name:
      context.abort(grpc.StatusCode.NOT_FOUND, f"No model {request.model_spec.name}")
    if name not in self._signatures:
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"No signature {name}")
    signature = self._signatures[name]
    given = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
    expected = signature.structured_input_signature[1]
    if set(given) != set(expected):
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Expected inputs {sorted(expected)}")
    try:
      outputs = signature(**given)
    except tf.errors.InvalidArgumentError as error:
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
    response = predict_pb2.PredictResponse(model_spec=request.model_spec)
    for key in request.output_filter or outputs:
      response.outputs[key].CopyFrom(tf.make_tensor_proto(outputs[key].numpy()))
    return response


@pytest.fixture(scope="module")
def stub(served) -> Iterator[prediction_service_pb2_grpc.PredictionServiceStub]:
  server = grpc.server(futures.ThreadPoolExecutor(2))
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
    _Server(str(served.path), "encoder"), server
  )
  port = server.add_insecure_port("localhost:0")
  server.start()
  with grpc.insecure_channel(f"localhost:{port}") as channel:
    yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
  server.stop(None).wait()


def _request(signature: str, **inputs) -> predict_pb2.PredictRequest:
  request = predict_pb2.PredictRequest()
  request.model_spec.name = "encoder"
  request.model_spec.signature_name = signature
  for name, value in inputs.items():
    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
  return request


def _arrays(response: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
  return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


@pytest.mark.parametrize("signature", ["", "serving_default", "L", "ab"])
def test_photographs(signature, stub, served):
  response = stub.Predict(_request(signature, images=served.images), _TIMEOUT)
  served.hold(signature or "serving_default", _arrays(response))


def test_files(stub, served):
  response = stub.Predict(_request("from_bytes", encoded=served.files), _TIMEOUT)
  served.hold("from_bytes", _arrays(response))


def test_only_what_is_asked_for_comes_back(stub, served):
  request = _request("from_bytes", encoded=served.files)
  request.output_filter.append("embedding")
  found = _arrays(stub.Predict(request, _TIMEOUT))
  assert list(found) == ["embedding"]
  expected = served.expected["from_bytes"]["embedding"]
  np.testing.assert_allclose(found["embedding"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  ("signature", "inputs", "message"),
  [
    ("serving_default", {"images": np.zeros((1, 30, 32, 3), np.uint8)}, "multiples of 8"),
    ("from_bytes", {"encoded": [b"no photograph"]}, "Convert others"),
  ],
)
def test_bad_photographs_are_told_what_to_do(signature, inputs, message, stub):
  with pytest.raises(grpc.RpcError) as error:
    stub.Predict(_request(signature, **inputs), _TIMEOUT)
  assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
  assert message in error.value.details()
