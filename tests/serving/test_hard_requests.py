"""A server as a process under ten thousand malformed requests, and its end."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from serving.client import Client
from serving.engines.ports import free_port
from tests.serving.in_process import Http
from tests.serving.malformed_requests import EXAMPLES, MODELS, Malformed, over_grpc, over_http
from tests.serving.server.processes import Process, started
from tests.serving.server.test_supervisor import config_file, model, workers_of

CLIENTS = 4
_MIB = 2**20
CONTRACT = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE"}
# Bytes that are no message at all never reach the server's own code.
NO_MESSAGE = "Error parsing message with type "


@dataclass(frozen=True)
class Server:
    process: Process
    port: int
    rest_port: int


@pytest.fixture(scope="module")
def server(repository, tmp_path_factory) -> Iterator[Server]:
    """All models, the first of which is batched."""
    folder = tmp_path_factory.mktemp("server")
    batched = shutil.copytree(repository / MODELS[0], folder / MODELS[0])
    (batched / "1" / "batching_params.pbtxt").write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 1000 }"
    )
    others = [*MODELS[1:], EXAMPLES, "count"]
    config = config_file(
        folder / "models.config",
        model(MODELS[0], batched),
        *(model(name, repository / name) for name in others),
    )
    port, rest_port = free_port(), free_port()
    with started(
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={config}",
        "--grpc_max_threads=8",
        "--rest_api_num_threads=8",
        "--enable_batching",
        "--enable_per_model_batching_parameters",
        f"--access_log={folder / 'access.log'}",
    ) as process:
        process.wait_for("Exporting HTTP/REST API")
        yield Server(process, port, rest_port)


Outcomes = dict[str, Counter[tuple[Any, str]]]


def send_over_grpc(port: int, requests: Iterator[Malformed], outcomes: Outcomes) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for request in requests:
            code, text = "OK", ""
            call: Any = channel.unary_unary(request.where)
            try:
                call(request.content, timeout=60)
            except grpc.RpcError as error:
                told: Any = error
                code, text = told.code().name, told.details()
            outcomes[request.kind][code, text] += 1


def send_over_http(port: int, requests: Iterator[Malformed], outcomes: Outcomes) -> None:
    http = Http(port)
    for request in requests:
        status, body = http.send("POST", f"/v1/models/{request.where}", request.content)
        text = "" if status == 200 else body.decode(errors="replace")
        outcomes[request.kind][status, text] += 1
        if request.kind == "any path":
            status, _ = http.send("GET", f"/v1/models/{request.where}")
            outcomes[request.kind][status, ""] += 1
    http.close()


def send_no_http(port: int, requests: Iterator[Malformed], outcomes: Outcomes) -> None:
    """Sends bytes that are no HTTP, or a beginning of it, and leaves."""
    for number, request in enumerate(requests):
        beginnings = [b"", b"POST /v1/models/", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01"]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(beginnings[number % 4] + request.content)
            if number % 2:
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(60)
                connection.recv(1000)


Send = Callable[[int, Iterator[Malformed], Outcomes], None]


def attack(server: Server, outcomes: Outcomes, turn: int, requests: int) -> None:
    """Sends the requests: 60 % over gRPC, 38 % over HTTP, 2 % that are not even that."""
    kinds: list[tuple[Send, int, Iterator[Malformed], float]] = []
    for client in range(CLIENTS):
        seed = turn * CLIENTS + client
        kinds += [
            (send_over_grpc, server.port, over_grpc(seed), 0.6),
            (send_over_http, server.rest_port, over_http(seed), 0.38),
            (send_no_http, server.rest_port, over_http(seed), 0.02),
        ]
    with ThreadPoolExecutor(len(kinds)) as pool:
        sent = [
            pool.submit(send, port, islice(each, round(share * requests / CLIENTS)), outcomes)
            for send, port, each, share in kinds
        ]
        for future in sent:
            future.result()


@dataclass(frozen=True)
class Size:
    """What a process uses: MiB of memory, file descriptors, threads."""

    memory: float
    files: int
    threads: int


def size_of(process: psutil.Process) -> Size:
    time.sleep(1)  # Connections end.
    return Size(process.memory_info().rss / _MIB, process.num_fds(), process.num_threads())


def test_thousands_of_malformed_requests_leave_the_server_as_it_was(server):
    [worker] = workers_of(server.process)
    outcomes: Outcomes = defaultdict(Counter)
    attack(server, outcomes, turn=0, requests=1000)
    first = size_of(worker)
    attack(server, outcomes, turn=1, requests=4000)
    last = size_of(worker)
    assert sum(sum(counter.values()) for counter in outcomes.values()) > 4_900

    for kind in ("bytes", "changed message", "any message", "changed JSON", "any JSON", "any path"):
        codes = {code for code, _ in outcomes[kind]}
        assert len(codes) >= 2, (kind, codes)
    for kind, counter in outcomes.items():
        for (code, text), _ in counter.items():
            if isinstance(code, int):
                assert code in (200, 400, 404), (kind, code, text)
            elif code == "UNIMPLEMENTED":
                assert text.startswith("Unsupported signature method_name: "), (kind, text)
            elif code not in CONTRACT:
                assert kind in ("bytes", "changed message")
                assert (code, text[: len(NO_MESSAGE)]) == ("INTERNAL", NO_MESSAGE)

    assert [process.pid for process in workers_of(server.process)] == [worker.pid]
    assert last.memory - first.memory < 20, (first, last)
    assert last.files - first.files <= 8, (first, last)
    assert last.threads - first.threads <= 8, (first, last)
    assert "Traceback" not in server.process.log
    assert "unexpectedly" not in server.process.log

    x = np.array([1, 2], np.float32)
    with Client(f"127.0.0.1:{server.port}") as client:
        assert client.predict("half_plus_two", {"x": x})["y"].tolist() == [2.5, 3]
        assert client.predict("echo", {"text": ["é"]})["text"].tolist() == ["é".encode()]
        answer = client.predict("sum_and_difference", {"a": x, "b": x})
        assert answer["sum"].tolist() == [2, 4]


@pytest.mark.parametrize("lines", ["GET", "GET / HTTP/x", "GET /v1/models/echo HTTP/1.1\r\nx:\0"])
def test_what_is_no_http_is_refused(server, lines):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=60) as connection:
        connection.sendall(f"{lines}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_sigterm_lets_requests_in_flight_end_over_grpc_and_rest(server):
    """The last test of this module: it ends the server."""
    with (
        Client(f"127.0.0.1:{server.port}", timeout=60) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        begun = time.monotonic()
        client.predict("count", {"number": 20_000})
        number = int(20_000 * 2 / (time.monotonic() - begun))
        http = Http(server.rest_port)
        over_grpc = pool.submit(client.predict, "count", {"number": number})
        over_http = pool.submit(http.predict, "count", inputs=number)
        time.sleep(0.5)
        assert not over_grpc.done()
        assert not over_http.done()
        server.process.process.send_signal(signal.SIGTERM)
        server.process.wait_for("Stopping")
        assert over_grpc.result()["counted"] == number
        assert over_http.result() == (200, {"outputs": number})
        http.close()
    assert server.process.exit_code() == 0
    assert "Traceback" not in server.process.log
