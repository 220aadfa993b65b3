"""The REST API: what is asked over HTTP, and status and JSON that come back.

Sources: tensorflow/serving at 2.20, model_servers/http_rest_api_handler.cc,
model_servers/http_rest_api_util.cc and util/json_tensor.cc.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

HALF = "/v1/models/half_plus_two"
SUM = "/v1/models/sum_and_difference"
ECHO = "/v1/models/echo"
DTYPES = "/v1/models/every_dtype"
EXAMPLES = "/v1/models/half_plus_two_of_examples"
CLASSIFIER = "/v1/models/classifier"
DIGITS = 99999999999999999999

AVAILABLE = {
    "model_version_status": [
        {
            "version": "1",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
    ]
}


@dataclass(frozen=True)
class RestCase:
    """A request and what comes back.

    Attributes:
        name: What the request is, in words.
        method: Method of HTTP.
        path: Path, as it is sent.
        body: Bytes, or what becomes JSON.
        status: Status of HTTP.
        answer: The whole answer, or the text of the error; "…" stands for anything; b"" is an
            empty body.
    """

    name: str
    method: str
    path: str
    body: Any
    status: int
    answer: Any

    def content(self) -> bytes:
        """Returns the body's bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def _get(name: str, path: str, status: int, answer: Any) -> RestCase:
    return RestCase(name, "GET", path, b"", status, answer)


def _post(name: str, path: str, body: Any, status: int, answer: Any) -> RestCase:
    return RestCase(name, "POST", path, body, status, answer)


def _predict(name: str, model: str, body: Any, status: int, answer: Any) -> RestCase:
    return _post(name, f"{model}:predict", body, status, answer)


def _element(text: str, index: int = 0, key: str = "") -> str:
    key = f" key: {key}" if key else ""
    return f"Failed to process element: {index}{key} of 'instances' list. Error: {text}"


def _parse(name: str, body: bytes, text: str) -> RestCase:
    return _predict(name, HALF, body, 400, f"JSON Parse error: {text}")


X = {"instances": [1.0, 2.0]}
Y = {"predictions": [2.5, 3.0]}

# Which path. model_servers/http_rest_api_util.cc
PATHS = [
    _predict("a model", HALF, X, 200, Y),
    _post("a version", f"{HALF}/versions/1:predict", X, 200, Y),
    _post("a version with leading zeros", f"{HALF}/versions/0001:predict", X, 200, Y),
    _post("a path in another case", "/V1/Models/half_plus_two/VERSIONS/1:predict", X, 200, Y),
    _post("a name in percent signs", "/v1/models/%68alf_plus_tw%6F:predict", X, 200, Y),
    *(
        RestCase(f"malformed: {method} {path}", method, path, X, 400, text)
        for method, path in [
            ("GET", "/v1/foo"),
            ("POST", "/v1/foo"),
            ("POST", "/v1/models"),
            ("POST", HALF),
            ("GET", f"{HALF}:predict"),
            ("GET", "/v1/models/a/b"),
            ("GET", "/v1/models/"),
            ("GET", f"{HALF}/"),
            ("GET", f"{HALF}/versions/x"),
            ("GET", f"{HALF}/versions/-1"),
            ("POST", f"{HALF}/version/1:predict"),
            ("POST", f"{HALF}/label/stable:predict"),
            ("POST", f"{HALF}/versions/:predict"),
            ("POST", f"{HALF}/versions/1/labels/stable:predict"),
            ("POST", f"{HALF}:explain"),
            ("POST", f"{HALF}:PREDICT"),
            ("POST", f"{HALF}:predict?x=1"),
            ("POST", f"{HALF}:predict/"),
            ("POST", f"{HALF}/metadata"),
            ("POST", "/v1/models/:predict"),
            ("PUT", f"{HALF}:predict"),
            ("DELETE", HALF),
            ("PATCH", HALF),
        ]
        for text in [f"Malformed request: {method} {path}"]
    ),
    _post("a version beyond 64 bits", f"{HALF}/versions/{DIGITS}:predict", X, 400, b""),
    RestCase("a preflight without an origin", "OPTIONS", f"{HALF}:predict", b"", 400, b""),
    *(
        _post(f"{name} by {method}", f"/v1/models/{path}:{method}", body, status, text)
        for method, body in [
            ("predict", X),
            ("classify", {"examples": [{"x": 1.0}]}),
            ("regress", {"examples": [{"x": 1.0}]}),
        ]
        for name, path, status, text in [
            ("an unknown model", "nobody", 404, "Servable not found for request: Latest(nobody)"),
            (
                "an unknown version",
                "half_plus_two/versions/7",
                404,
                "Servable not found for request: Specific(half_plus_two, 7)",
            ),
            (
                "an unknown label",
                "half_plus_two/labels/st%61ble",
                400,
                "Unrecognized servable version label: stable",
            ),
            (
                "a name with slashes and a dot",
                "..%2Fhalf_plus_two%2F%2e",
                404,
                "Servable not found for request: Latest(../half_plus_two/.)",
            ),
            (
                "a name that is not UTF-8",
                "%FF",
                404,
                "Servable not found for request: Latest(\ufffd)",
            ),
        ]
    ),
]

# Status and metadata. model_servers/http_rest_api_util.cc
ABOUT = [
    _get("status", HALF, 200, AVAILABLE),
    _get("status of a version", f"{HALF}/versions/1", 200, AVAILABLE),
    _get("status of a label, which is ignored", f"{HALF}/labels/stable", 200, AVAILABLE),
    _get("metadata in capitals, which is the status", f"{HALF}/METADATA", 200, AVAILABLE),
    _get("status of no model", "/v1/models", 400, "Missing model name in request."),
    _get("metadata of no model", "/v1/models/metadata/metadata", 404, "…Latest(metadata)"),
    _get(
        "status of an unknown model",
        "/v1/models/nobody",
        404,
        "Could not find any versions of model nobody",
    ),
    _get(
        "status with a query, which is part of the name",
        f"{HALF}?x=1",
        404,
        "Could not find any versions of model half_plus_two?x=1",
    ),
    _get(
        "status of an unknown version",
        f"{HALF}/versions/7",
        404,
        "Could not find version 7 of model half_plus_two",
    ),
    _get(
        "metadata of an unknown version",
        f"{HALF}/versions/7/metadata",
        404,
        "Servable not found for request: Specific(half_plus_two, 7)",
    ),
    _get(
        "metadata of an unknown label",
        f"{HALF}/labels/stable/metadata",
        400,
        "Unrecognized servable version label: stable",
    ),
]

# What is no request. util/json_tensor.cc, RapidJSON's error/en.h
DOCUMENTS = [
    _parse("no body", b"", "The document is empty"),
    _parse("white space", b" \n ", "The document is empty. at offset: 3"),
    _parse("no JSON", b"instances = [1, 2]", "Invalid value. at offset: 0"),
    _parse("a body that ends early", b'{"instances": [1', "Missing a comma or ']' …at offset: 16"),
    _parse("a trailing comma", b'{"instances": [1],}', "Missing a name for …at offset: 18"),
    _parse("a number beyond a double", b'{"instances": [1e999]}', "Number too big …at offset: 15"),
    _parse("an object that ends early", b'{"instances": [1]', "Missing a comma or '}' …: 17"),
    # TensorFlow Serving reads some of these, and dies of others.
    *(
        _parse(name, body, "Maximum parse recursion depth exceeded! at offset: …")
        for name, body in [
            ("lists in lists", b'{"instances":' + b"[" * 200_000),
            (
                "lists in lists that nobody reads",
                b'{"instances": [1], "nested": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
            ),
        ]
    ),
    _predict("text after the document", HALF, b'{"instances": [1, 2]} [', 200, Y),
    # The last counts; in TensorFlow Serving, the first.
    _predict("a key twice", HALF, b'{"instances": 5, "instances": [1, 2]}', 200, Y),
    _parse("bytes that are not UTF-8", b'{"\xff": 1}', "Invalid encoding in string. at offset: 2"),
    _predict("a list", HALF, [1], 400, "JSON Value: [1] Is not object"),
    _predict("neither key", HALF, {}, 400, "Missing 'inputs' or 'instances' key"),
    _predict(
        "both keys",
        HALF,
        {"instances": [1.0], "inputs": [1.0]},
        400,
        "JSON Value: {… Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
        "to exist ",
    ),
    _predict(
        "instances that are no list",
        HALF,
        {"instances": 1},
        400,
        "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array",
    ),
    _predict(
        "no instances",
        HALF,
        {"instances": []},
        400,
        "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
    ),
    _predict(
        "a signature name that is no string",
        HALF,
        {"signature_name": 5, **X},
        400,
        "JSON Value: {… not formatted correctly. 'signature_name' key must be a string value.",
    ),
    _predict(
        "an unknown signature",
        HALF,
        {"signature_name": "classify", **X},
        400,
        'Serving signature name: "classify" not found in signature def',
    ),
    _predict(
        "a signature without inputs",
        HALF,
        {"signature_name": "__saved_model_init_op", **X},
        400,
        "Failed to get input map for signature: __saved_model_init_op",
    ),
]

# Rows. util/json_tensor.cc
ROWS = [
    _predict("rows by name", HALF, {"instances": [{"x": 1}, {"x": 2.0}]}, 200, Y),
    _predict(
        "rows of two inputs",
        SUM,
        {"instances": [{"a": 1, "b": 2}, {"b": 4.5, "a": 3}]},
        200,
        {"predictions": [{"difference": -1.0, "sum": 3.0}, {"difference": -1.5, "sum": 7.5}]},
    ),
    _predict(
        "a signature with one output",
        SUM,
        {"signature_name": "only_sum", "instances": [{"a": 1, "b": 2}]},
        200,
        {"predictions": [3.0]},
    ),
    _predict(
        "a row without names for two inputs",
        SUM,
        {"instances": [1.0]},
        400,
        "instances is a plain list, but expecting list of objects as multiple input tensors "
        "required as per tensorinfo_map",
    ),
    _predict(
        "a row with an input too few",
        SUM,
        {"instances": [{"a": 1}]},
        400,
        "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1\n} "
        "keys must be equal to: a,b",
    ),
    _predict(
        "an input with a default is required all the same",
        "/v1/models/scale",
        {"instances": [{"x": 1.0}]},
        400,
        "Failed to process element: 0 of 'instances' list. JSON object: {…} "
        "keys must be equal to: factor,x",
    ),
    _predict(
        "a row with an unknown input",
        HALF,
        {"instances": [{"x": 1}, {"z": 1}]},
        400,
        _element("INVALID_ARGUMENT: JSON object: does not have named input: z", 1, "z"),
    ),
    _predict(
        "a value among objects",
        HALF,
        {"instances": [{"x": 1}, 2]},
        400,
        "Expecting object but got list at item 1 of input list",
    ),
    _predict(
        "an object among values",
        HALF,
        {"instances": [1, {"x": 2}]},
        400,
        "Expecting value/list but got object at item 1 of input list",
    ),
    _predict(
        "a string for a float",
        HALF,
        {"instances": [1, "x"]},
        400,
        _element(
            'INVALID_ARGUMENT: JSON Value: "x" Type: String is not of expected type: float', 1
        ),
    ),
    _predict(
        "an integer that no float32 holds",
        HALF,
        {"instances": [16777217, 1e39]},
        200,
        {"predictions": [8388610.0, float("inf")]},
    ),
    _predict(
        "a double for an integer",
        "/v1/models/count",
        {"inputs": 0.1234567890123},
        400,
        "JSON Value: 0.1234567890123 Type: Number is not of expected type: int64",
    ),
    _predict(
        "rows of unequal size",
        HALF,
        {"instances": [[1, 2], [3]]},
        400,
        _element("INVALID_ARGUMENT: Expecting tensor size: 2 but got: 1", 1),
    ),
    _predict(
        "rows of unequal shape",
        HALF,
        {"instances": [[1, 2], [[3, 4]]]},
        400,
        _element("INVALID_ARGUMENT: Expecting shape [2] but got: [1,2]", 1),
    ),
    _predict(
        "a shape that the signature does not have",
        HALF,
        {"instances": [[1, 2], [3, 4]]},
        200,
        {"predictions": [[2.5, 3.0], [3.5, 4.0]]},
    ),
    _predict(
        "images",
        "/v1/models/flatten",
        {"instances": [[[[1], [2]], [[3], [4]]]]},
        200,
        {"predictions": [[1.0, 2.0, 3.0, 4.0]]},
    ),
    _predict(
        "an op's own error",
        SUM,
        {"inputs": {"a": [1, 2], "b": [1, 2, 3]}},
        400,
        "Incompatible shapes: [2] vs. [3]…",
    ),
    _predict(
        "NaN and infinities",
        HALF,
        b'{"instances": [NaN, Infinity, -Infinity, -Inf]}',
        200,
        {"predictions": [float("nan"), float("inf"), -float("inf"), -float("inf")]},
    ),
    _predict(
        "rows of an output without rows",
        "/v1/models/malformed",
        {"signature_name": "outputs_without_dimension", "instances": ["any"]},
        400,
        "Tensor name: outputs has no shape information ",
    ),
    _predict(
        "an output that JSON has no form for",
        "/v1/models/malformed",
        {"signature_name": "scores_of_half", "instances": ["any"]},
        400,
        "Failed to write JSON value for tensor type: bfloat16",
    ),
]

# Columns, and strings. util/json_tensor.cc
COLUMNS = [
    _predict("a column", HALF, {"inputs": [1.0, 2.0]}, 200, {"outputs": [2.5, 3.0]}),
    _predict("a column by name", HALF, {"inputs": {"x": [1]}}, 200, {"outputs": [2.5]}),
    _predict("a scalar", "/v1/models/count", {"inputs": 3}, 200, {"outputs": 3}),
    _predict(
        "two columns",
        SUM,
        {"inputs": {"a": [1, 2], "b": [3, 4], "ignored": 1}},
        200,
        {"outputs": {"difference": [-2.0, -2.0], "sum": [4.0, 6.0]}},
    ),
    _predict("an empty column", HALF, {"inputs": []}, 200, {"outputs": []}),
    _predict(
        "a column without a name for two inputs",
        SUM,
        {"inputs": [1]},
        400,
        "inputs is a plain value/list, but expecting an object as multiple input tensors required "
        "as per tensorinfo_map",
    ),
    _predict(
        "a column too few",
        SUM,
        {"inputs": {"a": [1]}},
        400,
        "Missing named input: b in 'inputs' object.",
    ),
    _predict(
        "a ragged column",
        HALF,
        {"inputs": [[1, 2], [3]]},
        400,
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    _predict(
        "a list among values",
        HALF,
        {"inputs": [1, [2]]},
        400,
        "Encountered list at unexpected level: 1 expected < 1",
    ),
    _predict(
        "a value among lists",
        HALF,
        {"inputs": [[1], 2]},
        400,
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    _predict(
        "strings",
        ECHO,
        {"instances": ["é\n\x00", {"b64": "aGVsbG8="}]},
        200,
        {"predictions": ["é\n\x00", "hello"]},
    ),
    _predict(
        "base64 that is none", ECHO, {"inputs": {"b64": "_-8="}}, 400, "Unable to base64 decode"
    ),
    _predict(
        "base64 that is no string",
        ECHO,
        {"inputs": {"text": {"b64": 5}}},
        400,
        'JSON Value: {\n    "b64": 5\n} not formatted correctly for base64 data',
    ),
    _predict(
        "a number for a string",
        ECHO,
        {"inputs": [5]},
        400,
        "JSON Value: 5 Type: Number is not of expected type: string",
    ),
]

# Classify and regress. util/json_tensor.cc
INFERENCE = [
    _post(
        "regress",
        f"{EXAMPLES}:regress",
        {"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}, {"x": [20.0]}]},
        200,
        {"results": [42.0, 12.0]},
    ),
    _post(
        "classify",
        f"{EXAMPLES}/versions/1:classify",
        {"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}]},
        200,
        {"results": [[["", 12.0]]]},
    ),
    _post(
        "classify with labels",
        f"{CLASSIFIER}:classify",
        {"examples": [{"probability": 0.25}]},
        200,
        {"results": [[["sí", 0.25], ["no", 0.75]]]},
    ),
    _post(
        "classify with a label that is not UTF-8",
        f"{CLASSIFIER}:classify",
        {"signature_name": "classes_not_utf8", "examples": [{"probability": 0.25}]},
        200,
        {"results": [[["\udcff", 0.0]]]},
    ),
    _post(
        "regress with a context",
        f"{EXAMPLES}:regress",
        {"signature_name": "regress_x_to_y", "context": {"x": 2.0}, "examples": [{}, {"x": 4.0}]},
        200,
        {"results": [3.0, 4.0]},
    ),
    _post(
        "classify by an unknown signature",
        f"{EXAMPLES}:classify",
        {"signature_name": "no", "examples": [{"x": 1.0}]},
        400,
        "No signature was found with the name: no",
    ),
    *(
        _post(f"{method}: {name}", f"{EXAMPLES}:{method}", body, 400, text)
        for method in ("classify", "regress")
        for name, body, text in [
            ("no body", b"", "JSON Parse error: The document is empty"),
            (
                "no examples",
                {"instances": [1]},
                "JSON Value: {…} When method is classify, key 'examples' is expected and was not "
                "found",
            ),
            (
                "examples that are no list",
                {"examples": {"x": 1.0}},
                "JSON Value: {…} Expecting 'examples' value to be an list/array",
            ),
            (
                "an empty list of examples",
                {"examples": []},
                "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array",
            ),
            (
                "an example that is no object",
                {"examples": [[1.0]]},
                "Example must be JSON object but got JSON Array",
            ),
            (
                "a context that is no object",
                {"context": [], "examples": [{"x": 1.0}]},
                "Example must be JSON object but got JSON Array",
            ),
            (
                "an unusable value",
                {"examples": [{"x": [1.0, None]}]},
                "Feature: x has element with unexpected JSON type: Null",
            ),
            (
                "an integer of 64 bits without a sign",
                {"examples": [{"x": [2**64 - 1]}]},
                "Feature: x has uint64_t element. Only int64_t is supported.",
            ),
            (
                "values of two kinds",
                {"examples": [{"x": [1, 1.0]}]},
                "Unexpected element type in feature: x expecting type: int64",
            ),
        ]
    ),
]

CASES = [*PATHS, *ABOUT, *DOCUMENTS, *ROWS, *COLUMNS, *INFERENCE]
