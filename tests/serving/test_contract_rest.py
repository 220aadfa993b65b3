"""The embedded server keeps the contract of the REST API, case by case, over HTTP."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator

import pytest

from tests.serving.contract import rest
from tests.serving.contract.rest import RestCase


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
    assert response.headers["Content-Type"] == "application/json"
    answer = json.loads(content)
    assert response.status == case.status, content
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
