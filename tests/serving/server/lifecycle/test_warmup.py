"""Warmup records: run before a version is served, and a version that fails them is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.errors import ServingError
from serving.server.lifecycle import warmup
from serving.server.lifecycle.warmup import WARMUP_FILE, warm_up
from serving.server.servables.session import Session
from serving.server.servables.signature_constants import REGRESS
from tests.serving.inference_models import classification, examples, regression, tasks
from tests.serving.saved_models import floats, publish, record_warmup, recorded, request

GOOD = recorded(request("any_name", x=floats(1)))
BAD = recorded(request("half_plus_two", x=np.ones(1)))


@pytest.fixture
def version(repository, tmp_path) -> Path:
    return publish(repository / "half_plus_two" / "1", tmp_path, 1)


@pytest.fixture
def session(version):
    session = Session(version)
    yield session
    session.close()


@pytest.fixture
def asked(monkeypatch):
    """Counts the requests that are run."""
    requests = []
    predict = warmup.predict

    def counted(session, request, **options):
        requests.append(request)
        return predict(session, request, **options)

    monkeypatch.setattr(warmup, "predict", counted)
    return requests


def refusal(session: Session, version: Path) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(ServingError) as raised:
        warm_up(session, version)
    return raised.value.code, raised.value.message


def test_a_version_without_records_needs_no_warmup(session, version):
    assert warm_up(session, version) == 0
    record_warmup(version)
    assert warm_up(session, version) == 0


def test_every_record_is_run_whatever_model_it_names(session, version, asked):
    record_warmup(version, GOOD, GOOD, GOOD)
    assert warm_up(session, version) == 3
    assert asked == [GOOD.predict_log.request] * 3


def test_a_request_that_fails_fails_the_version(session, version, asked):
    record_warmup(version, GOOD, BAD, GOOD)
    code, text = refusal(session, version)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text == "Expects arg[0] to be float but double is provided"
    assert len(asked) == 2


def test_a_file_of_another_format_is_lost_data_and_the_text_says_what_to_check(session, version):
    records = version / WARMUP_FILE
    records.parent.mkdir()
    records.write_bytes(b"these are no records, but something else entirely")
    code, text = refusal(session, version)
    assert code is grpc.StatusCode.DATA_LOSS
    assert text.endswith(". Please verify your warmup data is in TFRecord format.")


def test_a_truncated_file_is_lost_data(session, version, asked):
    records = record_warmup(version, GOOD, GOOD)
    records.write_bytes(records.read_bytes()[:-1])
    code, _ = refusal(session, version)
    assert code is grpc.StatusCode.DATA_LOSS
    assert len(asked) <= 1


def test_a_record_that_is_no_prediction_log_is_an_invalid_argument(session, version):
    records = version / WARMUP_FILE
    records.parent.mkdir()
    with tf.io.TFRecordWriter(str(records)) as writer:
        writer.write(b"\xff\xff\xff")
    code, text = refusal(session, version)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith("Failed to parse warmup record: ")
    assert text.endswith(f" from {records}")


@pytest.mark.parametrize(("kind", "number"), [("session_run_log", 5), ("predict_streamed_log", 7)])
def test_records_of_methods_that_do_not_exist_here_are_unimplemented(
    session, version, kind, number
):
    log = prediction_log_pb2.PredictionLog()
    getattr(log, kind).SetInParent()
    record_warmup(version, log)
    code, text = refusal(session, version)
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert text == f"Unsupported log_type for warmup: {number}"


def test_a_record_of_nothing_is_read_and_left_alone(session, version):
    record_warmup(version, prediction_log_pb2.PredictionLog(), GOOD)
    assert warm_up(session, version) == 2


def log_of(kind: str, message: Any) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    getattr(log, kind).request.CopyFrom(message)
    return log


MODEL = "half_plus_two_of_examples"
X = examples({"x": 2.0})
KINDS: dict[str, Any] = {
    "predict_log": lambda sent: request("", x=floats(*[1] * len(sent.example_list.examples))),
    "classify_log": lambda sent: classification("", "classify_x_to_y", sent),
    "regress_log": lambda sent: regression("", "regress_x_to_y", sent),
    "multi_inference_log": lambda sent: tasks(sent, ("any", "regress_x_to_y", REGRESS)),
}


@pytest.fixture
def version_of_examples(repository, tmp_path) -> Path:
    return publish(repository / MODEL / "1", tmp_path, 1)


@pytest.fixture
def runs(version_of_examples, monkeypatch) -> Iterator[tuple[Session, list[float | None]]]:
    """A session, and the time that each run of its graph was given."""
    session = Session(version_of_examples)
    timeouts: list[float | None] = []
    run = session.run

    def counted(feeds, fetches, timeout=None):
        timeouts.append(timeout)
        return run(feeds, fetches, timeout)

    monkeypatch.setattr(session, "run", counted)
    yield session, timeouts
    session.close()


@pytest.mark.parametrize("iterations", [1, 3])
def test_records_of_every_method_are_run_as_often_as_wanted(runs, version_of_examples, iterations):
    session, timeouts = runs
    record_warmup(version_of_examples, *(log_of(kind, KINDS[kind](X)) for kind in KINDS))
    assert warm_up(session, version_of_examples, iterations) == len(KINDS)
    assert timeouts == [None] * len(KINDS) * iterations


@pytest.mark.parametrize("kind", ["classify_log", "regress_log", "multi_inference_log"])
def test_a_request_of_any_method_that_fails_fails_the_version(runs, version_of_examples, kind):
    session, timeouts = runs
    record_warmup(
        version_of_examples, log_of(kind, KINDS[kind](X)), log_of(kind, KINDS[kind](examples()))
    )
    assert refusal(session, version_of_examples) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Input is empty.",
    )
    assert len(timeouts) == 1


def test_method_names_are_checked_in_warmup_as_in_requests(runs, version_of_examples):
    session, _ = runs
    record_warmup(version_of_examples, *(log_of(kind, KINDS[kind](X)) for kind in KINDS))
    warm_up(session, version_of_examples, check_method_name=True)
    session.signatures["regress_x_to_y"].method_name = "tensorflow/serving/predict"
    with pytest.raises(ServingError, match="Expected regression signature method_name to be"):
        warm_up(session, version_of_examples, check_method_name=True)


@pytest.mark.parametrize("count", [1000, 1001])
def test_1000_records_are_the_most(session, version, count):
    records = record_warmup(version, *[GOOD] * count)
    if count == 1000:
        assert warm_up(session, version) == 1000
    else:
        code, text = refusal(session, version)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert text == f"Number of warmup records exceeds the maximum (1000) at {records}"
