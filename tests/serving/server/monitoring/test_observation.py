"""Every request of both transports is observed, with all its attributes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from serving.errors import ServingError
from serving.server import grpc_services
from serving.server.batching.session import BatchingSession
from serving.server.config_files import BatchingParameters
from serving.server.core import Core
from serving.server.lifecycle.manager import Manager, Model
from serving.server.monitoring import observation
from serving.server.monitoring.observation import Observation, Observed, Timed
from serving.server.rest import api
from serving.server.servables.session import Session
from tests.serving.inference_models import classification, examples, regression, tasks
from tests.serving.saved_models import floats, request

EXAMPLES = "half_plus_two_of_examples_in_tensorflow_2"


@pytest.fixture(scope="module")
def manager(repository) -> Iterator[Manager]:
    def load(path):
        parameters = BatchingParameters(batch_timeout_micros={"value": 20_000})
        session = Session(path)
        return BatchingSession(session, parameters) if "sum" in str(path) else session

    names = ("half_plus_two", "sum_and_difference", EXAMPLES)
    manager = Manager([Model(name, repository / name) for name in names], load)
    manager.start()
    yield manager
    manager.stop()


@pytest.fixture
def seen() -> list[Observation]:
    return []


@pytest.fixture
def core(manager, seen) -> Core:
    return Core(manager, observers=[seen.append])


@pytest.fixture
def channel(core) -> Iterator[grpc.Channel]:
    server, port = grpc_services.serve(core, grpc_services.Listeners(0), threads=2)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(0).wait()


def test_grpc_s_methods_are_observed(channel, seen):
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    prediction.Predict(request("half_plus_two", x=floats(1, 2, 3)))
    x = examples({"x": 2.0}, {"x": 3.0})
    prediction.Classify(classification(EXAMPLES, "classify_x_to_y", x))
    prediction.Regress(regression(EXAMPLES, "regress_x_to_y", x))
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "half_plus_two"
    prediction.GetModelMetadata(metadata)
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "half_plus_two"
    model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status)
    assert [(one.api, one.model, one.version, one.rows, one.code) for one in seen] == [
        ("Predict", "half_plus_two", 1, 3, "OK"),
        ("Classify", EXAMPLES, 1, 2, "OK"),
        ("Regress", EXAMPLES, 1, 2, "OK"),
        ("GetModelMetadata", "half_plus_two", 1, None, "OK"),
        ("GetModelStatus", "half_plus_two", None, None, "OK"),
    ]
    assert {one.entrypoint for one in seen} == {"GRPC"}
    assert all(one.peer().startswith("ipv4:127.0.0.1:") for one in seen)
    assert [one.signature for one in seen[:2]] == ["serving_default", "classify_x_to_y"]
    for one in seen[:3]:
        assert 0 < one.runtime_seconds < one.total_seconds
        assert one.codec_seconds > 0
        assert one.queue_seconds == 0


def test_refusals_are_observed_with_their_codes(channel, seen):
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    service = model_service_pb2_grpc.ModelServiceStub(channel)
    for call, message in (
        (prediction.Predict, request("gone", x=floats(1))),
        (prediction.Predict, request("half_plus_two", "gone", x=floats(1))),
        (prediction.Predict, request("half_plus_two", x=np.array([1.0]))),
        (prediction.MultiInference, tasks(examples({"x": 2.0}), (EXAMPLES, "regress_x_to_y", ""))),
        (service.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest()),
    ):
        with pytest.raises(grpc.RpcError):
            call(message)
    assert [(one.api, one.model, one.version, one.code) for one in seen] == [
        ("Predict", "gone", None, "NOT_FOUND"),
        ("Predict", "half_plus_two", 1, "FAILED_PRECONDITION"),
        ("Predict", "half_plus_two", 1, "INVALID_ARGUMENT"),
        ("MultiInference", EXAMPLES, 1, "UNIMPLEMENTED"),
        ("HandleReloadConfigRequest", "", None, "INVALID_ARGUMENT"),
    ]
    assert seen[1].signature == "gone"
    assert seen[2].runtime_seconds > 0


@pytest.mark.parametrize(
    ("method", "path", "body", "name", "code"),
    [
        ("POST", "half_plus_two:predict", {"instances": [1, 2]}, "Predict", "OK"),
        ("POST", "half_plus_two:predict", {"instances": ["a"]}, "Predict", "INVALID_ARGUMENT"),
        ("POST", "half_plus_two/labels/a:predict", {"instances": [1]}, "Predict", None),
        ("POST", "gone:regress", {"examples": [{"x": 1.0}]}, "Regress", "NOT_FOUND"),
        ("POST", "half_plus_two:classify", {}, "Classify", "INVALID_ARGUMENT"),
        ("GET", "half_plus_two", {}, "GetModelStatus", "OK"),
        ("GET", "half_plus_two/metadata", {}, "GetModelMetadata", "OK"),
    ],
)
def test_rest_s_methods_are_observed(core, seen, method, path, body, name, code):
    sent = api.Request(
        method, f"/v1/models/{path}", body=json.dumps(body).encode(), peer="10.0.0.1:4711"
    )
    response = api.answer(core, sent)
    (one,) = seen
    assert one.api == name
    assert one.entrypoint == "REST"
    assert one.peer() == "10.0.0.1:4711"
    assert one.model == path.partition(":")[0].partition("/")[0]
    assert (response.status == 200) == (one.code == "OK")
    assert code is None or one.code == code
    assert one.label == ("a" if "labels" in path else "")


def test_a_path_that_asks_for_nothing_is_observed_without_a_method(core, seen):
    assert api.answer(core, api.Request("GET", "/v1/gone")).status == 400
    (one,) = seen
    assert (one.api, one.model, one.code) == ("", "", "INVALID_ARGUMENT")


def test_time_in_a_queue_is_not_time_in_tensorflow(core, seen):
    with core.observed("Predict", "GRPC", str):
        core.predict(request("sum_and_difference", a=floats(1), b=floats(2)))
    (one,) = seen
    assert one.queue_seconds > 0.01
    assert one.runtime_seconds > 0
    assert one.queue_seconds + one.runtime_seconds < one.total_seconds


def test_an_observer_that_fails_fails_no_request(manager, caplog):
    def fail(observation: Observation) -> None:
        raise ZeroDivisionError

    core = Core(manager, observers=[fail])
    with core.observed("Predict", "GRPC", str):
        core.predict(request("half_plus_two", x=floats(1)))
    assert "could not be counted or logged" in caplog.text


def test_an_error_of_our_own_counts_as_internal(seen):
    with (
        pytest.raises(ZeroDivisionError),
        Observed(Observation("Predict", "GRPC", str), seen.append),
    ):
        _ = 1 / 0
    assert seen[0].code == "INTERNAL"


def test_what_is_not_observed_is_not_recorded(repository):
    session = Session(repository / "half_plus_two" / "1")
    definition = session.signatures["serving_default"]
    feeds, fetches = {definition.inputs["x"].name: floats(1)}, [definition.outputs["y"].name]
    observation.record(model="nobody")
    observation.add_queue_time(1.0)
    timed = Timed(session)
    np.testing.assert_array_equal(timed.run(feeds, fetches)[0], floats(2.5))
    timed.close()
    with pytest.raises(ServingError):
        session.run(feeds, fetches)
