"""A whole server: encryption, REST, batching, monitoring, the access log, reloads."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2, prediction_service_pb2_grpc

from serving.client import TLS, Client
from serving.engines.ports import free_port
from serving.errors import ServingError, UserError
from serving.server import config_files
from serving.server.core import Core
from serving.server.flags import parse
from serving.server.lifecycle.manager import Manager
from serving.server.model_server import _grpc_threads, serve
from serving.server.peers import Peers
from serving.server.zygote import Zygote
from tests.serving.certificates import Pair, certified
from tests.serving.saved_models import floats, publish, record_warmup, recorded, request
from tests.serving.server.processes import started
from tests.serving.waiting import eventually

X = {"x": np.array([1.0, 2.0], np.float32)}


def written(path: Path, message: object) -> Path:
    path.write_text(text_format.MessageToString(message))  # type: ignore[arg-type]
    return path


def get(url: str, data: object = None, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    body = None if data is None else json.dumps(data).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=20, context=tls) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def counted(page: str, name: str, **labels: str) -> float:
    """Returns the sum of a metric's samples that have these labels."""
    total = 0.0
    for line in page.splitlines():
        if match := re.fullmatch(rf"{re.escape(name)}\{{(.*)\}} (.*)", line):
            found = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
            if labels.items() <= found.items():
                total += float(match[2])
    return total


@pytest.fixture(scope="module")
def authority() -> Pair:
    return certified("authority")


def test_all_options_together(repository, tmp_path, authority):
    server, client = certified("localhost", authority), certified("client", authority)
    encryption = config_files.SSLConfig(
        server_key=server.key,
        server_cert=server.certificate,
        custom_ca=authority.certificate,
        client_verify=True,
    )
    batching = config_files.BatchingParameters(
        max_batch_size={"value": 8},
        batch_timeout_micros={"value": 1000},
        allowed_batch_sizes=[4, 8],
    )
    monitoring = config_files.MonitoringConfig(
        prometheus_config={"enable": True, "path": "/metrics"}
    )
    (tmp_path / "session.config").write_text("inter_op_parallelism_threads: 1")
    port, rest_port, log = free_port(), free_port(), tmp_path / "access.log"
    with started(
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        "--model_name=half",
        f"--model_base_path={repository / 'half_plus_two'}",
        f"--ssl_config_file={written(tmp_path / 'ssl', encryption)}",
        f"--rest_api_ssl_config_file={tmp_path / 'ssl'}",
        "--enable_batching",
        f"--batching_parameters_file={written(tmp_path / 'batching', batching)}",
        f"--monitoring_config_file={written(tmp_path / 'monitoring', monitoring)}",
        f"--tensorflow_session_config_file={tmp_path / 'session.config'}",
        "--grpc_channel_arguments=grpc.max_receive_message_length=10000,grpc.name=a",
        "--rest_api_max_body_bytes=10000",
        f"--access_log={log}",
        "--workers=2",
        "--enable_serialization_as_tensor_content",
    ) as process:
        for _ in range(2):
            process.wait_for("Exporting HTTP/REST API")
        tls = TLS(authority.certificate, client.certificate, client.key)
        for _ in range(6):
            with Client(f"localhost:{port}", tls=tls, timeout=20, label="") as asking:
                assert asking.predict("half", X)["y"].tolist() == [2.5, 3]
                with pytest.raises(ServingError) as refused:
                    asking.predict("half", {})
                assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
        with (
            Client(f"localhost:{port}", tls=tls, timeout=20, label="") as asking,
            pytest.raises(ServingError, match="larger than max") as refused,
        ):
            asking.predict("half", {"x": np.zeros(10_000, np.float32)})
        assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        with (
            Client(
                f"localhost:{port}", tls=TLS(authority.certificate), timeout=20, attempts=1
            ) as stranger,
            pytest.raises(ServingError) as refused,
        ):
            stranger.predict("half", X)
        assert refused.value.code is grpc.StatusCode.UNAVAILABLE

        url = f"https://localhost:{rest_port}"
        (tmp_path / "client.pem").write_bytes(client.certificate + client.key)
        context = ssl.create_default_context(cadata=authority.certificate.decode())
        context.load_cert_chain(tmp_path / "client.pem")
        assert get(f"{url}/v1/models/half:predict", {"instances": [1.0, 2.0]}, context) == (
            200,
            '{"predictions":[2.5,3.0]}',
        )
        assert get(f"{url}/v1/models/half/versions/9", tls=context)[0] == 404

        assert get(f"{url}/v1/models/half:predict", " " * 10_000, context)[0] == 413

        # Both workers count; what the other one has counted is a second old at most.
        for _ in range(60):
            status, page = get(f"{url}/metrics", tls=context)
            count = counted(page, ":tensorflow:serving:request_count", model_name="half")
            if status == 200 and count >= 14:
                break
            time.sleep(0.5)
        ok = {"model_name": "half", "status": "OK"}
        assert counted(page, ":tensorflow:serving:request_count", **ok) == 7
        gone = {"model_name": "half", "status": "NOT_FOUND"}
        assert counted(page, ":tensorflow:serving:request_count", **gone) == 1
        refused_count = {"model_name": "half", "status": "INVALID_ARGUMENT"}
        assert counted(page, ":tensorflow:serving:request_count", **refused_count) == 6
        sizes = ":tensorflow:serving:batching_session:processed_batch_size_count"
        assert counted(page, sizes) == 7
        assert get(f"{url}/monitoring/prometheus/metrics", tls=context)[0] == 404
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["code"] for line in lines].count("OK") == 7
    assert {line["transport"] for line in lines} == {"GRPC", "REST"}
    assert "Traceback" not in process.log


@pytest.fixture
def start(tmp_path):
    """Starts a server in this process, which is expected to fail."""

    def run(*flags: str) -> None:
        arguments = [f"--port={free_port()}", "--max_num_load_retries=0", *flags]
        peers = Peers(tmp_path, 0, 1)
        stop = threading.Event()
        serve(parse(arguments), peers, stop, lambda: pytest.fail("it started"), Zygote())

    return run


def test_a_version_whose_warmup_fails_ends_the_start(repository, tmp_path, start):
    base = tmp_path / "half"
    base.mkdir()
    version = publish(repository / "half_plus_two" / "1", base, 1)
    record_warmup(version, recorded(request("half", wrong=np.ones(1, np.float32))))
    with pytest.raises(ServingError) as raised:
        start(f"--model_base_path={base}")
    assert raised.value.code is grpc.StatusCode.UNKNOWN
    assert "Signature input alias: x" in raised.value.message


def test_a_damaged_newest_version_ends_the_start_although_an_older_one_is_good(
    repository, tmp_path, start
):
    base = tmp_path / "m"
    base.mkdir()
    publish(repository / "half_plus_two" / "1", base, 1)
    (base / "2").mkdir()
    (base / "2" / "saved_model.pb").write_bytes(b"garbage")
    with pytest.raises(ServingError) as raised:
        start("--model_name=m", f"--model_base_path={base}")
    assert str(raised.value) == (
        "UNKNOWN: 1 servable(s) did not become available: "
        f"{{{{{{name: m version: 2}} due to error: DATA_LOSS: Can't parse {base}/2/"
        "saved_model.pb as binary proto}, }"
    )


def test_a_custom_configuration_ends_the_start(tmp_path, start):
    (tmp_path / "config").write_text("custom_model_config {}")
    with pytest.raises(ServingError, match="ModelServer does not yet support custom model config"):
        start(f"--model_config_file={tmp_path}/config")


def test_requests_are_batched_counted_and_logged(repository, tmp_path):
    port, rest_port = free_port(), free_port()
    log = tmp_path / "access.log"
    batching = config_files.BatchingParameters(
        max_batch_size={"value": 4},
        batch_timeout_micros={"value": 60_000_000},
        allowed_batch_sizes=[4],
    )
    monitoring = config_files.MonitoringConfig(prometheus_config={"enable": True})
    flags = parse(
        [
            "--model_name=half_plus_two",
            f"--model_base_path={repository / 'half_plus_two'}",
            f"--port={port}",
            f"--rest_api_port={rest_port}",
            "--grpc_max_threads=8",
            f"--monitoring_config_file={written(tmp_path / 'monitoring', monitoring)}",
            f"--access_log={log}",
            "--enable_batching",
            f"--batching_parameters_file={written(tmp_path / 'batching', batching)}",
        ]
    )
    stop = threading.Event()
    answers: list[float] = []
    pages: list[str] = []

    def ask_four_times() -> None:
        try:
            with (
                grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
                ThreadPoolExecutor(4) as pool,
            ):
                predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
                asked = [request("half_plus_two", x=floats(number)) for number in range(4)]
                for answer in pool.map(lambda message: predict(message, timeout=60), asked):
                    answers.extend(answer.outputs["y"].float_val)
            pages.append(get(f"http://127.0.0.1:{rest_port}/monitoring/prometheus/metrics")[1])
        finally:
            stop.set()

    serve(flags, Peers(tmp_path, 0, 1), stop, ask_four_times, Zygote())
    assert answers == [2, 2.5, 3, 3.5]
    [page] = pages
    labels = 'model_name="half_plus_two",status="OK"'
    assert f":tensorflow:serving:request_count{{{labels}}} 4\n" in page
    batch_sizes = ":tensorflow:serving:batching_session:processed_batch_size"
    assert f"{batch_sizes}_count{{}} 1\n" in page
    assert f"{batch_sizes}_sum{{}} 4\n" in page
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["api"], line["code"], line["batch_size"]) for line in lines] == [
        ("Predict", "OK", 1)
    ] * 4


def test_a_certificate_that_is_none_ends_the_start(repository, tmp_path, start):
    (tmp_path / "ssl").write_text('server_key: "no key" server_cert: "no certificate"')
    base = repository / "half_plus_two"
    with pytest.raises(UserError, match=r"port \d+ cannot be bound: .*certificate"):
        start(f"--model_base_path={base}", f"--ssl_config_file={tmp_path}/ssl")


@pytest.mark.parametrize(
    "flag", ["model_config_file", "monitoring_config_file", "rest_api_ssl_config_file"]
)
def test_a_file_that_is_no_configuration_ends_the_start(repository, tmp_path, start, flag):
    (tmp_path / "config").write_text("nonsense { base: 1 }")
    base = repository / "half_plus_two"
    with pytest.raises(UserError, match=f"{tmp_path}/config, line 1: Error parsing text-format "):
        start(
            f"--model_base_path={base}",
            f"--{flag}={tmp_path}/config",
            f"--rest_api_port={free_port()}",
        )


@pytest.mark.parametrize(
    ("flags", "threads"),
    [
        ([], 4 * (os.cpu_count() or 1)),
        (["--enable_batching"], 128),
        (["--grpc_max_threads=3", "--enable_batching"], 3),
    ],
)
def test_requests_that_wait_for_a_batch_need_more_threads(flags, threads):
    assert _grpc_threads(parse(flags)) == threads


@pytest.fixture
def serve_until_ready(tmp_path):
    """Runs the first of two workers in this process, and ends it once it was ready and asked.

    Returns the code of the answer for each model.
    """
    shared = tmp_path / "shared"
    shared.mkdir()

    def run(*flags: str, ask: Mapping[str, str]) -> dict[str, str]:
        stop = threading.Event()
        peers = Peers(shared, 0, 2)
        outcomes = {}

        def ready() -> None:
            with Client(f"unix:{peers.socket_path()}", timeout=20, attempts=1) as client:
                for name, label in ask.items():
                    try:
                        client.predict(name, X, label=label)
                        outcomes[name] = "OK"
                    except ServingError as error:
                        outcomes[name] = error.code.name
            stop.set()

        arguments = [f"--port={free_port()}", "--workers=2", "--max_num_load_retries=0", *flags]
        serve(parse(arguments), peers, stop, ready, Zygote())
        return outcomes

    return run


def reload_request(*entries: tuple[str, Path, Mapping[str, int]]) -> Any:
    message = model_management_pb2.ReloadConfigRequest()
    for name, base, labels in entries:
        message.config.model_config_list.config.add(
            name=name, base_path=str(base), model_platform="tensorflow", version_labels=labels
        )
    return message


def test_a_reload_while_a_worker_starts_reaches_it(
    repository, tmp_path, serve_until_ready, monkeypatch
):
    half = repository / "half_plus_two"
    start = Manager.start
    message = reload_request(("half", half, {}), ("late", half, {"stable": 1}))

    def start_and_miss_a_reload(manager: Manager, **options: Any) -> None:
        start(manager, **options)
        Peers(tmp_path / "shared", 1, 2).reload(message, timeout=20)

    monkeypatch.setattr(Manager, "start", start_and_miss_a_reload)
    base = f"--model_base_path={half}"
    asked = serve_until_ready(base, "--model_name=half", ask={"half": "", "late": "stable"})
    assert asked == {"half": "OK", "late": "OK"}


def test_a_worker_takes_over_a_reload_with_labels_and_without_what_cannot_be_loaded(
    repository, tmp_path, serve_until_ready, caplog
):
    half, damaged = repository / "half_plus_two", tmp_path / "damaged"
    (damaged / "1").mkdir(parents=True)
    message = reload_request(("half", half, {"stable": 1}), ("damaged", damaged, {}))
    Peers(tmp_path / "shared", 1, 2).reload(message, timeout=20)
    asked = serve_until_ready(
        f"--model_base_path={half}", ask={"half": "stable", "damaged": "", "default": ""}
    )
    assert asked == {"half": "OK", "damaged": "NOT_FOUND", "default": "NOT_FOUND"}
    assert "1 servable(s) did not become available" in caplog.text


def test_labels_of_the_file_are_refused_until_a_worker_was_ready(
    repository, tmp_path, serve_until_ready
):
    """Later they came by looking at the file again."""
    half = repository / "half_plus_two"
    file = tmp_path / "models.config"
    flag = f"--model_config_file={file}"

    def write(labels: Mapping[str, int]) -> None:
        written(file, reload_request(("half", half, labels)).config)

    write({"stable": 1})
    with pytest.raises(ServingError) as raised:
        serve_until_ready(flag, ask={})
    assert raised.value.code is grpc.StatusCode.FAILED_PRECONDITION
    write({})
    assert serve_until_ready(flag, ask={"half": ""}) == {"half": "OK"}
    write({"stable": 1})
    assert serve_until_ready(flag, ask={"half": "stable"}) == {"half": "OK"}


@contextmanager
def serving_in_thread(
    folder: Path, *flags: str
) -> Iterator[tuple[threading.Event, threading.Thread]]:
    """Yields, when a server in this process is ready, what stops it and what it runs in."""
    stop, ready = threading.Event(), threading.Event()
    arguments = parse([f"--port={free_port()}", "--max_num_load_retries=0", *flags])
    peers = Peers(folder, 0, 1)
    thread = threading.Thread(target=serve, args=(arguments, peers, stop, ready.set, Zygote()))
    thread.start()
    try:
        eventually(lambda: ready.is_set() or not thread.is_alive())
        assert ready.is_set()
        yield stop, thread
    finally:
        stop.set()
        thread.join(60)


def test_a_file_with_a_folder_that_is_missing_is_looked_at_again(repository, tmp_path, caplog):
    half, file = repository / "half_plus_two", tmp_path / "file.config"
    rest_port = free_port()
    written(file, reload_request(("half", half, {})).config)
    with serving_in_thread(
        tmp_path,
        f"--model_config_file={file}",
        "--model_config_file_poll_wait_seconds=1",
        f"--rest_api_port={rest_port}",
    ) as (stop, thread):
        written(file, reload_request(("half", half, {}), ("no", tmp_path / "no", {})).config)
        eventually(lambda: "The models did not become available in time" in caplog.text)
        written(file, reload_request(("half", half, {}), ("other", half, {})).config)
        url = f"http://localhost:{rest_port}/v1/models/other"
        eventually(lambda: get(url)[0] == 200)
        written(file, reload_request(("no again", tmp_path / "no", {})).config)
        eventually(lambda: get(url)[0] != 200 or "END" in get(url)[1])
        said = caplog.text
        stop.set()
        thread.join(60)
        assert "Reloading" not in caplog.text.removeprefix(said)


def test_requests_are_refused_at_once_when_the_server_stops_in_the_middle_of_a_reload(
    repository, tmp_path, monkeypatch
):
    half, file = repository / "half_plus_two", tmp_path / "file.config"
    rest_port, reloading, disk = free_port(), threading.Event(), threading.Event()
    written(file, reload_request(("half", half, {})).config)

    def read_slowly(*_: Any) -> None:
        reloading.set()
        assert disk.wait(60)

    monkeypatch.setattr(Core, "configure", read_slowly)
    with serving_in_thread(
        tmp_path,
        f"--model_config_file={file}",
        "--model_config_file_poll_wait_seconds=1",
        f"--rest_api_port={rest_port}",
    ) as (stop, thread):
        try:
            assert reloading.wait(60)
            stop.set()
            eventually(lambda: not listens(rest_port))
            assert thread.is_alive()
        finally:
            disk.set()


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_a_signal_ends_the_wait_for_a_first_version(tmp_path):
    (tmp_path / "half").mkdir()
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    flags = parse([f"--model_base_path={tmp_path / 'half'}", f"--port={free_port()}"])
    serve(flags, Peers(tmp_path, 0, 1), stop, lambda: pytest.fail("it started"), Zygote())
