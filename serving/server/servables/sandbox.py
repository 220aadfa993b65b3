"""A process of its own in which requests are tried that might end the process that runs them.

`Sandbox` is the server's side. `python -m serving.server.servables.sandbox DESCRIPTOR` is the
other one: it loads the same SavedModels into the same runtime, and answers one request after the
other over an inherited connection. It ends when its parent does, and after minutes without work.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from serving.errors import ServingError
from serving.server import thread_pool

if TYPE_CHECKING:  # TensorFlow takes seconds to import; the process that starts has none yet.
    from tensorflow.core.protobuf import config_pb2

    from serving.server.servables.session import Session

log = logging.getLogger(__name__)

# A request without a deadline must not keep all others of its kind waiting for ever.
_LONGEST_RUN_SECONDS = 60.0
_FOREVER = 1e6
# Each that waits holds a thread which others need.
_MOST_WAITING = 4
_LATE = ("DEADLINE_EXCEEDED", "Timed out waiting for notification")
# Nobody knows what these two interrupted; the request need not have been the reason.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM)


class AbortError(Exception):
    """A request that ended the process which tried it.

    Attributes:
        reason: How the process ended, such as "SIGABRT".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the request ended the sandbox: {reason}")
        self.reason = reason


class _EndedIdleError(Exception):
    """The process ended before it ran the request."""


@dataclass(frozen=True)
class _Setup:
    """What the process is told first; the names are those of `Sandbox`."""

    tags: tuple[str, ...]
    config: bytes
    models: int
    grace_seconds: float
    idle_seconds: float


@dataclass
class _Child:
    """The other process.

    Attributes:
        ready: Whether it has TensorFlow loaded and listens.
        running: Number of the request that it ran last.
    """

    process: subprocess.Popen[bytes]
    connection: Connection
    ready: bool = False
    running: int = 0
    sending: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: object) -> None:
        with self.sending:
            self.connection.send(message)


class Sandbox:
    """Runs requests in another process, started by the first one and again after one that kills it.

    Threads may share it: a few wait their turn, more are refused. It has no GPU, whose memory
    belongs to the server; its other kernels are the server's.

    Args:
        tags: Tags of the graph in the SavedModels.
        config: How sessions are set up.
        models: How many SavedModels are kept loaded.
        grace_seconds: How long a run may go on after the runtime should have given it up. A run
            that hangs for longer is killed with its process.
        idle_seconds: How long the process stays without work.
    """

    def __init__(
        self,
        tags: Sequence[str] = ("serve",),
        config: config_pb2.ConfigProto | None = None,
        *,
        models: int = 2,
        grace_seconds: float = 5.0,
        idle_seconds: float = 600.0,
    ) -> None:
        self._setup = _Setup(
            tuple(tags),
            config.SerializeToString() if config else b"",
            models,
            grace_seconds,
            idle_seconds,
        )
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(_MOST_WAITING)
        self._numbers = itertools.count(1)
        self._child: _Child | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The other process, if one was started."""
        return self._child.process if self._child else None

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
            timeout: Seconds for everything: waiting for other requests, for the process to
                start, for the model to load, and for the run.

        Raises:
            ServingError: With the runtime's code and text; UNAVAILABLE if the model cannot be
                loaded or the process not started, RESOURCE_EXHAUSTED if it was killed or too
                many requests wait already.
            AbortError: The request ended the process.
        """
        with thread_pool.waiting():
            return self._run(path, feeds, fetches, timeout)

    def _run(
        self,
        path: Path,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None,
    ) -> list[np.ndarray]:
        endless = timeout is None or timeout > _FOREVER
        deadline = None if endless or timeout is None else time.monotonic() + timeout
        self._take_turn(deadline)
        try:
            for _ in range(2):  # One that ended while it had nothing to do deserves another.
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
        if child := self._child:
            with contextlib.suppress(OSError):
                child.send(("forget", str(path)))

    def close(self) -> None:
        """Ends the process; a later request would start another one."""
        child, self._child = self._child, None
        if child:
            child.process.kill()
            child.process.wait()
            child.connection.close()

    def _ask(
        self,
        path: Path,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None,
    ) -> list[np.ndarray]:
        number = next(self._numbers)
        child = self._child
        if child is None:
            child = self._child = _start(self._setup)
        try:
            while not child.ready:
                _receive(child, deadline)
            child.send(("run", number, str(path), dict(feeds), list(fetches), deadline))
            # Answers to earlier requests, whose callers did not wait for them, come first.
            while (answer := _receive(child, deadline)) is None or answer[0] != number:
                pass
        except (EOFError, OSError):
            self._child = None
            child.connection.close()
            raise _ended(child, number) from None
        _, kind, content = answer
        if kind == "arrays":
            return content
        if kind == "unloadable":
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                f"a request unlike the signature cannot be tried beforehand: {content}",
            )
        code, text = content
        raise ServingError(grpc.StatusCode[code], text)


def _start(setup: _Setup) -> _Child:
    ours, theirs = Pipe()
    path = [entry or os.getcwd() for entry in sys.path]
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(path),
    }
    log.info("Starting a process for requests that do not fit their signature")
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.server.servables.sandbox", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=2,  # The server's own may be read by whoever started it.
            env=environment,
            start_new_session=True,  # Ctrl-C is meant for the server, which ends this one.
        )
    child = _Child(process, ours)
    with contextlib.suppress(OSError):  # One that has ended already shows it when asked.
        child.send(setup)
    return child


def _receive(child: _Child, deadline: float | None) -> tuple[int, str, Any] | None:
    """Returns an answer, or None for a notice about the process itself."""
    if not child.connection.poll(None if deadline is None else max(0.0, _left(deadline))):
        raise _late()
    kind, *content = child.connection.recv()
    if kind == "ready":
        child.ready = True
    elif kind == "running":
        (child.running,) = content
    else:
        number, *answer = content
        return number, *answer
    return None


def _ended(child: _Child, number: int) -> Exception:
    """Returns what the end of the process means for a request."""
    child.process.kill()  # It may have closed the connection only.
    code = child.process.wait()
    if child.running != number:
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
    code, text = _LATE
    return ServingError(grpc.StatusCode[code], text)


def _left(deadline: float) -> float:
    """Returns the seconds until a time of the monotonic clock, which all processes share."""
    return deadline - time.monotonic()


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and _left(deadline) <= 0


# From here on: the other process.


def main(descriptor: int) -> None:
    """Answers requests until the parent is gone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # Ends are expected: no dumps of them.
    connection = Connection(descriptor)
    setup: _Setup = connection.recv()
    messages: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    # A thread of its own, as the end of the parent must be seen in the middle of a run too.
    threading.Thread(target=_listen, args=(connection, messages), daemon=True).start()

    from tensorflow.core.protobuf import config_pb2

    from serving.server.servables.session import Session

    proto = config_pb2.ConfigProto.FromString(setup.config)
    sessions: dict[str, Session] = {}  # The one that was used last comes last.
    connection.send(("ready",))
    while True:
        try:
            kind, *content = messages.get(timeout=setup.idle_seconds)
        except queue.Empty:
            return
        if kind == "forget":
            if session := sessions.pop(content[0], None):
                session.close()
            continue
        number, path, feeds, fetches, deadline = content
        if _is_over(deadline):  # Its caller has gone, and others wait.
            connection.send(("answer", number, "refused", _LATE))
            continue
        try:
            session = sessions.pop(path, None) or Session(Path(path), setup.tags, proto)
        except Exception as error:
            connection.send(("answer", number, "unloadable", str(error)))
            continue
        sessions[path] = session
        while len(sessions) > setup.models:
            sessions.pop(next(iter(sessions))).close()
        if _is_over(deadline):
            connection.send(("answer", number, "refused", _LATE))
            continue
        connection.send(("running", number))
        left = _LONGEST_RUN_SECONDS if deadline is None else max(0.0, _left(deadline))
        left = min(left, _LONGEST_RUN_SECONDS)
        # The system's own timer: it ends the process whatever the process is busy with.
        signal.setitimer(signal.ITIMER_REAL, left + setup.grace_seconds)
        answer = _answer(session, feeds, fetches, left)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(("answer", number, *answer))


def _listen(connection: Connection, messages: queue.SimpleQueue[tuple[Any, ...]]) -> None:
    while True:
        try:
            messages.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def _answer(
    session: Session, feeds: dict[str, np.ndarray], fetches: list[str], timeout: float
) -> tuple[str, Any]:
    try:
        return "arrays", session.run(feeds, fetches, timeout)
    except ServingError as error:
        return "refused", (error.code.name, error.message)
    except Exception as error:
        return "refused", ("INTERNAL", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
