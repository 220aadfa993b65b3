"""The embedded server keeps the contract of the REST API, case by case, over HTTP."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.server.lifecycle.version_policy import Model
from tests.serving.contract import rest
from tests.serving.contract.rest import RestCase
from tests.serving.in_process import serving_rest


@pytest.fixture(scope="module")
def connection(rest_address) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(rest_address, timeout=30)
    yield connection
    connection.close()


@pytest.mark.parametrize("case", rest.CASES, ids=lambda case: case.name)
def test_the_server_answers_as_tensorflow_serving_does(
    case: RestCase, connection: http.client.HTTPConnection
):
    connection.request(case.method, case.path, case.content())
    response = connection.getresponse()
    content = response.read()
    assert response.status == case.status, content
    if case.answer == b"":
        assert content == b""
        return
    assert response.headers["Content-Type"] == "application/json"
    answer = json.loads(content.decode("utf-8", "surrogateescape"))
    if not isinstance(case.answer, str):
        assert repr(answer) == repr(case.answer)  # NaN equals itself so, and 2 is not 2.0.
    else:
        assert list(answer) == ["error"]
        pattern = ".*".join(map(re.escape, case.answer.split("…")))
        assert re.fullmatch(pattern, answer["error"], re.DOTALL), answer["error"]


def test_no_case_is_written_down_twice():
    names = [case.name for case in rest.CASES]
    assert sorted(names) == sorted(set(names))


def test_metadata_are_the_signatures(connection):
    connection.request("GET", "/v1/models/half_plus_two/versions/1/metadata")
    answer = json.loads(connection.getresponse().read())
    assert answer["model_spec"] == {"name": "half_plus_two", "version": "1", "signature_name": ""}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert sorted(signatures) == ["__saved_model_init_op", "serving_default"]
    signature = signatures["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"] == {
        "x": {
            "name": "serving_default_x:0",
            "dtype": "DT_FLOAT",
            "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        }
    }
    assert signature["defaults"] == {}


def test_a_model_that_takes_too_long_is_given_up(repository):
    model = Model("count", repository / "count")
    with serving_rest(model, threads=1, timeout_seconds=0.2) as address:
        connection = http.client.HTTPConnection(address, timeout=30)
        for number, status in ((2**62, 504), (3, 200)):
            connection.request("POST", "/v1/models/count:predict", f'{{"inputs": {number}}}')
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert (response.status, answer) == (
                status,
                {"outputs": 3}
                if status == 200
                else {"error": "Timed out waiting for notification"},
            )
        connection.close()


VALUES = st.recursive(
    st.integers(-3, 3)
    | st.sampled_from([2**31, 2**63, 2**64, 1e39])
    | st.floats()
    | st.booleans()
    | st.none()
    | st.text(max_size=2)
    | st.sampled_from([{"b64": "YQ=="}, {"b64": "?"}, {"b64": 1}, {}]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["x", "a", "b", "text", "images", "factor", "float32", "string", "no"])
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "instances": st.lists(VALUES | OBJECTS, max_size=3) | VALUES,
        "inputs": VALUES | OBJECTS,
        "examples": st.lists(OBJECTS, max_size=3) | VALUES,
        "context": OBJECTS,
        "signature_name": st.sampled_from(["", "only_sum", "regress_x_to_y", "no"]) | VALUES,
    },
)
MODELS = [
    *("half_plus_two", "sum_and_difference", "echo", "flatten", "scale", "every_dtype"),
    *("classifier", "half_plus_two_of_examples", "nobody"),
]


@settings(max_examples=200)
@given(
    model=st.sampled_from(MODELS),
    method=st.sampled_from(["predict", "predict", "classify", "regress"]),
    body=BODIES,
)
def test_requests_of_any_content_end_with_a_status_of_the_contract(connection, model, method, body):
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    connection.request("POST", f"/v1/models/{model}:{method}", content)
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.status in (200, 400, 404, 501), answer
    (key,) = answer
    assert (key != "error") == (response.status == 200)
