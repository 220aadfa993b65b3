"""Functions that are called in other processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import psutil
import pytest

from serving.errors import ServingError
from serving.server.rest import converter as module
from serving.server.rest.converter import Converter
from tests.serving.waiting import eventually


def reversed_by(content: bytes, text: str) -> tuple[int, bytes, str]:
    return os.getpid(), content[::-1], text


def refuse(content: bytes) -> None:
    raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, f"{content!r} is wrong")


def fail(content: bytes) -> None:
    raise ZeroDivisionError("nobody thought of this")


def be_killed(content: bytes) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_on(content: bytes) -> None:
    time.sleep(600)


@pytest.fixture
def converter(zygote):
    converter = Converter(zygote)
    yield converter
    converter.close()


def refused(function) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(ServingError) as raised:
        function()
    return raised.value.code, raised.value.message


def test_a_function_is_called_in_another_process_that_is_kept(converter):
    first, *result = converter.call(reversed_by, b"abc", "x")
    assert first != os.getpid()
    assert result == [b"cba", "x"]
    assert converter.call(reversed_by, b"", "")[0] == first


def test_a_large_document_is_not_kept_in_memory(converter, monkeypatch):
    monkeypatch.setattr(module, "_MAX_KEPT_BYTES", 3)
    first = converter.call(reversed_by, b"abcd", "")[0]
    eventually(lambda: not psutil.pid_exists(first))
    assert converter.call(reversed_by, b"abc", "")[0] != first


def test_errors_come_back(converter):
    assert refused(lambda: converter.call(refuse, b"a")) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "b'a' is wrong",
    )
    assert refused(lambda: converter.call(fail, b"a")) == (
        grpc.StatusCode.INTERNAL,
        "ZeroDivisionError: nobody thought of this",
    )


def test_a_process_that_is_killed_ends_one_call(converter):
    assert refused(lambda: converter.call(be_killed, b"")) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "the process that converted JSON was killed, as it happens when memory runs out",
    )
    idle = converter.call(reversed_by, b"", "")[0]
    os.kill(idle, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(idle))
    assert converter.call(reversed_by, b"abc", "")[1] == b"cba"


def test_calls_run_at_the_same_time(zygote, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    converter = Converter(zygote)
    with ThreadPoolExecutor(4) as pool:
        calls = partial(converter.call, reversed_by, b"")
        pids = {result[0] for result in pool.map(calls, "abcdefgh")}
    assert len(pids) <= 2
    converter.close()


def test_closing_ends_a_call(converter):
    outcomes = []
    thread = threading.Thread(
        target=lambda: outcomes.append(refused(lambda: converter.call(sleep_on, b"")))
    )
    thread.start()
    eventually(lambda: converter._children)
    child = next(iter(converter._children))
    assert psutil.pid_exists(child.pid)
    converter.close()
    thread.join(20)
    assert outcomes[0][0] is grpc.StatusCode.RESOURCE_EXHAUSTED
