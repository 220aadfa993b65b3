"""The sandbox: a separate process that runs requests which might crash the process that runs them.

This is the server's side; `sandbox_process.py` is the other one, and `sandbox_messages.py` what
they send each other. TensorFlow Serving has no counterpart; such requests end it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np

from serving.errors import ServingError
from serving.server import thread_pool
from serving.server.servables import sandbox_process
from serving.server.servables.sandbox_messages import (
    LATE,
    Answer,
    Forget,
    Ready,
    Run,
    Running,
    Setup,
)
from serving.server.zygote import Child, Zygote

if TYPE_CHECKING:  # TensorFlow takes seconds to import.
    from tensorflow.core.protobuf import config_pb2

log = logging.getLogger(__name__)

# A longer timeout counts as none.
_MAX_TIMEOUT_SECONDS = 1e6
# Each waiting request holds a thread, beside those that other requests may use.
_MAX_WAITING = 256
# These come from outside: the request need not be the reason.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM)


class AbortError(Exception):
    """A request that ended the sandbox process.

    Attributes:
        reason: How the process ended, such as "SIGABRT".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the request ended the sandbox: {reason}")
        self.reason = reason


class _EndedIdleError(Exception):
    """The process ended before it ran the request."""


@dataclass
class _Process:
    """The sandbox process.

    Attributes:
        ready: Whether it takes requests.
        running: Number of the request that it ran last.
    """

    child: Child
    ready: bool = False
    running: int = 0
    sending: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: object) -> None:
        with self.sending:
            self.child.connection.send(message)


class Sandbox:
    """Runs requests in another process, which the first request starts, as does one after a crash.

    Threads may share it: they wait for the running request, and others of their pool take their
    place meanwhile. The process has no GPU, whose memory belongs to the server; its CPU kernels are
    the server's.

    Args:
        zygote: Starts the process.
        tags: Tags of the graph in the SavedModels.
        config: Options of the sessions.
        models: Maximum number of SavedModels that stay loaded.
        grace_seconds: Time that a run may take beyond its deadline, at which the runtime should
            end it. A run that hangs for longer is killed with its process.
        idle_seconds: Time without work after which the process ends.
    """

    def __init__(
        self,
        zygote: Zygote,
        tags: Sequence[str] = ("serve",),
        config: config_pb2.ConfigProto | None = None,
        *,
        models: int = 2,
        grace_seconds: float = 5.0,
        idle_seconds: float = 600.0,
    ) -> None:
        self._zygote = zygote
        setup = Setup(
            tuple(tags),
            config.SerializeToString() if config else b"",
            models,
            grace_seconds,
            idle_seconds,
        )
        self._main = functools.partial(sandbox_process.main, setup)
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(_MAX_WAITING)
        self._numbers = itertools.count(1)
        self._process: _Process | None = None

    @property
    def child(self) -> Child | None:
        """The sandbox process, if one was started."""
        return self._process.child if self._process else None

    def run(
        self,
        path: Path,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """Runs the graph of a SavedModel once.

        Args:
            path: The SavedModel.
            feeds: Array of each tensor to feed, by the tensor's name.
            fetches: Names of the tensors to return.
            timeout: Seconds for everything: waiting for other requests, starting the process,
                loading the model, and the run.

        Raises:
            ServingError: With the runtime's code and text; UNAVAILABLE if the model cannot be
                loaded or the process cannot be started, RESOURCE_EXHAUSTED if the process was
                killed from outside or too many requests wait already.
            AbortError: The request ended the process.
        """
        with thread_pool.parked():
            return self._run(path, feeds, fetches, timeout)

    def _run(
        self,
        path: Path,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None,
    ) -> list[np.ndarray]:
        endless = timeout is None or timeout > _MAX_TIMEOUT_SECONDS
        deadline = None if endless or timeout is None else time.monotonic() + timeout
        self._take_turn(deadline)
        try:
            for _ in range(2):  # A process that ended while idle is started once more.
                with contextlib.suppress(_EndedIdleError):
                    return self._ask(path, feeds, fetches, deadline)
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                "the process that tries unusual requests ends before it can run one",
            )
        finally:
            self._turn.release()

    def _take_turn(self, deadline: float | None) -> None:
        if self._turn.acquire(blocking=False):
            return
        if not self._places.acquire(blocking=False):
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "too many requests that do not fit their signature wait to be tried",
            )
        try:
            left = -1 if deadline is None else max(0.0, _left(deadline))
            if not self._turn.acquire(timeout=left):
                raise _late()
        finally:
            self._places.release()

    def forget(self, path: Path) -> None:
        """Unloads a SavedModel, once the request that may be using it has ended."""
        if process := self._process:
            with contextlib.suppress(OSError):
                process.send(Forget(str(path)))

    def close(self) -> None:
        """Ends the process; a later request would start another one."""
        process, self._process = self._process, None
        if process:
            process.child.close()

    def _ask(
        self,
        path: Path,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None,
    ) -> list[np.ndarray]:
        number = next(self._numbers)
        process = self._process
        if process is None:
            try:
                process = self._process = _Process(self._zygote.start(self._main))
            except OSError:
                raise _EndedIdleError from None
        try:
            while not process.ready:
                _receive(process, deadline)
            process.send(Run(number, str(path), dict(feeds), list(fetches), deadline))
            # Answers to earlier requests, whose callers did not wait for them, come first.
            while (answer := _receive(process, deadline)) is None or answer.number != number:
                pass
        except (EOFError, OSError):
            self._process = None
            raise _ended(process, number) from None
        if answer.kind == "arrays":
            return answer.content
        if answer.kind == "unloadable":
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                f"a request unlike the signature cannot be tried beforehand: {answer.content}",
            )
        code, text = answer.content
        raise ServingError(grpc.StatusCode[code], text)


def _receive(process: _Process, deadline: float | None) -> Answer | None:
    """Returns an answer, or None after a message about the process itself."""
    connection = process.child.connection
    if not connection.poll(None if deadline is None else max(0.0, _left(deadline))):
        raise _late()
    match connection.recv():
        case Ready():
            process.ready = True
        case Running(number):
            process.running = number
        case Answer() as answer:
            return answer
    return None


def _ended(process: _Process, number: int) -> Exception:
    """Returns the error that the end of the process means for a request."""
    code = process.child.wait()
    process.child.close()
    if process.running != number:
        log.warning("The process for unusual requests ended: exit code %d", code)
        return _EndedIdleError()
    reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    log.error(
        "A request that does not fit its signature ended the process that tried it: %s", reason
    )
    if -code == signal.SIGALRM:
        return _late()
    if -code in _FROM_OUTSIDE:
        return ServingError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"the process that tried the request was killed ({reason}), as it happens when memory "
            "runs out",
        )
    return AbortError(reason)


def _late() -> ServingError:
    code, text = LATE
    return ServingError(grpc.StatusCode[code], text)


def _left(deadline: float) -> float:
    """Returns the seconds until a time of the monotonic clock."""
    return deadline - time.monotonic()
