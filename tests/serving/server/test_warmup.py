"""Warmup records: run before a version is served, and a version that fails them is not."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.errors import ServingError
from serving.server import warmup
from serving.server.runtime import Session
from serving.server.warmup import WARMUP_FILE, warm_up
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

    def counted(session, request):
        requests.append(request)
        return predict(session, request)

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


@pytest.mark.parametrize("kind", ["classify_log", "regress_log", "session_run_log", ""])
def test_records_of_other_methods_are_not_implemented(session, version, kind):
    log = prediction_log_pb2.PredictionLog()
    if kind:
        getattr(log, kind).SetInParent()
    record_warmup(version, log)
    code, text = refusal(session, version)
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert text.startswith("Unsupported log_type for warmup: ")


@pytest.mark.parametrize("count", [1000, 1001])
def test_1000_records_are_the_most(session, version, count):
    records = record_warmup(version, *[GOOD] * count)
    if count == 1000:
        assert warm_up(session, version) == 1000
    else:
        code, text = refusal(session, version)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert text == f"Number of warmup records exceeds the maximum (1000) at {records}"
