"""The HTTP server: connections, bodies, threads, and requests of any kind."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given

from serving.errors import ServingError, UserError
from serving.server.rest import app
from serving.server.rest.protocol import Limits
from tests.serving.damage import damaged
from tests.serving.server.rest.test_api import Core
from tests.serving.waiting import eventually

PATH = "/v1/models/m:predict"
BODY = b'{"instances": [1.5]}'
PACKED = gzip.compress(BODY, mtime=0)
ANSWER = {"predictions": [2.5]}


serve: Any = app.serve  # A core of the tests' own is good enough for it.


@contextlib.contextmanager
def running(core: Any = None, **options: Any) -> Iterator[int]:
    server = serve(core or Core(), 0, **{"threads": 4, **options})
    try:
        yield server.port
    finally:
        server.stop(0)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running(cors=True, prometheus=("/monitoring/page", lambda: "metrics é\n")) as port:
        yield port


@pytest.fixture
def connection(port) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    yield connection
    connection.close()


def asked(connection, method="POST", path=PATH, body=BODY, headers=()):
    """Returns status, headers and body."""
    connection.request(method, path, body, dict(headers))
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def raw(port: int, content: bytes, *, whole: bool = True) -> bytes:
    """Sends bytes and returns what comes back until the server closes.

    If they are not a `whole` request, the client ends the connection on its side.
    """
    received = b""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", port), timeout=20) as client,
    ):
        client.sendall(content)
        if not whole:
            client.shutdown(socket.SHUT_WR)
        while chunk := client.recv(2**16):
            received += chunk
    return received


def test_a_connection_serves_many_requests(connection):
    for _ in range(3):
        status, headers, body = asked(connection)
        assert (status, json.loads(body)) == (200, ANSWER)
        assert headers["Content-Length"] == str(len(body))
        own = connection.sock.getsockname()
        assert asked(connection, "GET", "/nowhere", b"")[0] == 404
        assert connection.sock.getsockname() == own


def test_answers_are_sent_at_once(connection):
    """Head and body of an answer go in two packets, and no packet waits for the one before it."""
    asked(connection)
    ours = connection.sock.getsockname()
    (theirs,) = (
        each
        for each in psutil.Process().net_connections("tcp")
        if each.laddr.port == connection.port and each.raddr and each.raddr.port == ours[1]
    )
    with socket.socket(fileno=os.dup(theirs.fd)) as duplicate:
        assert duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_requests_sent_at_once_are_answered_in_order(port):
    first = b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n%s" % (PATH.encode(), BODY)
    second = b"GET /v1/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    received = raw(port, first + second)
    assert received.index(b"200 OK") < received.index(b"400 Bad Request")


def test_a_body_may_come_in_chunks(connection):
    status, _, body = asked(connection, body=iter([BODY[:5], BODY[5:]]))
    assert (status, json.loads(body)) == (200, ANSWER)


def test_a_client_may_wait_to_be_asked_for_its_body(port):
    head = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 20\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(BODY)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_a_body_may_be_packed(connection, encoding):
    packed = gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])
    status, headers, body = asked(connection, body=packed, headers={"Content-Encoding": encoding})
    assert (status, json.loads(body)) == (200, ANSWER)
    assert "Content-Encoding" not in headers


@pytest.mark.parametrize(
    "packed", [BODY, PACKED[:-1], PACKED[:12], b"\x1f\x8b", b"\0"], ids=range(5)
)
def test_a_body_that_cannot_be_unpacked_is_refused(connection, packed):
    status, _, body = asked(connection, body=packed, headers={"Content-Encoding": "gzip"})
    assert status == 400
    assert json.loads(body) == {"error": "Failed to uncompress the gzipped body"}


@given(damaged(PACKED))
def test_a_damaged_body_is_unpacked_or_refused(packed):
    with contextlib.suppress(ServingError):
        app._decompressed(packed, 1000)


def test_a_body_that_is_too_large_once_unpacked_is_refused():
    bomb = gzip.compress(bytes(2**22))
    assert len(bomb) < 2**14
    with running(limits=Limits(body_bytes=2**20)) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        status, _, body = asked(connection, body=bomb, headers={"Content-Encoding": "gzip"})
        assert status == 413
        assert json.loads(body) == {"error": "The request is larger than 1048576 bytes"}
        assert asked(connection)[0] == 200
        connection.close()


def test_bodies_may_be_large(connection):
    x = np.arange(300_000, dtype=np.float32).reshape(300, 1000)
    status, _, body = asked(connection, body=json.dumps({"inputs": x.tolist()}))
    assert status == 200
    np.testing.assert_array_equal(json.loads(body)["outputs"], x + 1)


def test_a_page_for_monitoring(connection):
    status, headers, body = asked(connection, "GET", "/monitoring/page", b"")
    assert (status, headers["Content-Type"], body.decode()) == (200, "text/plain", "metrics é\n")
    status, _, body = asked(connection, "GET", "/monitoring/page?x=1", b"")
    assert status == 400
    assert body == b"Unexpected path: /monitoring/page?x=1. Should be /monitoring/page"


def test_a_page_for_monitoring_may_fail():
    def fail() -> str:
        raise ZeroDivisionError

    with running(prometheus=("/page", fail)) as port:
        for _ in range(2):
            assert raw(port, b"GET /page HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 500 ")


def test_without_a_page_its_path_is_not_found():
    with running() as port:
        assert b" 404 " in raw(port, b"GET /monitoring/page HTTP/1.0\r\n\r\n")


def test_pages_of_other_origins_may_ask(connection):
    status, headers, body = asked(
        connection, "OPTIONS", body=b"", headers={"Origin": "https://a.example"}
    )
    assert (status, body) == (200, b"")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert asked(connection)[1]["Access-Control-Allow-Methods"] == "POST, GET"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("POST", "/V2/models/m:predict", 404),
        ("HEAD", "/", 404),
        ("HEAD", "/v1/models/m", 400),
        ("PUT", PATH, 400),
        ("DELETE", "/v1/models/m", 400),
        ("TRACE", PATH, 501),
        ("GET", "http://any.example:80/v1/models/m", 200),
        ("GET", "/v1/models/m", 200),
    ],
)
def test_methods_and_paths_of_any_kind_have_an_answer(connection, method, path, status):
    got, headers, body = asked(connection, method, path, b"")
    assert got == status
    if method == "HEAD":
        assert body == b""
        assert int(headers["Content-Length"]) > 0
    elif status == 400:
        assert json.loads(body) == {"error": f"Malformed request: {method} {path}"}
    assert asked(connection)[0] == 200


@pytest.mark.parametrize("method", ["BREW", "get"])
def test_what_is_no_method_of_http_is_refused(connection, method):
    connection.request(method, "/v1/models/m")
    response = connection.getresponse()
    assert response.status == 400
    response.read()
    assert asked(connection)[0] == 200


def test_the_timeout_reaches_the_core():
    for seconds in (None, 2.5):
        core = Core()
        with running(core, timeout_seconds=seconds) as port:
            asked(http.client.HTTPConnection("127.0.0.1", port, timeout=20))
        assert core.timeouts == [seconds]


class Slow(Core):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)
        self.let = threading.Event()

    def predict(self, request, timeout=None):
        self.begun.release()
        self.let.wait(20)
        return super().predict(request, timeout)


def test_requests_beyond_the_number_of_threads_wait_their_turn():
    core = Slow()
    with running(core, threads=2) as port, ThreadPoolExecutor(6) as pool:
        calls = [
            pool.submit(asked, http.client.HTTPConnection("127.0.0.1", port, timeout=20))
            for _ in range(6)
        ]
        for _ in range(2):
            assert core.begun.acquire(timeout=20)
        assert not core.begun.acquire(timeout=0.2)
        # What needs no thread is answered all the same.
        assert b" 404 " in raw(port, b"GET / HTTP/1.0\r\n\r\n")
        core.let.set()
        assert [call.result()[0] for call in calls] == [200] * 6


def test_requests_in_flight_end_before_the_server_does():
    core = Slow()
    server = serve(core, 0, threads=2)
    idle = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    assert asked(idle, "GET", "/", b"")[0] == 404
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(asked, http.client.HTTPConnection("127.0.0.1", server.port, timeout=20))
        assert core.begun.acquire(timeout=20)
        stop = pool.submit(server.stop, 20)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
            except OSError:
                break
        else:
            pytest.fail("the server still takes connections")
        assert not stop.done()
        core.let.set()
        assert call.result()[0] == 200
        stop.result()


def test_a_request_that_does_not_end_is_given_up(caplog):
    core = Slow()
    server = serve(core, 0, threads=1)
    with ThreadPoolExecutor(1) as pool:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        call = pool.submit(asked, connection)
        assert core.begun.acquire(timeout=20)
        server.stop(0)
        core.let.set()
        error = call.exception()
        assert error is None or isinstance(error, (OSError, http.client.HTTPException))
        if error is None:
            status, _, body = call.result()
            assert (status, json.loads(body)) == (503, {"error": "The server is stopping"})
    assert "Exception in ASGI application" not in caplog.text


def test_an_answer_that_nobody_reads_does_not_keep_the_server_from_its_end(monkeypatch, caplog):
    monkeypatch.setattr(app, "_END_SECONDS", 0.5)
    core = Slow()
    server = serve(core, 0, threads=2, prometheus=("/page", lambda: " " * 2**26))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        head = f"POST {PATH} HTTP/1.1\r\nContent-Length: {len(BODY)}\r\n\r\n"
        client.sendall(b"GET /page HTTP/1.1\r\n\r\n" + head.encode() + BODY)
        assert core.begun.acquire(timeout=20)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(server.stop, 0).result(timeout=10)
        assert "still has connections" in caplog.text
        core.let.set()
    eventually(lambda: not server._thread.is_alive())


def test_a_port_in_use_is_refused_in_a_sentence():
    with running() as port, pytest.raises(UserError) as raised:
        serve(Core(), port, threads=1)
    assert str(raised.value) == (
        f"port {port} cannot be bound: it is in use or not allowed; choose another --rest_api_port"
    )


def test_processes_may_share_a_port_if_they_all_want_to():
    with running(reuse_port=True) as port:
        other = serve(Core(), port, threads=1, reuse_port=True)
        assert other.port == port
        other.stop(0)


def test_a_port_is_free_again_after_the_end():
    with running() as port:
        assert asked(http.client.HTTPConnection("127.0.0.1", port, timeout=20))[0] == 200
    server = serve(Core(), port, threads=1)
    server.stop(0)


KNOWN = {200, 400, 404, 413, 431, 501, 505}
TRICKS = [
    *("/v1/models/../../etc/passwd", "/v1/models/..%2f..%2fetc%2fpasswd", "/v1/models/%00"),
    *("/v1/models/m%0d%0aX-Injected:%201", "/v1/models/%", "/v1/models/%ff%fe", "//v1/models/m"),
    *("/v1/models/m;x", "/v1/models/*", "/v1/models/m#x", "/v1/models/" + "m" * 5000, "*", "v1"),
]


def test_thousands_of_bad_requests_leave_the_server_well(port):
    """Good requests with wrong bytes, wrong bodies, tricks in paths, and bytes of no sense."""
    generator = random.Random(0)
    statuses: Counter[int] = Counter()
    good = b"POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 20\r\n\r\n%s" % (
        PATH.encode(),
        BODY,
    )
    more = b"x" * 1000 + b"\r\n\r\n"
    for turn in range(2000):
        content = bytearray(good)
        if turn % 4 == 0:
            path = generator.choice(TRICKS).encode()
            content = bytearray(content.replace(PATH.encode(), path, 1))
        elif turn % 4 == 1:
            for _ in range(generator.randrange(1, 5)):
                content[generator.randrange(len(content))] = generator.randrange(256)
        elif turn % 4 == 2:
            for _ in range(generator.randrange(1, 4)):
                content[-1 - generator.randrange(20)] = generator.randrange(256)
        elif turn % 40 == 3:
            content = bytearray(generator.randbytes(generator.randrange(200)))
        else:
            del content[generator.randrange(len(content)) :]
        whole = turn % 4 != 3
        # More bytes satisfy whatever length a damaged head may ask for.
        received = raw(port, bytes(content) + more * whole, whole=whole)
        if received:
            assert b"X-Injected: 1" not in received.partition(b"\r\n\r\n")[0]
            statuses[int(received.split(b" ", 2)[1])] += 1
    assert set(statuses) <= KNOWN, statuses
    assert statuses.total() >= 1500
    assert min(statuses[200], statuses[404], statuses[400]) > 5
    assert b"200 OK" in raw(port, good)


def test_a_client_that_leaves_early_is_no_error(port, caplog):
    for length in (0, 30, 100):
        content = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n" + "x" * length
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(content.encode())
    assert b"404" in raw(port, b"GET / HTTP/1.0\r\n\r\n")
    assert "Traceback" not in caplog.text
