"""Requests with their responses: what is logged of which model, and where."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import ServingError, UserError
from serving.server.core import Core
from serving.server.monitoring import request_log
from serving.server.monitoring.request_log import RequestLog
from serving.server.rest import api
from serving.server.servables.signature_constants import REGRESS
from tests.serving.inference_models import classification, examples, regression, tasks
from tests.serving.saved_models import floats, request
from tests.serving.server.conftest import MODEL

X = examples({"x": 2.0})


def config(
    *names: str, base: Path = Path("/m"), **logging: str
) -> model_server_config_pb2.ModelServerConfig:
    """Returns a configuration of models, with the `logging_config` of some of them."""
    entries = "".join(
        f'config {{ name: "{name}" base_path: "{base / name}" model_platform: "tensorflow" '
        + (f"logging_config {{ {logging[name]} }}" if name in logging else "")
        + "}"
        for name in names
    )
    text = f"model_config_list {{ {entries} }}"
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def to(prefix: Path, rate: float = 1.0) -> str:
    return (
        f'log_collector_config {{ filename_prefix: "{prefix}" }} '
        f"sampling_config {{ sampling_rate: {rate} }}"
    )


def logged(prefix: Path) -> list[PredictionLog]:
    """Returns what is in the files of a prefix, as TensorFlow reads them."""
    files = sorted(map(str, prefix.parent.glob(f"{prefix.name}-*.tfrecord")))
    records = tf.data.TFRecordDataset(files).as_numpy_iterator()
    return [PredictionLog.FromString(record) for record in records]


def predict(log: RequestLog, model: str, *values: float) -> None:
    message = request(model, x=floats(*values))
    log.write("predict_log", model, 1, message, message)


def test_every_method_is_logged_over_both_transports(manager, tmp_path):
    log = RequestLog(str(tmp_path / "all"))
    log.update(config(MODEL, "half_plus_two"))
    core = Core(manager, request_log=log)
    sent = request("half_plus_two", x=floats(1, 2))
    answers = [
        core.predict(sent),
        core.classify(classification(MODEL, "classify_x_to_y", X)),
        core.regress(regression(MODEL, "regress_x_to_y", X)),
        core.multi_inference(tasks(X, (MODEL, "regress_x_to_y", REGRESS))),
    ]
    body = json.dumps({"instances": [4.0]}).encode()
    path = "/v1/models/half_plus_two:predict"
    assert api.answer(core, api.Request("POST", path, body=body)).status == 200
    with pytest.raises(ServingError):
        core.predict(request("half_plus_two", y=floats(1)))
    log.close()

    found = logged(tmp_path / "all")
    assert [entry.WhichOneof("log_type") for entry in found] == [
        *("predict_log", "classify_log", "regress_log", "multi_inference_log", "predict_log"),
    ]
    first, *_, last = found
    assert first.predict_log.request == sent
    assert first.predict_log.response == answers[0]
    for entry, answer in zip(found, answers, strict=False):
        response = getattr(entry, entry.WhichOneof("log_type")).response
        assert response.SerializeToString() == answer.SerializeToString()
    assert found[1].classify_log.request == classification(MODEL, "classify_x_to_y", X)
    assert list(last.predict_log.response.outputs["y"].float_val) == [4]
    metadata = first.log_metadata
    assert (metadata.model_spec.name, metadata.model_spec.version.value) == ("half_plus_two", 1)
    assert metadata.sampling_config.sampling_rate == 1
    assert abs(metadata.timestamp_secs - time.time()) < 60


def test_nothing_is_logged_unless_it_is_asked_for(tmp_path):
    log = RequestLog()
    log.update(config("a", "b", b=to(tmp_path / "b")))
    for model in ("a", "b", "c"):
        predict(log, model, 1)
    log.close()
    assert [entry.log_metadata.model_spec.name for entry in logged(tmp_path / "b")] == ["b"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_models_own_log_replaces_that_of_the_flag(tmp_path):
    log = RequestLog(str(tmp_path / "all"))
    log.update(config("a", "b", "c", b=to(tmp_path / "b"), c=to(tmp_path / "c", 0)))
    for model in ("a", "b", "c"):
        predict(log, model, 1)
    log.close()
    assert [entry.log_metadata.model_spec.name for entry in logged(tmp_path / "all")] == ["a"]
    assert [entry.log_metadata.model_spec.name for entry in logged(tmp_path / "b")] == ["b"]


def test_a_sample_is_logged(tmp_path):
    log = RequestLog(str(tmp_path / "some"), 0.25)
    log.update(config("a"))
    for _ in range(400):
        predict(log, "a", 1)
    log.close()
    assert 50 < len(logged(tmp_path / "some")) < 150


def test_a_reload_changes_what_is_logged(manager, repository, tmp_path):
    log = RequestLog()
    core = Core(manager, request_log=log)
    names = (MODEL, "half_plus_two")
    for prefix in ("first", "second"):
        core.configure(
            config(*names, base=repository, half_plus_two=to(tmp_path / prefix)), timeout=60
        )
        core.predict(request("half_plus_two", x=floats(1)))
    with pytest.raises(ServingError, match="no folder"):
        core.configure(config(*names, base=repository, half_plus_two=to(tmp_path / "no" / "x")))
    core.predict(request("half_plus_two", x=floats(2)))
    core.configure(config(*names, base=repository), timeout=60)
    core.predict(request("half_plus_two", x=floats(3)))
    assert (len(logged(tmp_path / "first")), len(logged(tmp_path / "second"))) == (1, 2)
    log.close()


@pytest.mark.parametrize(
    ("logging", "code", "text"),
    [
        (
            'log_collector_config { type: "other" filename_prefix: "/tmp/x" }',
            grpc.StatusCode.NOT_FOUND,
            "Cannot find LogCollector::Factory for type: other",
        ),
        (
            'log_collector_config { filename_prefix: "/tmp/x" } sampling_config '
            "{ sampling_rate: 1.5 }",
            grpc.StatusCode.INVALID_ARGUMENT,
            "The logging_config of model a: its sampling_rate must be from 0 to 1, not 1.5",
        ),
        (
            "custom_logging_config {}",
            grpc.StatusCode.INVALID_ARGUMENT,
            "this server knows no custom_logging_config",
        ),
        (
            "sampling_config { per_task_sampling_configs {} }",
            grpc.StatusCode.INVALID_ARGUMENT,
            "this server knows no per_task_sampling_configs",
        ),
        ("", grpc.StatusCode.INVALID_ARGUMENT, "of model a: its filename_prefix is empty"),
        (
            'log_collector_config { filename_prefix: "/no/such/x" }',
            grpc.StatusCode.INVALID_ARGUMENT,
            "of model a: there is no folder /no/such",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(logging, code, text):
    with pytest.raises(ServingError) as raised:
        RequestLog().check(config("a", a=logging))
    assert raised.value.code is code
    assert text in raised.value.message


def test_a_prefix_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"--request_log=.* cannot be written: there is no folder"):
        RequestLog(str(tmp_path / "no" / "log"))


def test_only_the_owner_may_read_the_files(tmp_path):
    log = RequestLog(str(tmp_path / "log"))
    log.update(config("a"))
    predict(log, "a", 1)
    log.close()
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_full_file_is_followed_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr(request_log, "_MAX_FILE_BYTES", 1000)
    log = RequestLog(str(tmp_path / "log"))
    log.update(config("a"))
    for number in range(20):
        predict(log, "a", number)
    log.close()
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) > 1
    assert max(sizes) < 1400
    values = [entry.predict_log.request.inputs["x"] for entry in logged(tmp_path / "log")]
    assert [tf.make_ndarray(value).item() for value in values] == list(range(20))


def test_what_a_slow_disk_cannot_take_is_left_out_and_counted(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(request_log, "_MAX_WAITING_BYTES", 100)
    log = RequestLog(str(tmp_path / "log"))
    log.update(config("a"))
    predict(log, "a", *range(100))
    log.close()
    assert "it left out 1 requests" in caplog.text
    predict(log, "a", 1)  # Whoever comes too late does no harm.
    assert logged(tmp_path / "log") == []


def test_a_disk_that_fails_is_named_once_and_tried_again(tmp_path, monkeypatch, caplog):
    log = RequestLog(str(tmp_path / "log"))
    log.update(config("a"))
    fail = [OSError("No space left"), OSError("No space left")]
    new_file = request_log._new_file

    def failing(prefix: Path) -> tf.io.TFRecordWriter:
        if fail:
            raise fail.pop()
        return new_file(prefix)

    monkeypatch.setattr(request_log, "_new_file", failing)
    for number in range(3):
        predict(log, "a", number)
    log.close()
    assert len(logged(tmp_path / "log")) == 1
    assert caplog.text.count("No space left") == 1
