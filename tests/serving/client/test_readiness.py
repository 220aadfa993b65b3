"""Whether a model, a label or a server is there, for both clients."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
)

from serving.errors import ServingError
from tests.serving.local import free_port
from tests.serving.recording import Recorder, bare_server

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_waiting_for_a_label_asks_until_it_is_assigned(connect):
    assigned = get_model_metadata_pb2.GetModelMetadataResponse()
    assigned.model_spec.version.value = 4
    text = "Unrecognized servable version label: canary"
    answers = iter([(INVALID, text), (grpc.StatusCode.NOT_FOUND, "not found"), assigned, assigned])
    recorder = Recorder(GetModelMetadata=lambda _: next(answers))
    with bare_server(recorder) as address:
        client = connect(address, timeout=10, labels={"canary": 1, "stable": 1})
        assert client.wait_until_ready("m", timeout=10) == 4
    labels = [r.model_spec.version_label for r in recorder.requests("GetModelMetadata")]
    assert labels == ["canary", "canary", "canary", "stable"]


def test_waiting_for_a_label_ends_with_what_waiting_does_not_change(connect):
    recorder = Recorder(GetModelMetadata=(INVALID, "ModelSpec has no name specified."))
    with bare_server(recorder) as address, pytest.raises(ServingError, match="has no name"):
        connect(address, label="stable").wait_until_ready("", timeout=10)
    assert recorder.counts() == {"GetModelMetadata": 1}


def test_waiting_for_a_version_takes_its_status(connect):
    starts = get_model_status_pb2.GetModelStatusResponse()
    starts.model_version_status.add(version=3, state=20)
    stands = get_model_status_pb2.GetModelStatusResponse()
    stands.model_version_status.add(version=3, state=30)
    answers = iter([(UNAVAILABLE, "starting"), starts, stands])
    recorder = Recorder(GetModelStatus=lambda _: next(answers))
    with bare_server(recorder) as address:
        assert connect(address).wait_until_ready("m", version=3, timeout=10) == 3
    assert recorder.counts() == {"GetModelStatus": 3}


def test_health_is_what_the_server_says_of_itself(connect):
    unknown = (grpc.StatusCode.NOT_FOUND, "unknown service")

    def check(request: health_pb2.HealthCheckRequest) -> Any:
        answers = {"": "SERVING", "ModelService": "NOT_SERVING"}
        status = answers.get(request.service)
        return health_pb2.HealthCheckResponse(status=status) if status else unknown

    with bare_server(Recorder(Check=check)) as address:
        client = connect(address, timeout=10)
        assert client.healthy() is True
        assert client.healthy("ModelService") is False
        with pytest.raises(ServingError, match="unknown service"):
            client.healthy("Other")
    with bare_server(Recorder()) as address:
        with pytest.raises(ServingError) as raised:
            connect(address, timeout=10).healthy()
        assert raised.value.code is grpc.StatusCode.UNIMPLEMENTED
    assert connect(f"127.0.0.1:{free_port()}").healthy() is False
