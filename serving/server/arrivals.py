"""Requests over gRPC that are slow to arrive.

In grpcio a call has its thread before its message is there, so that a few calls that send nothing
would take all threads, for as long as they like. Here such calls do not count, and end in time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from serving.server.thread_pool import GrowingPool

# A message that takes longer does not count as a request in progress.
_SOON_SECONDS = 0.05
_IDLE_SECONDS = 10.0


@dataclass(eq=False)
class _Arrival:
    call: grpc.ServicerContext
    since: float
    parked: bool = False


class Arrivals:
    """Waits for the messages of calls.

    Args:
        pool: The threads that wait.
        seconds: Time for a message, after which its call is cancelled.
        most: Number of slow calls at a time; beyond it, the oldest one is cancelled.
    """

    def __init__(self, pool: GrowingPool, *, seconds: float = 60.0, most: int = 500) -> None:
        self._pool = pool
        self._seconds = seconds
        self._most = most
        self._lock = threading.Lock()
        self._waiting: dict[_Arrival, None] = {}  # Oldest first.
        self._has_watcher = False

    def message(self, requests: Iterator[Any], call: grpc.ServicerContext) -> Any:
        """Returns the only message of a call; ends the call if there is none."""
        arrival = _Arrival(call, time.monotonic())
        with self._lock:
            self._waiting[arrival] = None
            if not self._has_watcher:
                self._has_watcher = True
                threading.Thread(target=self._watch, name="grpc arrivals", daemon=True).start()
        try:
            return next(requests)
        except StopIteration:
            call.abort(grpc.StatusCode.UNIMPLEMENTED, "The call has no request message")
            raise
        finally:
            with self._lock:
                del self._waiting[arrival]
            if arrival.parked:
                self._pool.acquire(parked=1)

    def _watch(self) -> None:
        """Looks after those that wait, until none has for a while."""
        idle_since = time.monotonic()
        while True:
            time.sleep(_SOON_SECONDS)
            now = time.monotonic()
            with self._lock:
                if self._waiting:
                    idle_since = now
                elif now - idle_since > _IDLE_SECONDS:
                    self._has_watcher = False
                    return
                late = self._late(now)
            for call in late:
                call.cancel()

    def _late(self, now: float) -> list[grpc.ServicerContext]:
        """Parks the threads of slow calls, and returns the calls that have to end."""
        slow = [each for each in self._waiting if now - each.since > _SOON_SECONDS]
        for arrival in slow:
            if not arrival.parked:
                arrival.parked = True
                self._pool.release(parked=1)
        surplus = max(len(slow) - self._most, 0)
        return [
            arrival.call
            for place, arrival in enumerate(slow)
            if place < surplus or now - arrival.since > self._seconds
        ]
