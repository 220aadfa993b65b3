"""What the end-to-end suite of TensorFlow Serving checks of its server, asked of this one.

Source of what is checked: tensorflow_serving/model_servers/tensorflow_model_server_test.py and
test_util/tensorflow_model_server_test_base.py. One process serves many models, with
every kind of flag.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from serving.engines.ports import free_port
from serving.server.servables.signature_constants import CLASSIFY, REGRESS
from tests.serving import tflite_models
from tests.serving.in_process import Http
from tests.serving.inference_models import classification, examples, regression, tasks
from tests.serving.saved_models import floats, publish, record_warmup, recorded, request
from tests.serving.server.processes import Process, started
from tests.serving.server.test_model_server import counted
from tests.serving.server.test_supervisor import config_file, model
from tests.serving.waiting import eventually

TF1, TF2 = "half_plus_two_of_examples", "half_plus_two_of_examples_in_tensorflow_2"
THREE = "half_plus_three_of_examples"
VERSION = 123
TWO = examples({"x": 2.0})


@dataclass(frozen=True)
class Server:
    """A server, where it answers, and the file that configures it."""

    process: Process
    channel: grpc.Channel
    prediction: Any
    service: Any
    http: Http
    config: Path
    base: Path

    def entries(self) -> list[str]:
        """Returns the models of the configuration."""
        return [
            model(TF1, self.base / TF1, 'version_labels { key: "stable" value: 123 }'),
            model(THREE, self.base / THREE),
            model(TF2, self.base / TF2),
            model("lite", self.base / "lite"),
            model("batched", self.base / "batched"),
            model("warm", self.base / "warm"),
        ]


@pytest.fixture(scope="module")
def server(repository, tmp_path_factory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("upstream")
    for name in (TF1, TF2, THREE):
        (base / name).mkdir()
        publish(repository / name / "1", base / name, f"{VERSION:08}")
    tflite_models.half_plus_two(base / "lite" / str(VERSION))
    for name in ("batched", "warm"):
        (base / name).mkdir()
        publish(repository / "half_plus_two" / "1", base / name, VERSION)
    (base / "batched" / str(VERSION) / "batching_params.pbtxt").write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 1000 } allowed_batch_sizes: [8]"
    )
    record_warmup(base / "warm" / str(VERSION), recorded(request("warm", x=floats(1))))
    (base / "monitoring").write_text("prometheus_config { enable: true }")
    config = base / "models.config"
    port, rest_port = free_port(), free_port()
    flags = [
        f"--port={port}",
        f"--grpc_socket_path={base / 'socket'}",
        f"--rest_api_port={rest_port}",
        "--rest_api_timeout_in_ms=60000",
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models",
        "--enable_batching",
        "--enable_per_model_batching_parameters",
        "--enable_model_warmup",
        "--num_request_iterations_for_warmup=3",
        "--prefer_tflite_model",
        "--tensorflow_intra_op_parallelism=2",
        "--tensorflow_inter_op_parallelism=2",
        f"--monitoring_config_file={base / 'monitoring'}",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb",
        "--enable_profiler=true",
    ]
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        parts = (
            channel,
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
            Http(rest_port),
            config,
            base,
        )
        config_file(config, *Server(None, *parts).entries())  # type: ignore[arg-type]
        with started(*flags) as process:
            process.wait_for("Exporting HTTP/REST API")
            yield Server(process, *parts)


def refused(call: Any, *arguments: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(*arguments, timeout=60)
    error: Any = raised.value
    return error.code().name, error.details()


def spec_of(answer: Any) -> tuple[str, str, int]:
    spec = answer.model_spec
    return spec.name, spec.signature_name, spec.version.value


@pytest.mark.parametrize("name", [TF1, TF2, THREE, "lite", "batched", "warm"])
def test_status_over_both_transports(server, name):
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": name})
    [status] = server.service.GetModelStatus(asked, timeout=60).model_version_status
    assert (status.version, status.state, status.status.error_code) == (VERSION, 30, 0)
    code, body = server.http.send("GET", f"/v1/models/{name}")
    assert (code, json.loads(body)) == (
        200,
        {
            "model_version_status": [
                {
                    "version": "123",
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ]
        },
    )


@pytest.mark.parametrize("name", [TF1, THREE, "lite", "batched"])
def test_predict_names_model_version_and_signature(server, name):
    value = 4.0 if name == THREE else 3.0
    for outputs in ([], ["y"]):
        x = np.full((1, 1) if name in (TF1, THREE) else 1, 2, np.float32)
        asked = request(name, outputs=outputs, x=x)
        answer = server.prediction.Predict(asked, timeout=60)
        assert list(answer.outputs) == ["y"]
        assert list(answer.outputs["y"].float_val) == [value]
        assert spec_of(answer) == (name, "serving_default", VERSION)


def test_predict_on_serialized_examples(server):
    asked = request(TF2, inputs=[TWO.example_list.examples[0].SerializeToString()])
    answer = server.prediction.Predict(asked, timeout=60)
    assert list(answer.outputs["outputs"].float_val) == [3]


@pytest.mark.parametrize("name", [TF1, TF2])
def test_classify_and_regress_over_both_transports(server, name):
    answer = server.prediction.Classify(classification(name, "classify_x_to_y", TWO), timeout=60)
    [[only]] = [one.classes for one in answer.result.classifications]
    assert (only.label, only.score) == ("", 3)
    assert spec_of(answer) == (name, "classify_x_to_y", VERSION)
    answer = server.prediction.Regress(regression(name, "regress_x_to_y2", TWO), timeout=60)
    assert [each.value for each in answer.result.regressions] == [4]
    assert spec_of(answer) == (name, "regress_x_to_y2", VERSION)
    for method, signature, results in (
        ("classify", "classify_x_to_y", [[["", 3.0]]]),
        ("regress", "regress_x_to_y", [3.0]),
    ):
        body = {"signature_name": signature, "examples": [{"x": 2.0}]}
        code, text = server.http.send(
            "POST", f"/v1/models/{name}:{method}", json.dumps(body).encode()
        )
        assert (code, json.loads(text)) == (200, {"results": results})


def test_multi_inference_answers_each_task(server):
    for name in (TF1, TF2):
        asked = tasks(TWO, (name, "regress_x_to_y", REGRESS), (name, "classify_x_to_y", CLASSIFY))
        first, second = server.prediction.MultiInference(asked, timeout=60).results
        assert first.regression_result.regressions[0].value == 3
        assert second.classification_result.classifications[0].classes[0].score == 3
        assert spec_of(first) == (name, "regress_x_to_y", VERSION)
        assert spec_of(second) == (name, "classify_x_to_y", VERSION)


def test_metadata_over_both_transports(server):
    asked = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": TF1}, metadata_field=["signature_def"]
    )
    answer = server.prediction.GetModelMetadata(asked, timeout=60)
    assert (answer.model_spec.name, answer.model_spec.version.value) == (TF1, VERSION)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["regress_x_to_y"].method_name == REGRESS
    code, body = server.http.send("GET", f"/v1/models/{TF1}/metadata")
    told = json.loads(body)
    assert code == 200
    assert told["model_spec"] == {"name": TF1, "signature_name": "", "version": "123"}
    over_rest = told["metadata"]["signature_def"]["signature_def"]
    assert set(over_rest) == set(signatures.signature_def)
    assert over_rest["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"


def test_rest_predicts_rows_and_columns(server):
    assert server.http.predict("batched", instances=[2.0, 3.0, 4.0]) == (
        200,
        {"predictions": [3.0, 3.5, 4.0]},
    )
    assert server.http.predict("batched", inputs=[2.0, 3.0, 4.0]) == (
        200,
        {"outputs": [3.0, 3.5, 4.0]},
    )
    path = f"{TF1}/versions/{VERSION}"
    assert server.http.predict(path, inputs=[[2.0]]) == (200, {"outputs": [[3.0]]})
    assert server.http.predict(f"{TF1}/labels/stable", instances=[[2.0]]) == (
        200,
        {"predictions": [[3.0]]},
    )


def test_what_is_not_there_is_named(server):
    predict = server.prediction.Predict
    x = np.ones((1, 1), np.float32)
    missing = request("nobody", x=x)
    assert refused(predict, missing) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(nobody)",
    )
    other_version = request(TF1, x=x)
    other_version.model_spec.version.value = 1
    assert refused(predict, other_version) == (
        "NOT_FOUND",
        f"Servable not found for request: Specific({TF1}, 1)",
    )
    other_label = request(TF1, x=x)
    other_label.model_spec.version_label = "canary"
    assert refused(predict, other_label) == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: canary",
    )
    without_spec = request(x=x)
    without_spec.ClearField("model_spec")
    assert refused(predict, without_spec) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    assert refused(predict, request(TF1, "other", x=x)) == (
        "FAILED_PRECONDITION",
        'Serving signature key "other" not found.',
    )
    stable = request(TF1, x=x)
    stable.model_spec.version_label = "stable"
    assert predict(stable, timeout=60).model_spec.version.value == VERSION
    assert server.http.predict("nobody", instances=[1]) == (
        404,
        {"error": "Servable not found for request: Latest(nobody)"},
    )


def test_the_socket_answers_as_the_port_does(server):
    with grpc.insecure_channel(f"unix:{server.base / 'socket'}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request("warm", x=floats(2)), timeout=60)
        assert tf.make_ndarray(answer.outputs["y"]).tolist() == [3]


def test_prometheus_counts_requests_batches_and_warmup(server):
    server.prediction.Predict(request("batched", x=floats(2)), timeout=60)
    code, body = server.http.send("GET", "/monitoring/prometheus/metrics")
    page = body.decode()
    assert code == 200
    serving = ":tensorflow:serving:"
    assert counted(page, f"{serving}request_count", model_name="batched", status="OK") >= 1
    assert counted(page, f"{serving}batching_session:processed_batch_size_count") >= 1
    assert counted(page, f"{serving}batching_session:processed_batch_size_sum") % 8 == 0
    warm = str(server.base / "warm" / str(VERSION))
    assert counted(page, f"{serving}model_warmup_records_read", model_path=warm) == 1
    assert counted(page, f"{serving}model_warmup_latency_count", status="OK") == 1


def test_a_profiler_is_asked_for_in_vain_but_without_harm(server):
    assert "--enable_profiler is not supported by this server and is ignored" in server.process.log


def test_configurations_come_by_request_and_by_file(server):
    """Good ones and bad ones, with labels; in the end the first one holds again."""
    reload = server.service.HandleReloadConfigRequest
    asked = model_management_pb2.ReloadConfigRequest()
    models = asked.config.model_config_list.config
    models.add(name="new", base_path=str(server.base / THREE), model_platform="tensorflow")
    config_file(server.config, model("new", server.base / THREE))
    assert reload(asked, timeout=60).status.error_code == 0
    x = np.full((1, 1), 2, np.float32)
    # The file may have been read first, and does not wait for the model.
    eventually(lambda: answered(server, request("new", x=x)))
    answer = server.prediction.Predict(request("new", x=x), timeout=60)
    assert list(answer.outputs["y"].float_val) == [4]
    assert refused(server.prediction.Predict, request(TF1, x=x))[0] == "NOT_FOUND"

    # A label may name a version that is not there, as the flag says; but then it stays there.
    models[0].version_labels["canary"] = 7
    config_file(
        server.config,
        model("new", server.base / THREE, 'version_labels { key: "canary" value: 7 }'),
    )
    assert reload(asked, timeout=60).status.error_code == 0
    canary = request("new", x=x)
    canary.model_spec.version_label = "canary"
    assert refused(server.prediction.Predict, canary) == (
        "NOT_FOUND",
        "Servable not found for request: Specific(new, 7)",
    )
    models[0].version_labels["canary"] = 8
    assert refused(reload, asked) == (
        "FAILED_PRECONDITION",
        "Request to assign label to version 8 of model new, which is not currently available for "
        "inference",
    )
    models[0].model_platform = "abacus"
    assert refused(reload, asked) == (
        "INVALID_ARGUMENT",
        "Illegal to change a model's platform. For model new platform was tensorflow and new "
        "platform requested is abacus",
    )

    config_file(server.config, "config { name: ")
    server.process.wait_for("Reloading .*models.config failed: .*Error parsing text-format")
    assert server.prediction.Predict(request("new", x=x), timeout=60)
    config_file(server.config, *server.entries())
    eventually(lambda: server.http.send("GET", f"/v1/models/{TF1}")[0] == 200)
    stable = request(TF1, x=x)
    stable.model_spec.version_label = "stable"
    eventually(lambda: answered(server, stable))


def answered(server: Server, asked: Any) -> bool:
    try:
        server.prediction.Predict(asked, timeout=60)
    except grpc.RpcError:
        return False
    return True
