"""The messages between the server and its sandbox process, sent over a connection as pickles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

# Code and text of a request whose time is over.
LATE = ("DEADLINE_EXCEEDED", "Timed out waiting for notification")


@dataclass(frozen=True)
class Setup:
    """To the process, once: the options of `Sandbox`; `config` is a serialized ConfigProto."""

    tags: tuple[str, ...]
    config: bytes
    models: int
    grace_seconds: float
    idle_seconds: float


@dataclass(frozen=True)
class Run:
    """To the process: run the graph of the SavedModel in `path`, or the TensorFlow Lite model.

    Attributes:
        number: Identifies the request.
        deadline: A time of the monotonic clock, which all processes share; None for none.
    """

    number: int
    path: str
    feeds: dict[str, np.ndarray]
    fetches: list[str]
    deadline: float | None


@dataclass(frozen=True)
class Forget:
    """To the process: unload the SavedModel in `path`."""

    path: str


@dataclass(frozen=True)
class Ready:
    """From the process: TensorFlow is imported."""


@dataclass(frozen=True)
class Running:
    """From the process: the request has reached the runtime."""

    number: int


@dataclass(frozen=True)
class Answer:
    """From the process: the result of a request.

    Attributes:
        number: The request's.
        kind: "arrays" with a list of arrays as content; "error" with the name of a status code and
            a text; "unloadable" with the text of the loading error.
    """

    number: int
    kind: Literal["arrays", "error", "unloadable"]
    content: Any
