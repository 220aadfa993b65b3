"""Loads: closed and open loops, against callers whose answers are known."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.echo import Echo, same
from benchmarks.load import Load, Target, arrivals, drive, generate
from serving.engines.ports import free_port


@given(
    rate=st.floats(0.5, 2000),
    seconds=st.floats(0.01, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_arrivals_ascend_within_the_time(rate, seconds, seed):
    times = arrivals(rate, seconds, seed)
    assert len(times) >= 1
    assert (np.diff(times) >= 0).all()
    assert times[0] > 0
    assert (times[1:] < seconds).all()


def test_arrivals_come_at_the_rate_with_exponential_gaps():
    gaps = np.diff(arrivals(1000, 100, seed=1))
    assert gaps.mean() == pytest.approx(1e-3, rel=0.02)
    assert gaps.std() == pytest.approx(1e-3, rel=0.02)
    assert (gaps > 1e-3).mean() == pytest.approx(np.exp(-1), abs=0.01)


def test_arrivals_repeat_with_their_seed():
    assert (arrivals(50, 2, seed=3) == arrivals(50, 2, seed=3)).all()
    assert arrivals(50, 2, seed=3)[0] != arrivals(50, 2, seed=4)[0]


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (-1, 1), (1, 0)])
def test_arrivals_need_a_rate_and_a_time(rate, seconds):
    with pytest.raises(ValueError, match="must be positive"):
        arrivals(rate, seconds)


class Crowd:
    """Counts callers that are busy at the same time."""

    def __init__(self, pause: float) -> None:
        self.pause, self.busy, self.most, self.asked = pause, 0, 0, 0
        self.lock = threading.Lock()

    def __call__(self) -> None:
        with self.lock:
            self.busy += 1
            self.asked += 1
            self.most = max(self.most, self.busy)
        time.sleep(self.pause)
        with self.lock:
            self.busy -= 1


def test_a_closed_loop_keeps_all_callers_busy_and_counts_every_answer():
    crowd = Crowd(0.005)
    sample = drive([crowd] * 4, Load(4, 0.2))
    assert crowd.most == 4
    # One call of each caller comes before the time is taken.
    assert len(sample.latencies) == crowd.asked - 4
    assert sample.latencies.min() >= 0.005
    assert sample.rate == pytest.approx(len(sample.latencies) / sample.seconds)
    assert sample.seconds >= 0.2


def test_the_beginning_is_told_when_every_caller_has_asked_once():
    crowd = Crowd(0.001)
    told: list[int] = []
    sample = drive([crowd] * 3, Load(3, 0.05), lambda: told.append(crowd.asked))
    assert told == [3]
    assert len(sample.latencies) == crowd.asked - 3


def test_a_closed_loop_goes_on_until_it_has_enough_answers():
    sample = drive([Crowd(0.02)], Load(1, 0.001, min_answers=3))
    assert len(sample.latencies) == 3


def test_an_open_loop_sends_what_the_schedule_says():
    crowd = Crowd(0)
    load = Load(8, 0.5, rate=200, seed=7)
    sample = drive([crowd] * 8, load)
    assert len(sample.latencies) == len(arrivals(200, 0.5, 7))


def test_the_latency_of_an_open_loop_counts_from_when_a_request_was_due():
    """One caller, answers of 20 ms, one request due every 2 ms: each waits for all before it."""
    sample = drive([Crowd(0.02)], Load(1, 0.1, rate=500, seed=0))
    due = arrivals(500, 0.1, 0)
    served = 0.02 * np.arange(1, len(due) + 1)
    assert (sample.latencies >= served - due - 1e-4).all()
    assert sample.latencies[-1] > 10 * 0.02


def test_failures_are_counted_and_the_first_is_told():
    def refuse() -> None:
        time.sleep(0.001)
        raise ConnectionRefusedError("nobody there")

    sample = drive([refuse, Crowd(0.001)], Load(2, 0.05))
    assert sample.errors > 0
    assert sample.error == "ConnectionRefusedError: nobody there"
    assert len(sample.latencies) > 0


@pytest.mark.parametrize("answers", [0, 3])
def test_what_is_no_failure_of_a_connection_is_raised(answers):
    left = iter(range(answers))

    def stumble() -> None:
        time.sleep(0.001)
        if next(left, None) is None:
            raise TypeError("not a tensor")

    with pytest.raises(TypeError, match="not a tensor"):
        drive([stumble, Crowd(0.001)], Load(2, 0.05))


def test_what_the_beginning_raises_is_raised():
    def begin() -> None:
        raise ValueError("no page")

    with pytest.raises(ValueError, match="no page"):
        drive([Crowd(0.001)] * 2, Load(2, 0.05), begin)


@pytest.fixture
def echo() -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Echo(same),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections: set[int] = set()  # noqa: RUF012

    def do_POST(self) -> None:
        self.connections.add(self.client_address[1])
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.path == "/good" else 418)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.connections.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("rate", [0.0, 100.0])
def test_grpc_is_asked_with_the_bytes_as_they_are(echo, rate):
    sample = generate(Target("grpc", echo, "/any/Method", b"\x00\xff"), Load(3, 0.1, rate))
    assert len(sample.latencies) > 0
    assert (sample.errors, sample.error) == (0, "")


def test_a_grpc_server_that_is_not_there_is_an_error(unused_address):
    sample = generate(Target("grpc", unused_address, "/any/Method", b""), Load(1, 0.05))
    assert len(sample.latencies) == 0
    assert sample.error.startswith("UNAVAILABLE: ")


def test_http_connections_are_kept(web):
    sample = generate(Target("http", web, "/good", b"[1]"), Load(2, 0.1))
    assert len(sample.latencies) > 2
    assert sample.errors == 0
    assert len(Handler.connections) == 2


def test_an_http_status_other_than_200_is_an_error(web):
    sample = generate(Target("http", web, "/bad", b"[1]"), Load(1, 0.05))
    assert len(sample.latencies) == 0
    assert sample.error == "HTTPException: 418 b'[1]'"


@pytest.fixture
def unused_address() -> str:
    return f"127.0.0.1:{free_port()}"
