"""What a connection may ask for: lengths, times, numbers; each by bytes on a socket."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest

from serving.server.rest.protocol import Limits
from tests.serving.server.rest.test_app import BODY, PATH, Slow, raw, running

SHORT = Limits(head_bytes=1000, body_bytes=2000)
HURRIED = Limits(seconds=0.5, bytes_per_second=2000)
POST = f"POST {PATH} HTTP/1.1\r\n"
LONG_HEAD = "The path and the headers are longer than 1000 bytes"
LARGE = "The request is larger than 2000 bytes"
LATE = "The request came slower than 2000 bytes/s for 0.5 s"
GOOD = f"{POST}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
ONCE = GOOD.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


@contextlib.contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """Returns what comes until the server ends the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(2**16):
            received += chunk
    return received


def answered(connection: socket.socket) -> None:
    """Sends a request and reads its answer."""
    connection.sendall(GOOD)
    received = b""
    while not received.endswith(b"}"):
        received += connection.recv(2**16)
    assert received.startswith(b"HTTP/1.1 200 ")


def refusal(received: bytes) -> tuple[int, str]:
    """Returns the status and the text of the last answer."""
    head, _, body = received[received.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.fixture(scope="module")
def short() -> Iterator[int]:
    with running(limits=SHORT) as port:
        yield port


@pytest.fixture(scope="module")
def hurried() -> Iterator[int]:
    with running(limits=HURRIED, prometheus=("/page", lambda: " " * 2**24)) as port:
        yield port


@pytest.mark.parametrize("surplus", [0, 1])
def test_a_head_has_as_many_bytes_as_are_allowed(short, surplus):
    names = f"Content-Length: {len(BODY)}\r\nConnection: close\r\nX: "
    counted = len(PATH) + len(names.replace("\r\n", "").replace(": ", ""))
    head = POST + names + "x" * (1000 - counted + surplus) + "\r\n\r\n"
    received = raw(short, head.encode() + BODY)
    if surplus:
        assert refusal(received) == (431, LONG_HEAD)
    else:
        assert received.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "begun",
    [
        "POST /",
        "POST / HTTP/1.1\r\nX",
        "POST / HTTP/1.1\r\nX: ",
        POST + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        POST + "Transfer-Encoding: chunked\r\n\r\n1;",
    ],
    ids=["path", "name", "value", "trailer", "chunk's extension"],
)
def test_a_head_without_an_end_is_refused(short, begun):
    with client(short) as connection:
        connection.sendall(begun.encode())
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                connection.sendall(b"x" * 50)
                time.sleep(0.001)
        assert refusal(until_closed(connection)) == (431, LONG_HEAD)


@pytest.mark.parametrize("begun", ["", "Transfer-Encoding: chunked\r\n\r\n0\r\n"])
def test_many_headers_are_refused(short, begun):
    lines = "".join(f"X-{number}: {number}\r\n" for number in range(200))
    received = raw(short, (POST + begun + lines + "\r\n").encode())
    assert refusal(received) == (431, LONG_HEAD)


def test_a_body_that_says_it_is_too_large_is_not_read(short):
    with client(short) as connection:
        connection.sendall(f"{POST}Content-Length: 2001\r\n\r\n".encode())
        assert refusal(until_closed(connection)) == (413, LARGE)
    assert raw(short, ONCE).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_becomes_too_large_is_refused(short):
    chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
    with client(short) as connection:
        connection.sendall(f"{POST}Transfer-Encoding: chunked\r\n\r\n".encode() + 2 * chunk)
        time.sleep(0.05)
        connection.sendall(b"1\r\nx\r\n")
        assert refusal(until_closed(connection)) == (413, LARGE)


@pytest.mark.parametrize("depth", [1_100, 100_000])
def test_json_nested_deeply_is_refused(hurried, depth):
    body = b'{"instances": ' + b"[" * depth + b"]" * depth + b"}"
    head = f"{POST}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    received = raw(hurried, head.encode() + body)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"Maximum parse recursion depth exceeded" in received


def test_a_connection_that_says_nothing_is_closed(hurried):
    begun = time.monotonic()
    assert raw(hurried, b"") == b""
    assert 0.45 < time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("answers", "begun", "drop"),
    [
        (0, POST, b"X: x\r\n"),
        (0, f"{POST}Content-Length: 1000\r\n\r\n", b" "),
        (1, f"{POST}Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (0, "\r\n", b"\r\n"),
        (1, "\r\n", b"\r\n"),
    ],
    ids=["headers", "body", "chunks", "blank lines", "blank lines after an answer"],
)
def test_a_request_that_drips_is_ended(hurried, answers, begun, drop):
    with client(hurried) as connection:
        connection.sendall(GOOD * answers + begun.encode())
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                connection.sendall(drop)
                time.sleep(0.01)
            pytest.fail("it goes on")
        received = until_closed(connection)
    assert received.count(b"200 OK") == answers
    assert refusal(received) == (408, LATE)


def test_a_request_that_comes_at_a_good_pace_may_take_long(hurried):
    with client(hurried) as connection:
        head = f"{POST}Connection: close\r\nContent-Length: {10_000 + len(BODY)}\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(20):
            connection.sendall(b" " * 500)
            time.sleep(0.03)
        connection.sendall(BODY)
        assert until_closed(connection).startswith(b"HTTP/1.1 200 ")


def test_a_request_may_wait_for_the_answer_to_the_one_before_it():
    core = Slow()
    with running(core, limits=HURRIED) as port, client(port) as connection:
        connection.sendall(GOOD + ONCE[:-5])
        assert core.begun.acquire(timeout=20)
        time.sleep(0.7)
        core.let.set()
        connection.sendall(ONCE[-5:])
        assert until_closed(connection).count(b"200 OK") == 2


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_answer_that_nobody_reads_is_given_up(hurried, version):
    with client(hurried) as connection:
        connection.sendall(f"GET /page HTTP/{version}\r\n\r\n".encode())
        time.sleep(1.3)
        assert len(until_closed(connection)) < 2**24


def test_an_answer_that_is_read_at_a_good_pace_may_take_long(hurried):
    with client(hurried) as connection:
        connection.sendall(b"GET /page HTTP/1.0\r\n\r\n")
        for _ in range(10):
            connection.recv(2**16)
            time.sleep(0.05)
        assert len(until_closed(connection)) > 2**24 - 10 * 2**16


def test_there_are_as_many_connections_as_are_allowed():
    said = (503, "The server has too many connections")
    with (
        running(limits=Limits(connections=2)) as port,
        client(port) as first,
        client(port) as second,
    ):
        for connection in (first, second):
            answered(connection)
        with client(port) as third:
            assert refusal(until_closed(third)) == said
        answered(first)
        second.shutdown(socket.SHUT_WR)
        assert second.recv(1000) == b""
        assert b"200 OK" in raw(port, ONCE)
