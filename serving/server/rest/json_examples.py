"""Classify and Regress over REST: JSON to tf.Examples, and results to JSON.

Counterpart: tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from serving.server.rest import json_reader, json_writer
from serving.server.rest.json_reader import invalid, kind, misshapen
from serving.server.rest.json_tensor import set_signature
from serving.server.rest.json_values import decode_base64, is_base64

_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1


def fill_examples_request(
    request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
    body: bytes,
) -> None:
    """Fills signature, examples and their context of a request from JSON.

    Args:
        request: The request to fill; it has the model's name.
        body: {"examples": [{feature: value or list, …}, …]}, optionally with "signature_name" and
            "context", an example whose features all others have as well.

    Raises:
        ServingError: INVALID_ARGUMENT with TensorFlow Serving's text.
    """
    document = json_reader.read(body)
    set_signature(request, document)
    listed = request.input.example_list.examples
    if "context" in document:
        with_context = request.input.example_list_with_context
        with_context.context.CopyFrom(_example(document["context"]))
        listed = with_context.examples
    if "examples" not in document:
        raise misshapen(
            document, "When method is classify, key 'examples' is expected and was not found"
        )
    if not isinstance(document["examples"], list):
        raise misshapen(document, "Expecting 'examples' value to be an list/array")
    if not document["examples"]:
        raise misshapen(document, "'examples' value is an empty array")
    for value in document["examples"]:
        listed.append(_example(value))


def classification_response(result: Any) -> bytes:
    """Returns {"results": [[[label, score], …], …]}.

    Args:
        result: A `ClassificationResult` of `protocol.messages`.

    Raises:
        ServingError: There is no result.
    """
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    results = [
        [[json_writer.text(each.label), _score(each.score)] for each in classifications.classes]
        for classifications in result.classifications
    ]
    return json_writer.written({"results": results})


def regression_response(result: Any) -> bytes:
    """Returns {"results": [value, …]}.

    Raises:
        ServingError: There is no result.
    """
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return json_writer.written({"results": [_score(each.value) for each in result.regressions]})


def _score(value: float) -> Any:
    return json_writer.numbers(np.array(value, np.float32))


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {kind(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add(feature, item, name)
    return example


def _add(feature: feature_pb2.Feature, value: Any, name: str) -> None:
    """Adds a value to a feature; the first value determines its kind."""
    if isinstance(value, str) or is_base64(value):
        content = value.encode() if isinstance(value, str) else decode_base64(value)
        _of_kind(feature, "bytes_list", name).bytes_list.value.append(content)
    elif isinstance(value, float):
        _of_kind(feature, "float_list", name).float_list.value.append(value)
    elif isinstance(value, int):
        _of_kind(feature, "int64_list", name)
        if not _MIN_INT64 <= value <= _MAX_INT64:
            raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        feature.int64_list.value.append(int(value))
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {kind(value)}")


def _of_kind(feature: feature_pb2.Feature, kind: str, name: str) -> feature_pb2.Feature:
    found = feature.WhichOneof("kind")
    if found not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} "
            f"expecting type: {found.removesuffix('_list')}"
        )
    return feature
