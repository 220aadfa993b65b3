"""Calls over gRPC whose requests do not arrive."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from serving.server import grpc_services
from serving.server.arrivals import Arrivals
from serving.server.core import Core
from serving.server.grpc_services import Listeners
from serving.server.thread_pool import GrowingPool

ECHO = "/test.Service/Echo"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
CHECK = "/grpc.health.v1.Health/Check"


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Is set at the end, so that the clients' threads end as well."""
    event = threading.Event()
    yield event
    event.set()


def half_open(channel: Any, method: str, never: threading.Event) -> Any:
    """Begins a call, and sends no request."""

    def requests() -> Iterator[bytes]:
        never.wait(30)
        yield b""

    return channel.stream_unary(method).future(requests())


@contextlib.contextmanager
def echoing(threads: int, **options: Any) -> Iterator[Any]:
    pool = GrowingPool(threads)
    arrivals = Arrivals(pool, **options)
    handler: Any = grpc.stream_unary_rpc_method_handler(arrivals.message)
    server = grpc.server(pool)  # type: ignore[arg-type]
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("test.Service", {"Echo": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(0).wait()


def test_calls_without_a_request_take_no_thread_from_others(never):
    core: Any = Core(SimpleNamespace())  # type: ignore[arg-type]
    server, port = grpc_services.serve(core, Listeners(), threads=1, health=True)
    channel: Any
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        slow = [half_open(channel, method, never) for method in 3 * (PREDICT, CHECK)]
        time.sleep(0.2)
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(PREDICT)(b"\xff", timeout=20)
        assert raised.value.code() is grpc.StatusCode.INTERNAL
        answer = channel.unary_unary(CHECK)(b"", timeout=20)
        assert health_pb2.HealthCheckResponse.FromString(answer).status == 1
        assert not any(call.done() for call in slow)
    server.stop(0).wait()


def test_a_request_that_does_not_arrive_in_time_ends_its_call(never):
    with echoing(1, seconds=0.3) as channel:
        begun = time.monotonic()
        assert half_open(channel, ECHO, never).code() is grpc.StatusCode.CANCELLED
        assert 0.25 < time.monotonic() - begun < 15
        assert channel.unary_unary(ECHO)(b"soon", timeout=20) == b"soon"


def test_a_request_may_arrive_late(never):
    with echoing(1) as channel:
        call = half_open(channel, ECHO, never)
        time.sleep(0.2)
        never.set()
        assert call.result(timeout=20) == b""
        assert channel.unary_unary(ECHO)(b"soon", timeout=20) == b"soon"


def test_of_too_many_slow_calls_the_oldest_ends(never):
    with echoing(1, most=2) as channel:
        calls = []
        for _ in range(3):
            calls.append(half_open(channel, ECHO, never))
            time.sleep(0.1)
        assert calls[0].code() is grpc.StatusCode.CANCELLED
        assert not any(call.done() for call in calls[1:])


def test_a_call_that_ends_without_a_request_is_refused():
    with echoing(1) as channel, pytest.raises(grpc.RpcError) as raised:
        channel.stream_unary(ECHO)(iter(()), timeout=20)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
