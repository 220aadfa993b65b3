"""The REST API: from HTTP requests to HTTP responses.

Counterparts: tensorflow_serving/model_servers/http_rest_api_handler.cc, http_rest_api_util.cc and
http_server.cc.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.errors import ServingError
from serving.server.core import Core
from serving.server.monitoring import observation
from serving.server.rest import documents, json_examples, json_reader, json_tensor, json_writer

log = logging.getLogger(__name__)

_Code = grpc.StatusCode
_HTTP_STATUS = {
    _Code.OK: 200,
    _Code.CANCELLED: 499,
    _Code.UNKNOWN: 500,
    _Code.INVALID_ARGUMENT: 400,
    _Code.DEADLINE_EXCEEDED: 504,
    _Code.NOT_FOUND: 404,
    _Code.ALREADY_EXISTS: 409,
    _Code.PERMISSION_DENIED: 403,
    _Code.RESOURCE_EXHAUSTED: 429,
    _Code.FAILED_PRECONDITION: 400,
    _Code.ABORTED: 409,
    _Code.OUT_OF_RANGE: 400,
    _Code.UNIMPLEMENTED: 501,
    _Code.INTERNAL: 500,
    _Code.UNAVAILABLE: 503,
    _Code.DATA_LOSS: 500,
    _Code.UNAUTHENTICATED: 401,
}
_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_INFERENCE = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)",
    re.IGNORECASE | re.ASCII,
)
_STATUS = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<metadata>metadata))?",
    re.IGNORECASE | re.ASCII,
)
_ANY_PATH = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_MAX_VERSION = 2**63 - 1
# The conversion of larger documents takes more than a tenth of a second.
_LARGE_BYTES = 1 << 21
_LARGE_VALUES = 1 << 18
Convert = Callable[..., Any]
_JSON = {"Content-Type": "application/json"}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


@dataclass(frozen=True)
class Request:
    """An HTTP request.

    Attributes:
        method: The method as sent, in upper case.
        path: The path as sent, with percent escapes and query.
        headers: By their names in lower case.
        body: The body, decompressed.
        peer: The address of the caller.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: str = ""


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: dict(_JSON))


def is_api(path: str) -> bool:
    """Whether a path belongs to the API, which answers unknown ones with an error in JSON."""
    return bool(_ANY_PATH.fullmatch(path))


def here(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in this process."""
    return function(*arguments)


def answer(
    core: Core,
    request: Request,
    *,
    timeout_seconds: float | None = None,
    cors: bool = False,
    convert: Convert = here,
) -> Response:
    """Answers a request; errors are answered as JSON.

    Args:
        core: The server core.
        request: The request.
        timeout_seconds: Maximum time for the model; None for any.
        cors: Whether browsers may send requests from pages of other origins.
        convert: Calls a function of `documents` that converts a large document.
    """
    try:
        if request.method == "OPTIONS":  # A preflight, which TensorFlow Serving answers always.
            origin = re.search("https?://", request.headers.get("origin", ""))
            response = Response(200 if origin else 400, b"", {})
        else:
            response = Response(200, _answer(core, request, timeout_seconds, convert))
    except _WordlessError as error:
        response = Response(_HTTP_STATUS[error.code], b"")
    except ServingError as error:
        response = error_response(error)
    except Exception as error:
        log.exception("a request failed unexpectedly")
        response = error_response(ServingError(_Code.INTERNAL, f"{type(error).__name__}: {error}"))
    if cors:
        return Response(response.status, response.body, {**response.headers, **_CORS})
    return response


def error_response(error: ServingError) -> Response:
    """Returns {"error": text} with the HTTP status of the error's code."""
    text = error.message.encode(errors="replace").decode()
    return Response(_HTTP_STATUS[error.code], json_writer.written({"error": text}))


class _WordlessError(ServingError):
    """An error whose text TensorFlow Serving does not send."""


def _answer(core: Core, request: Request, timeout: float | None, convert: Convert) -> bytes:
    pattern = {"POST": _INFERENCE, "GET": _STATUS}.get(request.method)
    match = pattern.fullmatch(request.path) if pattern else None
    api = _api(match) if match else None
    with core.observed(api or "", "REST", lambda: request.peer):
        if match is None or api is None:
            raise json_reader.invalid(f"Malformed request: {request.method} {request.path}")
        spec = _spec(match)
        observation.record(model=spec.name, label=spec.version_label)
        match api:
            case "Predict":
                return _predict(core, spec, request.body, timeout, convert)
            case "Classify":
                return _classify(core, spec, request.body, timeout, convert)
            case "Regress":
                return _regress(core, spec, request.body, timeout, convert)
        if not spec.name:
            raise json_reader.invalid("Missing model name in request.")
        return _metadata(core, spec) if api == "GetModelMetadata" else _status(core, spec)


def _api(match: re.Match[str]) -> str | None:
    """Returns the method of a path; paths match in any case, but methods only in lower case."""
    asked = match.groupdict()
    if "method" in asked:
        return {"predict": "Predict", "classify": "Classify", "regress": "Regress"}.get(
            asked["method"]
        )
    return "GetModelMetadata" if asked["metadata"] == "metadata" else "GetModelStatus"


def _spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    """Returns the model, version and label of a path."""
    spec = model_pb2.ModelSpec(name=_unquoted(match["name"] or ""))
    if match["version"]:
        # Without leading zeros, so that the length bounds the work.
        digits = match["version"].lstrip("0") or "0"
        if len(digits) > len(str(_MAX_VERSION)) or int(digits) > _MAX_VERSION:
            raise _WordlessError(
                _Code.INVALID_ARGUMENT,
                f"Failed to convert version: {match['version']} to numeric.",
            )
        spec.version.value = int(digits)
    if match["label"]:
        spec.version_label = _unquoted(match["label"])
    return spec


def _unquoted(text: str) -> str:
    """Returns a part of a path without escapes; bytes that are not UTF-8 are replaced."""
    return unquote_to_bytes(text).decode(errors="replace")


def _predict(
    core: Core, spec: model_pb2.ModelSpec, body: bytes, timeout: float | None, convert: Convert
) -> bytes:
    request = predict_pb2.PredictRequest(model_spec=spec)
    if len(body) < _LARGE_BYTES:
        rows = json_tensor.fill_predict_request(request, body, core.signatures)
    else:
        signatures = {
            key: signature.SerializeToString() for key, signature in core.signatures(spec).items()
        }
        content, rows = convert(
            documents.predict_request, body, spec.SerializeToString(), signatures
        )
        request.ParseFromString(content)
    response = core.predict(request, timeout)
    shapes = [output.tensor_shape.dim for output in response.outputs.values()]
    if sum(math.prod(dim.size for dim in shape) for shape in shapes) < _LARGE_VALUES:
        return json_tensor.predict_response(response.outputs, rows)
    return convert(documents.predict_response, response.SerializeToString(), rows)


def _classify(
    core: Core, spec: model_pb2.ModelSpec, body: bytes, timeout: float | None, convert: Convert
) -> bytes:
    request = classification_pb2.ClassificationRequest(model_spec=spec)
    if len(body) < _LARGE_BYTES:
        json_examples.fill_examples_request(request, body)
    else:
        spec_content = spec.SerializeToString()
        request.ParseFromString(convert(documents.classification_request, body, spec_content))
    return json_examples.classification_response(core.classify(request, timeout).result)


def _regress(
    core: Core, spec: model_pb2.ModelSpec, body: bytes, timeout: float | None, convert: Convert
) -> bytes:
    request = regression_pb2.RegressionRequest(model_spec=spec)
    if len(body) < _LARGE_BYTES:
        json_examples.fill_examples_request(request, body)
    else:
        spec_content = spec.SerializeToString()
        request.ParseFromString(convert(documents.regression_request, body, spec_content))
    return json_examples.regression_response(core.regress(request, timeout).result)


def _status(core: Core, spec: model_pb2.ModelSpec) -> bytes:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
    return _json(_as_dict(core.status(request)))


def _metadata(core: Core, spec: model_pb2.ModelSpec) -> bytes:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec, metadata_field=["signature_def"]
    )
    response = core.metadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return _json(
        {
            "model_spec": _as_dict(response.model_spec),
            "metadata": {"signature_def": _as_dict(signatures)},
        }
    )


def _as_dict(message: Message) -> dict:
    """Returns a message by protobuf's JSON mapping: int64 as text, enums by name."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _json(value: dict) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
