"""Classify and Regress over REST: JSON to tf.Examples, and results to JSON.

Counterpart: tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from serving.server.rest import json_reader, json_writer
from serving.server.rest.json_tensor import read_request
from serving.server.rest.json_values import (
    TooBigError,
    decode_base64,
    invalid,
    is_base64,
    misshapen,
    to_float,
)

_MAX_INT64 = 2**63 - 1


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
    document = read_request(request, body)
    try:
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
    except TooBigError:
        json_reader.read_exactly(body)
        raise


def classification_response(result: Any) -> bytes:
    """Returns {"results": [[[label, score], …], …]}; the labels are sent byte by byte.

    Args:
        result: A `ClassificationResult` of `protocol.messages`.

    Raises:
        ServingError: There is no result.
    """
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    lists = []
    for classifications in result.classifications:
        classes = classifications.classes
        scores = json_writer.decimals(np.array([each.score for each in classes], np.float32))
        pairs = [
            f"[{json_writer.quoted(json_reader.decoded(each.label))}, {score}]"
            for each, score in zip(classes, scores, strict=True)
        ]
        lists.append(f"[{', '.join(pairs)}]")
    return json_writer.encoded(
        json_writer.object_of([("results", f"[{', '.join(lists)}\n    ]")], 0)
    )


def regression_response(result: Any) -> bytes:
    """Returns {"results": [value, …]}.

    Raises:
        ServingError: There is no result.
    """
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    values = np.array([each.value for each in result.regressions], np.float32)
    texts = json_writer.decimals(values)
    return json_writer.encoded(json_writer.object_of([("results", f"[{', '.join(texts)}]")], 0))


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {json_writer.kind(value)}")
    example = example_pb2.Example()
    for name, content in json_reader.members(value):
        feature = feature_pb2.Feature()
        for item in content if isinstance(content, list) else [content]:
            _add(feature, item, name)
        key = json_writer.encoded(name).decode(errors="replace")
        example.features.feature[key].CopyFrom(feature)  # The last of repeated keys wins.
    return example


def _add(feature: feature_pb2.Feature, value: Any, name: str) -> None:
    """Adds a value to a feature; the first value determines its kind."""
    value = json_reader.number(value)
    if isinstance(value, str) or is_base64(value):
        content = decode_base64(value) if isinstance(value, dict) else json_writer.encoded(value)
        _of_kind(feature, "bytes_list", name).bytes_list.value.append(content)
    elif isinstance(value, float):
        _of_kind(feature, "float_list", name).float_list.value.append(to_float(value))
    elif isinstance(value, int):
        _of_kind(feature, "int64_list", name)
        if value > _MAX_INT64:
            raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        feature.int64_list.value.append(int(value))
    else:
        raise invalid(
            f"Feature: {name} has element with unexpected JSON type: {json_writer.kind(value)}"
        )


def _of_kind(feature: feature_pb2.Feature, kind: str, name: str) -> feature_pb2.Feature:
    found = feature.WhichOneof("kind")
    if found not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} "
            f"expecting type: {found.removesuffix('_list')}"
        )
    return feature
