"""Classify and regress requests and results in JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import classification_pb2, regression_pb2

from serving.errors import ServingError
from serving.protocol import messages
from serving.server.rest.json_examples import (
    classification_response,
    fill_examples_request,
    regression_response,
)

REQUESTS = [classification_pb2.ClassificationRequest, regression_pb2.RegressionRequest]


@pytest.fixture(params=REQUESTS, ids=["classify", "regress"])
def request_of(request):
    """Returns the request that a body fills."""

    def build(body: Any) -> Any:
        message = request.param()
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        fill_examples_request(message, content)
        return message

    return build


def features(example: Any) -> dict[str, list]:
    found = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = [kind, *getattr(feature, kind).value] if kind else []
    return found


def test_values_become_features_of_their_kind(request_of):
    message = request_of(
        {
            "examples": [
                {"names": ["foo", "é"], "ratings": [8.0, 9.5], "age": 20, "none": []},
                {"names": {"b64": "/w=="}, "ratings": 6.0, "mixed": [1, True, False]},
                {},
            ]
        }
    )
    assert not message.HasField("model_spec") or message.model_spec.signature_name == ""
    first, second, third = message.input.example_list.examples
    assert features(first) == {
        "names": ["bytes_list", b"foo", "é".encode()],
        "ratings": ["float_list", 8.0, 9.5],
        "age": ["int64_list", 20],
        "none": [],
    }
    assert features(second) == {
        "names": ["bytes_list", b"\xff"],
        "ratings": ["float_list", 6.0],
        "mixed": ["int64_list", 1, 1, 0],
    }
    assert features(third) == {}


def test_a_context_is_kept_apart(request_of):
    message = request_of(
        b'{"signature_name": "s", "context": {"query": "pizza"},'
        b' "examples": [{"r": [NaN, Infinity]}, {"r": -Infinity}]}'
    )
    assert message.model_spec.signature_name == "s"
    listed = message.input.example_list_with_context
    assert features(listed.context) == {"query": ["bytes_list", b"pizza"]}
    first, second = map(features, listed.examples)
    assert math.isnan(first["r"][1])
    assert first["r"][2] == math.inf
    assert second == {"r": ["float_list", -math.inf]}


def test_of_a_repeated_feature_the_last_counts(request_of):
    message = request_of(b'{"examples": [{"x": 1, "x": 2.5}]}')
    assert features(message.input.example_list.examples[0]) == {"x": ["float_list", 2.5]}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"signature_name": ["a"]}', "… 'signature_name' key must be a string value."),
        ("[]", "JSON Value: [] Is not object"),
        ('{"examples": [{"x": [10, null]}]}', "Feature: x has element …JSON type: Null"),
        ('{"examples": [{"x": [10, 10.0]}]}', "Unexpected element …: x expecting type: int64"),
        ('{"examples": [{"x": [10.5, 10]}]}', "Unexpected element …: x expecting type: float"),
        ('{"examples": [{"x": ["a", true]}]}', "Unexpected element …: x expecting type: bytes"),
        ('{"examples": [{"x": [1, "a"]}]}', "Unexpected element …: x expecting type: int64"),
        ('{"examples": [{"x": [10, {"a": 1}]}]}', "Feature: x has …JSON type: Object"),
        ('{"examples": [{"x": [[10], 20]}]}', "Feature: x has …JSON type: Array"),
        ('{"examples": [{"x": {"b64": "?"}}]}', "Unable to base64 decode"),
        (
            '{"examples": [{"x": [20, 18446744073709551603]}]}',
            "Feature: x has uint64_t element. Only int64_t is supported.",
        ),
        ('{"examples": [{"x": -9223372036854775809}]}', "Feature: x has …int64_t is supported."),
        ('{"examples": [{"x": 1e999}]}', "JSON Parse error: Number too big …at offset: 20"),
        ('{"examples": [true]}', "Example must be JSON object but got JSON True"),
    ],
)
def test_what_is_no_example_is_refused(request_of, body, text):
    with pytest.raises(ServingError) as raised:
        request_of(body.encode())
    start, _, end = text.partition("…")
    assert str(raised.value).startswith(f"INVALID_ARGUMENT: {start}")
    assert str(raised.value).endswith(end)


def test_a_number_beyond_a_float_is_infinite(request_of):
    message = request_of(b'{"examples": [{"x": [16777217.0, -1.7976931348623157e308]}]}')
    assert features(message.input.example_list.examples[0])["x"] == [
        "float_list",
        2.0**24,
        -math.inf,
    ]


def test_classes_are_printed_with_their_scores():
    result = text_format.Parse(
        """classifications { classes { label: "car" score: 0.2 } classes { label: "é\\"" } }
        classifications { classes { label: "\\377" score: inf } }
        classifications { }""",
        messages.ClassificationResult(),
    )
    assert classification_response(result) == (
        b'{"results":[[["car",0.2],["\xc3\xa9\\"",0.0]],[["\xff",Infinity]],[]]}'
    )
    with pytest.raises(ServingError, match="Cannot convert empty ClassificationResults to JSON"):
        classification_response(messages.ClassificationResult())


def test_values_are_printed():
    result = regression_pb2.RegressionResult(
        regressions=[{"value": value} for value in (0.2, 1, -math.inf, math.nan)]
    )
    assert regression_response(result) == b'{"results":[0.2,1.0,-Infinity,NaN]}'
    with pytest.raises(ServingError, match="Cannot convert empty RegressionResults to JSON"):
        regression_response(regression_pb2.RegressionResult())
