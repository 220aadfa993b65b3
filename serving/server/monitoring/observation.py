"""What is known of each request when it has ended: for counting, and for the access log.

The front that received a request observes it; what runs on its thread meanwhile notes what it
learns, and need not know whether anyone looks.
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

if TYPE_CHECKING:  # TensorFlow takes seconds to import.
    from serving.server.servables.base import Servable


@dataclass(slots=True)
class Observation:
    """A request.

    Attributes:
        api: The method that was called: Predict, GetModelStatus …
        entrypoint: GRPC or REST.
        peer: Returns who called.
        time: When it came, in seconds since the epoch.
        model: The model's name as it was sent.
        version: The version that answered.
        label: The label that the version was asked for by.
        signature: The signature's key as it was sent, or the default one.
        rows: Size of the first dimension of what the model was given.
        code: Name of the status code.
        queue_seconds: In a queue for batches.
        runtime_seconds: In TensorFlow.
        total_seconds: From the request's message to the answer's.
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
        """All that is neither queue nor TensorFlow: reading, checking, writing."""
        return max(0.0, self.total_seconds - self.queue_seconds - self.runtime_seconds)


class Observed:
    """Observes a request while a body runs, and tells of it at its end.

    Args:
        observation: What is known of it so far.
        tell: Called with all that is known.
    """

    __slots__ = ("_begun", "_observation", "_tell")

    def __init__(self, observation: Observation, tell: Callable[[Observation], None]) -> None:
        self._observation = observation
        self._tell = tell

    def __enter__(self) -> Observation:
        _thread.observation = self._observation
        self._begun = time.perf_counter()
        return self._observation

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        observation = self._observation
        observation.total_seconds = time.perf_counter() - self._begun
        _thread.observation = None
        if error is not None:
            observation.code = error.code.name if isinstance(error, ServingError) else "INTERNAL"
        self._tell(observation)


class _Thread(threading.local):
    observation: Observation | None = None


_thread = _Thread()
_DEFAULT_SIGNATURE = "serving_default"


def note(**known: Any) -> None:
    """Notes attributes of the request that this thread works on, if it is observed."""
    observation = _thread.observation
    if observation is not None:
        for name, value in known.items():
            setattr(observation, name, value)


def note_spec(model: str, label: str, signature: str) -> None:
    """Notes what a ModelSpec asks for."""
    observation = _thread.observation
    if observation is not None:
        observation.model, observation.label = model, label
        observation.signature = signature or _DEFAULT_SIGNATURE


def timed(servable: Servable, version: int) -> Servable:
    """Notes which version answers; returns it so that it is timed, if the request is observed."""
    observation = _thread.observation
    if observation is None:
        return servable
    observation.version = version
    return Timed(servable)


def queued(seconds: float) -> None:
    """Notes that the request of this thread has waited in a queue for so long."""
    observation = _thread.observation
    if observation is not None:
        observation.queue_seconds += seconds


class Timed:
    """What answers for a version, with the time that it takes noted for the request.

    Args:
        servable: What answers.
    """

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
        """Runs the graph once, as `Servable.run` does."""
        observation = _thread.observation
        if observation is None:
            return self._servable.run(feeds, fetches, timeout)
        for array in feeds.values():
            if array.ndim:
                observation.rows = len(array)
                break
        queued = observation.queue_seconds
        begun = time.perf_counter()
        try:
            return self._servable.run(feeds, fetches, timeout)
        finally:
            waited = observation.queue_seconds - queued
            observation.runtime_seconds += max(0.0, time.perf_counter() - begun - waited)

    def close(self) -> None:
        """Frees its memory."""
        self._servable.close()
