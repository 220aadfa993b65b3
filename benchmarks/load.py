"""The load generator: callers that ask, in a closed or an open loop, and take the time.

A closed loop asks again when it is answered, so N callers keep N requests under way. An open loop
asks when a schedule says so, answered or not, as independent users do; a latency counts from the
time when the request was due, not from when a caller was free to send it, so that a server that
falls behind cannot hide it ("coordinated omission").

The bytes of requests are made before, and answers are not parsed: what is measured is the server,
not the client's code.
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
"""Sends one request and waits for its answer; raises if there is none."""

_MOST_CONNECTIONS = 16
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Load:
    """How much is asked.

    Attributes:
        callers: Requests under way at the same time: exactly so many in a closed loop, at most so
            many in an open one.
        seconds: For how long requests are sent.
        rate: Requests per second of an open loop, with Poisson arrivals; 0 for a closed loop.
        least: A closed loop goes on until it has so many answers.
        seed: Of the arrivals.
    """

    callers: int
    seconds: float
    rate: float = 0.0
    least: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """What came of a load.

    Attributes:
        seconds: From the first request to the last answer.
        latencies: Seconds of each request that was answered, float64 [answers].
        errors: How many requests failed.
        error: The first failure's text.
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
    """A request and where it goes.

    Attributes:
        protocol: `grpc` or `http`.
        address: HOST:PORT.
        path: Full name of the gRPC method, or path of the HTTP request, a POST.
        body: The serialised message, or the HTTP body, which is JSON.
    """

    protocol: Literal["grpc", "http"]
    address: str
    path: str
    body: bytes


def generate(target: Target, load: Load, begin: Callable[[], object] = lambda: None) -> Sample:
    """Opens connections, asks once on each without taking the time, and puts the load on.

    Args:
        target: The request.
        load: How often it is sent.
        begin: Called once, after those first requests and before the time is taken.
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
    """Lets each caller ask in a thread of its own; see `generate`.

    What a caller raises counts as a failure where a connection can fail so; else it is raised.
    """
    run = _Run(load, begin)
    with futures.ThreadPoolExecutor(len(callers)) as pool:
        working = [pool.submit(run.work, caller) for caller in callers]
    broken = [error for done in working if (error := done.exception())]
    # What broke off comes before those that waited for it in vain.
    for error in sorted(broken, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    errors = run.failures
    latencies = np.array(run.latencies, float)
    return Sample(run.ended - run.begun, latencies, len(errors), errors[0] if errors else "")


def arrivals(rate: float, seconds: float, seed: int = 0) -> np.ndarray:
    """Returns when the requests of a Poisson process are due: seconds, ascending, at least one."""
    if rate <= 0 or seconds <= 0:
        raise ValueError(f"rate and seconds must be positive, not {rate} and {seconds}")
    generator = np.random.default_rng(seed)
    times = np.zeros(0)
    while not len(times) or times[-1] < seconds:
        gaps = generator.exponential(1 / rate, int(rate * seconds) + 1)
        times = np.concatenate([times, np.cumsum(gaps) + (times[-1] if len(times) else 0)])
    return times[: max(1, int(np.searchsorted(times, seconds)))]


class _Run:
    """What the threads of one load share."""

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
        """Asks until the load is over; one thread's part of it."""
        latencies: list[float] = []
        failures: list[str] = []
        try:
            _ask(caller, time.perf_counter(), [], [])
        except Exception:
            self._start.abort()
            raise
        self._start.wait()
        while (due := self._wait_for_next(len(latencies) + len(failures))) is not None:
            _ask(caller, due, latencies, failures)
        now = time.perf_counter()
        with self._lock:
            self.latencies += latencies
            self.failures += failures
            self.ended = max(self.ended, now)

    def _wait_for_next(self, asked: int) -> float | None:
        """Returns when the next request was due, at that time or later; None if none is left."""
        if not self._load.rate:
            now = time.perf_counter()
            few = asked * self._load.callers < self._load.least
            return now if few or now < self.begun + self._load.seconds else None
        index = next(self._next)
        if index >= len(self._due):
            return None
        due = self.begun + self._due[index]
        if (early := due - time.perf_counter()) > 0:
            time.sleep(early)
        return due


def _ask(caller: Caller, due: float, latencies: list[float], failures: list[str]) -> None:
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
        grpc.insecure_channel(target.address, options) for _ in range(min(count, _MOST_CONNECTIONS))
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
                connection.close()  # The next request opens it anew.
                raise
            if response.status != 200:
                raise http.client.HTTPException(f"{response.status} {text[:200]!r}")

        return call

    def close() -> None:
        for connection in connections:
            connection.close()

    return [caller(connection) for connection in connections], close
