"""Conversions of whole JSON documents, for processes that take and return bytes.

Each does what the function of the same purpose in `json_tensor` or `json_examples` does.
"""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf.message import EncodeError
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, model_pb2, predict_pb2, regression_pb2

from serving.errors import ServingError
from serving.server.rest import json_examples, json_tensor


def predict_request(
    body: bytes, spec: bytes, signatures: Mapping[str, bytes]
) -> tuple[bytes, bool]:
    """Returns a serialized PredictRequest, and whether its inputs came row by row.

    Args:
        body: The JSON.
        spec: The ModelSpec, serialized.
        signatures: The model's SignatureDefs by key, serialized.
    """
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec.FromString(spec))
    found = {
        key: meta_graph_pb2.SignatureDef.FromString(content) for key, content in signatures.items()
    }
    rows = json_tensor.fill_predict_request(request, body, lambda spec: found)
    return _serialized(request), rows


def predict_response(content: bytes, rows: bool) -> bytes:
    """Returns the JSON of a serialized PredictResponse."""
    response = predict_pb2.PredictResponse.FromString(content)
    return json_tensor.predict_response(response.outputs, rows)


def classification_request(body: bytes, spec: bytes) -> bytes:
    """Returns a serialized ClassificationRequest; see `predict_request`."""
    return _examples(body, classification_pb2.ClassificationRequest(), spec)


def regression_request(body: bytes, spec: bytes) -> bytes:
    """Returns a serialized RegressionRequest; see `predict_request`."""
    return _examples(body, regression_pb2.RegressionRequest(), spec)


def _examples(
    body: bytes,
    request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
    spec: bytes,
) -> bytes:
    request.model_spec.ParseFromString(spec)
    json_examples.fill_examples_request(request, body)
    return _serialized(request)


def _serialized(
    request: predict_pb2.PredictRequest
    | classification_pb2.ClassificationRequest
    | regression_pb2.RegressionRequest,
) -> bytes:
    try:
        return request.SerializeToString()
    except EncodeError as error:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT, "The inputs are larger than 2 GiB"
        ) from error
