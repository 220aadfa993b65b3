"""The embedded server keeps the contract, case by case, over gRPC."""

from __future__ import annotations

import re
from typing import Any

import grpc
import pytest

from tests.serving import contract
from tests.serving.contract import CASES, Case


@pytest.fixture(scope="module")
def channel(address):
    with grpc.insecure_channel(address) as channel:
        yield channel


def asked(case: Case, channel: grpc.Channel) -> tuple[str, str, Any]:
    """Returns the code, and the text or the answer."""
    call = channel.unary_unary(
        f"/tensorflow.serving.{case.method}",
        request_serializer=lambda request: (
            request if isinstance(request, bytes) else request.SerializeToString()
        ),
        response_deserializer=contract.RESPONSES[case.method].FromString,
    )
    try:
        return "OK", "", call(case.request, timeout=20)
    except grpc.RpcError as error:
        return error.code().name, error.details() or "", None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_server_answers_as_tensorflow_serving_does(case: Case, channel: grpc.Channel):
    code, text, answer = asked(case, channel)
    assert code == case.code, text
    assert answer == case.answer
    pattern = ".*".join(map(re.escape, case.text.split("…")))
    assert re.fullmatch(pattern, text, re.DOTALL), text


def test_no_case_is_written_down_twice():
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(set(names))
