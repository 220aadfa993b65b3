"""The process of the sandbox.

It loads the same SavedModels into the same runtime as the server, and answers one request after
the other over a connection. It ends when the server does, and after minutes without work.
"""

from __future__ import annotations

import os
import queue
import resource
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.errors import ServingError
from serving.server.process import import_tensorflow
from serving.server.servables.sandbox_messages import (
    LATE,
    Answer,
    Forget,
    Ready,
    Run,
    Running,
    Setup,
)

if TYPE_CHECKING:  # TensorFlow takes seconds to import.
    from serving.server.servables.base import Servable

# A request without a deadline must not keep all others waiting for ever.
_MAX_RUN_SECONDS = 60.0


def main(setup: Setup, connection: Connection) -> None:
    """Answers requests until the server is gone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # Crashes are expected: no core dumps.
    messages: queue.SimpleQueue[Run | Forget] = queue.SimpleQueue()
    # A thread of its own, as the end of the server must be noticed during a run too.
    threading.Thread(target=_listen, args=(connection, messages), daemon=True).start()
    sessions = _Sessions(setup)
    connection.send(Ready())
    while True:
        try:
            message = messages.get(timeout=setup.idle_seconds)
        except queue.Empty:
            return
        if isinstance(message, Forget):
            sessions.forget(message.path)
        else:
            connection.send(_answer(connection, sessions, message, setup.grace_seconds))


def _listen(connection: Connection, messages: queue.SimpleQueue[Run | Forget]) -> None:
    while True:
        try:
            messages.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


class _Sessions:
    """The loaded SavedModels by path; the one that was used last comes last."""

    def __init__(self, setup: Setup) -> None:
        import_tensorflow()
        from tensorflow.core.protobuf import config_pb2

        from serving.server.servables.session import Session
        from serving.server.servables.tflite import TFLITE_FILE, TfLiteSession

        config = config_pb2.ConfigProto.FromString(setup.config)
        self._load: Callable[[str], Servable] = lambda path: (
            TfLiteSession(Path(path).parent)
            if Path(path).name == TFLITE_FILE
            else Session(Path(path), setup.tags, config)
        )
        self._max_loaded = setup.models
        self._loaded: dict[str, Servable] = {}

    def get(self, path: str) -> Servable:
        session = self._loaded.pop(path, None) or self._load(path)
        self._loaded[path] = session
        while len(self._loaded) > self._max_loaded:
            self.forget(next(iter(self._loaded)))
        return session

    def forget(self, path: str) -> None:
        if session := self._loaded.pop(path, None):
            session.close()


def _answer(
    connection: Connection, sessions: _Sessions, request: Run, grace_seconds: float
) -> Answer:
    late = Answer(request.number, "error", LATE)
    if _seconds_left(request.deadline) <= 0:  # The caller has gone, and others wait.
        return late
    try:
        session = sessions.get(request.path)
    except Exception as error:
        return Answer(request.number, "unloadable", str(error))
    if _seconds_left(request.deadline) <= 0:
        return late
    connection.send(Running(request.number))
    left = max(0.0, _seconds_left(request.deadline))
    # The system's own timer ends the process whatever it is busy with.
    signal.setitimer(signal.ITIMER_REAL, left + grace_seconds)
    answer = _run(session, request, left)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return answer


def _seconds_left(deadline: float | None) -> float:
    if deadline is None:
        return _MAX_RUN_SECONDS
    return min(deadline - time.monotonic(), _MAX_RUN_SECONDS)


def _run(session: Servable, request: Run, timeout: float) -> Answer:
    content: Any
    try:
        content = session.run(request.feeds, request.fetches, timeout)
        return Answer(request.number, "arrays", content)
    except ServingError as error:
        content = (error.code.name, error.message)
    except Exception as error:
        content = ("INTERNAL", f"{type(error).__name__}: {error}")
    return Answer(request.number, "error", content)
