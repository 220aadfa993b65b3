"""From an HTTP request to a response, on a core that notes what it is asked."""

from __future__ import annotations

import json
import pickle
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import EncodeError
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_status_pb2,
    predict_pb2,
)

from serving.errors import ServingError
from serving.protocol import messages, tensors
from serving.server import core
from serving.server.monitoring.observation import Observation
from serving.server.rest import api
from serving.server.rest.api import Request, Response

STATUSES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
PREDICT = Request("POST", "/v1/models/m:predict", {}, b'{"instances": [1.5]}')


class Core(core.Core):
    """Answers `x + 1` to whatever it is asked, or raises; remembers what it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.observations: list[Observation] = []
        no_models: Any = None
        super().__init__(no_models, observers=[self.observations.append])
        self.asked: list[Any] = []
        self.timeouts: list[float | None] = []
        self._error = error

    def signatures(self, spec):
        signature = meta_graph_pb2.SignatureDef()
        signature.inputs["x"].dtype = 1
        return {"serving_default": signature}

    def _note(self, request, timeout=None):
        self.asked.append(request)
        self.timeouts.append(timeout)
        if self._error:
            raise self._error

    def predict(self, request, timeout=None):
        self._note(request, timeout)
        response = predict_pb2.PredictResponse()
        x = tensors.decode(request.inputs["x"])
        tensors.encode(response.outputs["y"], x + np.float32(1), typed=True)
        return response

    def classify(self, request, timeout=None):
        self._note(request, timeout)
        return messages.ClassificationResponse(
            result={"classifications": [{"classes": [{"label": b"a", "score": 0.5}]}]}
        )

    def regress(self, request, timeout=None):
        self._note(request, timeout)
        return messages.RegressionResponse(result={"regressions": [{"value": 2}]})

    def status(self, request):
        self._note(request)
        return get_model_status_pb2.GetModelStatusResponse(
            model_version_status=[
                {"version": 2**40, "state": 20},
                {"version": 1, "state": 50, "status": {"error_code": 5, "error_message": "gone"}},
            ]
        )

    def metadata(self, request):
        raise ServingError(grpc.StatusCode.NOT_FOUND, "no metadata")


def answer(core: Core, request: Request, **options: Any) -> Response:
    return api.answer(core, request, **options)


def error_of(response: Response) -> str:
    answered = json.loads(response.body)
    assert list(answered) == ["error"]
    assert response.headers["Content-Type"] == "application/json"
    return answered["error"]


def test_a_prediction():
    core = Core()
    response = answer(core, PREDICT, timeout_seconds=3.5)
    assert response.status == 200
    assert response.headers == {"Content-Type": "application/json"}
    assert response.body == b'{"predictions":[2.5]}'
    assert core.timeouts == [3.5]


@pytest.mark.parametrize(
    ("path", "body", "functions"),
    [
        ("m:predict", b'{"instances": [1.5, 2.5]}', ["predict_request", "predict_response"]),
        ("m/versions/3:predict", b'{"inputs": 1.5}', ["predict_request", "predict_response"]),
        ("m:classify", b'{"examples": [{"x": 1}]}', ["classification_request"]),
        ("m/labels/l:regress", b'{"examples": [{"x": 1}]}', ["regression_request"]),
        ("m:predict", b'{"instances": [}', ["predict_request"]),
        ("m:classify", b'{"examples": 7}', ["classification_request"]),
    ],
)
def test_large_documents_are_converted_elsewhere_with_the_same_outcome(
    monkeypatch, path, body, functions
):
    called: list[str] = []

    def convert(function, *arguments):
        called.append(function.__name__)
        return function(*pickle.loads(pickle.dumps(arguments)))

    request = Request("POST", f"/v1/models/{path}", {}, body)
    direct, elsewhere = Core(), Core()
    expected = answer(direct, request, convert=convert)
    assert called == []
    monkeypatch.setattr(api, "_LARGE_BYTES", len(body))
    monkeypatch.setattr(api, "_LARGE_VALUES", 1)
    assert answer(elsewhere, request, convert=convert) == expected
    assert elsewhere.asked == direct.asked
    assert called == functions


def test_inputs_beyond_what_a_message_holds_are_refused(monkeypatch):
    def too_large(self: Any) -> bytes:
        raise EncodeError("Failed to serialize proto")

    monkeypatch.setattr(predict_pb2.PredictRequest, "SerializeToString", too_large)
    monkeypatch.setattr(api, "_LARGE_BYTES", 1)
    response = answer(Core(), PREDICT)
    assert (response.status, error_of(response)) == (400, "The inputs are larger than 2 GiB")


@pytest.mark.parametrize("method", ["classify", "regress"])
def test_classify_and_regress_have_their_results_and_timeouts(method):
    core = Core()
    request = Request("POST", f"/v1/models/m/versions/3:{method}", {}, b'{"examples": [{"x": 1}]}')
    response = answer(core, request, timeout_seconds=7)
    expected: Any = [[["a", 0.5]]] if method == "classify" else [2.0]
    assert json.loads(response.body) == {"results": expected}
    assert core.timeouts == [7]
    assert core.asked[0].model_spec.version.value == 3


@pytest.mark.parametrize(
    ("path", "name", "version", "label"),
    [
        ("m", "m", None, ""),
        ("a%2Fb%20c", "a/b c", None, ""),
        ("%zz%4", "%zz%4", None, ""),
        ("a+b", "a+b", None, ""),
        ("a%00b", "a\0b", None, ""),
        ("%C3%A9", "é", None, ""),
        ("m/versions/007", "m", 7, ""),
        ("m/versions/9223372036854775807", "m", 2**63 - 1, ""),
        ("m/labels/a%3Ab", "m", None, "a:b"),
        ("m/LABELS/Stable", "m", None, "Stable"),
        ("versions", "versions", None, ""),
    ],
)
def test_a_path_names_model_version_and_label(path, name, version, label):
    core = Core()
    assert (
        answer(core, Request("POST", f"/v1/models/{path}:predict", {}, PREDICT.body)).status == 200
    )
    assert answer(core, Request("GET", f"/v1/models/{path}")).status == 200
    for request in core.asked:
        spec = request.model_spec
        assert spec.name == name
        assert (spec.version.value if spec.HasField("version") else None) == version
        assert spec.version_label == label


@pytest.mark.parametrize("digits", ["9223372036854775808", "9" * 5000])
def test_a_version_beyond_64_bits_is_refused(digits):
    for request in (
        Request("GET", f"/v1/models/m/versions/{digits}"),
        Request("GET", f"/v1/models/m/versions/{digits}/metadata"),
        Request("POST", f"/v1/models/m/versions/{digits}:regress"),
    ):
        response = answer(Core(), request)
        assert response == Response(400, b"", {"Content-Type": "application/json"})


def test_the_status_has_64_bits_as_text_and_enums_by_name():
    response = answer(Core(), Request("GET", "/v1/models/m"))
    assert json.loads(response.body) == {
        "model_version_status": [
            {"version": "1099511627776", "state": "LOADING"},
            {
                "version": "1",
                "state": "END",
                "status": {"error_code": "NOT_FOUND", "error_message": "gone"},
            },
        ]
    }
    assert response.body.startswith(b'{\n "model_version_status": [\n  {\n   "version"')


@pytest.mark.parametrize(("code", "status"), STATUSES.items())
def test_each_code_has_its_http_status(code, status):
    error = ServingError(grpc.StatusCode[code], 'a "text"\n\x00 é')
    response = answer(Core(error), PREDICT)
    assert response.status == status
    assert error_of(response) == error.message


def test_every_code_but_ok_has_an_http_status():
    assert {code.name for code in grpc.StatusCode} == {*STATUSES, "OK"}


def test_an_unforeseen_exception_ends_one_request_and_is_logged(caplog):
    response = answer(Core(ZeroDivisionError("nobody thought of this")), PREDICT)
    assert response.status == 500
    assert error_of(response) == "ZeroDivisionError: nobody thought of this"
    assert "Traceback" in caplog.text


def test_what_is_asked_of_a_model_is_observed():
    core = Core(ServingError(grpc.StatusCode.UNAVAILABLE, "busy"))
    answer(core, Request("POST", "/v1/models/m%201/labels/l:predict", {}, PREDICT.body, "peer"))
    answer(core, Request("GET", "/v1/models/m/metadata"))
    answer(core, Request("POST", "/v1/models/m:regress", {}, b""))
    answer(core, Request("GET", "/v1/nothing"))
    seen = [(each.api, each.model, each.label, each.code) for each in core.observations]
    assert seen == [
        ("Predict", "m 1", "l", "UNAVAILABLE"),
        ("GetModelMetadata", "m", "", "NOT_FOUND"),
        ("Regress", "m", "", "INVALID_ARGUMENT"),
        ("", "", "", "INVALID_ARGUMENT"),
    ]
    assert core.observations[0].entrypoint == "REST"
    assert core.observations[0].peer() == "peer"


CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


@pytest.mark.parametrize("origin", ["http://a.example", "https://a.example:8080"])
def test_pages_of_other_origins_may_ask_if_that_is_wanted(origin):
    preflight = Request("OPTIONS", PREDICT.path, {"origin": origin})
    response = answer(Core(), preflight, cors=True)
    assert (response.status, response.body, response.headers) == (200, b"", CORS)
    response = answer(Core(), PREDICT, cors=True)
    assert response.headers == {"Content-Type": "application/json", **CORS}
    response = answer(Core(), Request("GET", "/v1/nothing"), cors=True)
    assert response.status == 400
    assert response.headers == {"Content-Type": "application/json", **CORS}


@pytest.mark.parametrize("headers", [{}, {"origin": ""}, {"origin": "file://"}])
def test_a_preflight_without_an_origin_is_refused(headers):
    request = Request("OPTIONS", PREDICT.path, headers)
    assert answer(Core(), request, cors=True) == Response(400, b"", CORS)
    assert answer(Core(), request) == Response(400, b"", {})


def test_without_the_wish_a_preflight_permits_nothing():
    request = Request("OPTIONS", PREDICT.path, {"origin": "http://a.example"})
    assert answer(Core(), request) == Response(200, b"", {})


@pytest.mark.parametrize(
    ("path", "is_api"),
    [
        ("/v1/models", True),
        ("/V1/anything?x=1", True),
        ("/v1/", True),
        ("/v1", False),
        ("/", False),
        ("/v2/models", False),
        ("//v1/models", False),
        ("/x/v1/models", False),
        ("", False),
    ],
)
def test_paths_below_v1_are_the_apis(path, is_api):
    assert api.is_api(path) is is_api


PIECES = (
    "/ /v1 /models /m /versions /labels /metadata /1 /x :predict :classify % %2F ? # 9 é".split()
)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "get", ""]),
    path=st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join),
    headers=st.dictionaries(st.sampled_from(["origin", "host"]), st.text(max_size=5)),
    body=st.binary(max_size=20) | st.sampled_from([PREDICT.body, b"{}", b'{"examples": [{}]}']),
    cors=st.booleans(),
)
def test_any_request_is_answered(method, path, headers, body, cors):
    response = answer(Core(), Request(method, path, headers, body), cors=cors)
    assert response.status in (200, 400, 404)
    if response.status != 200:
        assert error_of(response)
