"""The record of a request, for the metrics and the access log.

The transport that receives a request observes it; code on the request's thread records what it
learns, whether the request is observed or not.

Counterparts: `RequestLogger` and tensorflow_serving/servables/tensorflow/util.cc.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.errors import ServingError
from serving.server.servables.signature_constants import DEFAULT_SIGNATURE

if TYPE_CHECKING:  # TensorFlow takes seconds to import.
    from serving.server.servables.base import Servable


@dataclass(slots=True)
class Observation:
    """A request and how it was answered.

    Attributes:
        api: The method that was called: Predict, GetModelStatus …
        entrypoint: GRPC or REST.
        peer: Returns the address of the caller.
        time: Its arrival, in seconds since the epoch.
        model: The model's name as it was sent.
        version: The version that answered.
        label: The version label of the request.
        signature: The signature's key as it was sent, or the default one.
        rows: Size of the first dimension of the first input that has one.
        code: Name of the status code.
        queue_seconds: Time in a queue for batches.
        runtime_seconds: Time in TensorFlow.
        total_seconds: Time from request message to response message.
    """

    api: str
    entrypoint: str
    peer: Callable[[], str]
    time: float = field(default_factory=time.time)
    model: str = ""
    version: int | None = None
    label: str = ""
    signature: str = ""
    rows: int | None = None
    code: str = "OK"
    queue_seconds: float = 0.0
    runtime_seconds: float = 0.0
    total_seconds: float = 0.0

    @property
    def codec_seconds(self) -> float:
        """The time in neither queue nor TensorFlow: decoding, checks, encoding."""
        return max(0.0, self.total_seconds - self.queue_seconds - self.runtime_seconds)


class Observed:
    """A context in which the thread's request is observed.

    Args:
        observation: The request.
        notify: Called with the request at its end.
    """

    __slots__ = ("_notify", "_observation", "_started")

    def __init__(self, observation: Observation, notify: Callable[[Observation], None]) -> None:
        self._observation = observation
        self._notify = notify

    def __enter__(self) -> Observation:
        _thread.observation = self._observation
        self._started = time.perf_counter()
        return self._observation

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        observation = self._observation
        observation.total_seconds = time.perf_counter() - self._started
        _thread.observation = None
        if error is not None:
            observation.code = error.code.name if isinstance(error, ServingError) else "INTERNAL"
        self._notify(observation)


class _Thread(threading.local):
    observation: Observation | None = None


_thread = _Thread()


def record(**known: Any) -> None:
    """Records attributes of this thread's request, if it is observed."""
    observation = _thread.observation
    if observation is not None:
        for name, value in known.items():
            setattr(observation, name, value)


def record_spec(model: str, label: str, signature: str) -> None:
    """Records what a ModelSpec asks for."""
    observation = _thread.observation
    if observation is not None:
        observation.model, observation.label = model, label
        observation.signature = signature or DEFAULT_SIGNATURE


def timed(servable: Servable, version: int) -> Servable:
    """Records the version that answers; returns the servable, timed if the request is observed."""
    observation = _thread.observation
    if observation is None:
        return servable
    observation.version = version
    return Timed(servable)


def add_queue_time(seconds: float) -> None:
    """Records that this thread's request has waited in a queue for batches."""
    observation = _thread.observation
    if observation is not None:
        observation.queue_seconds += seconds


class Timed:
    """A `Servable` around another one, whose time is recorded for the request."""

    __slots__ = ("_servable", "on_gpu", "signatures")

    def __init__(self, servable: Servable) -> None:
        self._servable = servable
        self.signatures = servable.signatures
        self.on_gpu = servable.on_gpu

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """See `Servable.run`."""
        observation = _thread.observation
        if observation is None:
            return self._servable.run(feeds, fetches, timeout)
        for array in feeds.values():
            if array.ndim:
                observation.rows = len(array)
                break
        queued_before = observation.queue_seconds
        started = time.perf_counter()
        try:
            return self._servable.run(feeds, fetches, timeout)
        finally:
            waited = observation.queue_seconds - queued_before
            observation.runtime_seconds += max(0.0, time.perf_counter() - started - waited)

    def close(self) -> None:
        self._servable.close()
