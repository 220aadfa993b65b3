"""What is known of each request when it has ended: for counting, and for the access log.

The front that received a request observes it; what runs on its thread meanwhile notes what it
learns, and need not know whether anyone looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from serving.errors import ServingError


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
        examples: How many tf.Examples were sent, if the method takes them.
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
    examples: int | None = None
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


def note(**known: Any) -> None:
    """Notes attributes of the request that this thread works on, if it is observed."""
    observation = _thread.observation
    if observation is not None:
        for name, value in known.items():
            setattr(observation, name, value)


def ran(seconds: float, queue_seconds: float = 0.0) -> None:
    """Notes that the request of this thread has waited and run for so long, together."""
    observation = _thread.observation
    if observation is not None:
        observation.queue_seconds += queue_seconds
        observation.runtime_seconds += max(0.0, seconds - queue_seconds)
