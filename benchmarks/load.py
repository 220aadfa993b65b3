"""The load generator: callers that send requests in a closed or an open loop, and measure latency.

In a closed loop, each of N callers sends the next request when the last one was answered, so there
are N concurrent requests. In an open loop, requests follow a schedule, whether earlier ones are
answered or not, like those of independent users. Their latency counts from the scheduled time, not
from when a caller was free to send them; otherwise a server that falls behind would go unnoticed
("coordinated omission").

Requests are serialized beforehand and responses are not parsed, to measure the server and not the
client.
"""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Literal

import grpc
import numpy as np

Caller = Callable[[], object]
"""Sends one request and waits for its response; raises an error if there is none."""

_MAX_CONNECTIONS = 16
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Load:
    """A load.

    Attributes:
        callers: Number of concurrent requests in a closed loop, their maximum in an open one.
        seconds: Seconds in which requests are sent.
        rate: Requests per second of an open loop, with Poisson arrivals; 0 for a closed loop.
        min_answers: A closed loop continues until it has this number of answers.
        seed: Seed of the arrivals.
    """

    callers: int
    seconds: float
    rate: float = 0.0
    min_answers: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """The result of a load.

    Attributes:
        seconds: From the first request to the last answer.
        latencies: Seconds of each answered request, float64 [answers].
        errors: Number of failed requests.
        error: Message of the first failure.
    """

    seconds: float
    latencies: np.ndarray
    errors: int = 0
    error: str = ""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


@dataclass(frozen=True)
class Target:
    """A request and its target.

    Attributes:
        protocol: `grpc` or `http`.
        address: HOST:PORT.
        path: Full name of the gRPC method, or path of the HTTP request, a POST.
        body: The serialized message, or the HTTP body, which is JSON.
    """

    protocol: Literal["grpc", "http"]
    address: str
    path: str
    body: bytes


def generate(target: Target, load: Load, begin: Callable[[], object] = lambda: None) -> Sample:
    """Opens connections, sends an unmeasured request on each, and generates the load.

    Args:
        target: The request.
        load: The load.
        begin: Called once, after the unmeasured requests.
    """
    make = {"grpc": _grpc_callers, "http": _http_callers}[target.protocol]
    callers, close = make(target, load.callers)
    try:
        return drive(callers, load, begin)
    finally:
        close()


def drive(
    callers: Sequence[Caller], load: Load, begin: Callable[[], object] = lambda: None
) -> Sample:
    """Runs each caller in a thread; see `generate`.

    Errors of a connection count as failures; other exceptions of a caller are raised.
    """
    run = _Run(load, begin)
    with futures.ThreadPoolExecutor(len(callers)) as pool:
        working = [pool.submit(run.work, caller) for caller in callers]
    broken = [error for done in working if (error := done.exception())]
    # The error that aborted the barrier comes before those of the threads that waited at it.
    for error in sorted(broken, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    errors = run.failures
    latencies = np.array(run.latencies, float)
    return Sample(run.ended - run.begun, latencies, len(errors), errors[0] if errors else "")


def arrivals(rate: float, seconds: float, seed: int = 0) -> np.ndarray:
    """Returns arrival times of a Poisson process: seconds, ascending, at least one."""
    if rate <= 0 or seconds <= 0:
        raise ValueError(f"rate and seconds must be positive, not {rate} and {seconds}")
    generator = np.random.default_rng(seed)
    times = np.zeros(0)
    while not len(times) or times[-1] < seconds:
        gaps = generator.exponential(1 / rate, int(rate * seconds) + 1)
        times = np.concatenate([times, np.cumsum(gaps) + (times[-1] if len(times) else 0)])
    return times[: max(1, int(np.searchsorted(times, seconds)))]


class _Run:
    """Shared state of the threads of one load."""

    def __init__(self, load: Load, begin: Callable[[], object]) -> None:
        self._load = load
        self._before = begin
        self._due = arrivals(load.rate, load.seconds, load.seed).tolist() if load.rate else []
        self._next = itertools.count()
        self._start = threading.Barrier(load.callers, action=self._begin)
        self._lock = threading.Lock()
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.begun = self.ended = 0.0

    def _begin(self) -> None:
        self._before()
        self.begun = time.perf_counter()

    def work(self, caller: Caller) -> None:
        """Sends requests until the load is over, in one thread."""
        latencies: list[float] = []
        failures: list[str] = []
        try:
            _send(caller, time.perf_counter(), [], [])
        except Exception:
            self._start.abort()
            raise
        self._start.wait()
        while (due := self._wait_for_next(len(latencies) + len(failures))) is not None:
            _send(caller, due, latencies, failures)
        now = time.perf_counter()
        with self._lock:
            self.latencies += latencies
            self.failures += failures
            self.ended = max(self.ended, now)

    def _wait_for_next(self, sent: int) -> float | None:
        """Waits for the next scheduled request and returns its time; None if none is left."""
        if not self._load.rate:
            now = time.perf_counter()
            too_few = sent * self._load.callers < self._load.min_answers
            return now if too_few or now < self.begun + self._load.seconds else None
        index = next(self._next)
        if index >= len(self._due):
            return None
        due = self.begun + self._due[index]
        if (early := due - time.perf_counter()) > 0:
            time.sleep(early)
        return due


def _send(caller: Caller, due: float, latencies: list[float], failures: list[str]) -> None:
    try:
        caller()
        latencies.append(time.perf_counter() - due)
    except grpc.RpcError as error:
        failures.append(f"{error.code().name}: {error.details()}")
    except (OSError, http.client.HTTPException) as error:
        failures.append(f"{type(error).__name__}: {error}")


def _grpc_callers(target: Target, count: int) -> tuple[list[Caller], Callable[[], None]]:
    options: list[tuple[str, int]] = [
        # Channels share a connection otherwise, and one connection stays with one worker.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
    ]
    channels = [
        grpc.insecure_channel(target.address, options) for _ in range(min(count, _MAX_CONNECTIONS))
    ]

    def caller(channel: grpc.Channel) -> Caller:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(target.path)
        return lambda: call(target.body, timeout=_TIMEOUT_SECONDS)

    def close() -> None:
        for channel in channels:
            channel.close()

    return [caller(channels[index % len(channels)]) for index in range(count)], close


def _http_callers(target: Target, count: int) -> tuple[list[Caller], Callable[[], None]]:
    connections = [
        http.client.HTTPConnection(target.address, timeout=_TIMEOUT_SECONDS) for _ in range(count)
    ]
    headers = {"Content-Type": "application/json"}

    def caller(connection: http.client.HTTPConnection) -> Caller:
        def call() -> None:
            try:
                connection.request("POST", target.path, target.body, headers)
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException):
                connection.close()  # The next request reopens it.
                raise
            if response.status != 200:
                raise http.client.HTTPException(f"{response.status} {text[:200]!r}")

        return call

    def close() -> None:
        for connection in connections:
            connection.close()

    return [caller(connection) for connection in connections], close
