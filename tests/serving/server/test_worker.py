"""What a whole server counts and logs, by its flags."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.engines.ports import free_port
from tests.serving.saved_models import floats, request
from tests.serving.server.processes import started


def test_requests_are_batched_counted_and_logged(repository, tmp_path):
    port, rest_port = free_port(), free_port()
    log = tmp_path / "access.log"
    monitoring, batching = tmp_path / "monitoring", tmp_path / "batching"
    monitoring.write_text("prometheus_config { enable: true }")
    batching.write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 60000000 } "
        "allowed_batch_sizes: [4]"
    )
    with started(
        "--model_name=half_plus_two",
        f"--model_base_path={repository / 'half_plus_two'}",
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        "--grpc_max_threads=8",
        f"--monitoring_config_file={monitoring}",
        f"--access_log={log}",
        "--enable_batching",
        f"--batching_parameters_file={batching}",
    ) as server:
        server.wait_for("Exporting HTTP/REST API")
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            with ThreadPoolExecutor(4) as pool:
                answers = list(
                    pool.map(
                        lambda number: predict(
                            request("half_plus_two", x=floats(number)),
                            timeout=120,
                            wait_for_ready=True,
                        ),
                        range(4),
                    )
                )
        assert [answer.outputs["y"].float_val[0] for answer in answers] == [2, 2.5, 3, 3.5]
        url = f"http://127.0.0.1:{rest_port}/monitoring/prometheus/metrics"
        with urllib.request.urlopen(url, timeout=60) as response:
            page = response.read().decode()
    assert ':tensorflow:serving:request_count{model_name="half_plus_two",status="OK"} 4\n' in page
    batch_sizes = ":tensorflow:serving:batching_session:processed_batch_size"
    assert f"{batch_sizes}_count{{}} 1\n" in page
    assert f"{batch_sizes}_sum{{}} 4\n" in page
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["api"], line["code"], line["batch_size"]) for line in lines] == [
        ("Predict", "OK", 1)
    ] * 4
