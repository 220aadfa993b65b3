"""The supervisor: starts the worker processes and restarts those that end unexpectedly.

It needs little memory and no TensorFlow. It reserves the ports, so that no other server takes them,
but never listens: connections are refused until a worker is ready. TensorFlow Serving has no
counterpart; it is a single process.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from serving.errors import UserError
from serving.server.flags import Flags
from serving.server.suspects import Suspects

log = logging.getLogger(__name__)

_DRAIN_SECONDS = 20
_READY = b"ready\n"
# Seconds. A process that lived for longer than the maximum pause is restarted after the minimum.
_MIN_PAUSE, _MAX_PAUSE = 0.5, 30.0


def supervise(flags: Flags, arguments: Sequence[str]) -> int:
    """Runs `flags.workers` workers until a signal comes; returns the exit code.

    A worker that fails before it was ever ready ends the server with its own code. One that was
    ready is restarted, after a pause that doubles from half a second to half a minute as long as
    it keeps ending soon.

    Raises:
        UserError: A port is taken, or there is no folder for temporary files.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with contextlib.ExitStack() as stack:
        for port in {flags.port, flags.rest_api_port} - {0}:
            stack.enter_context(_reserved(port))
        folder = stack.enter_context(_shared_folder())
        workers = [
            Worker(
                [str(index), folder, *arguments],
                stop,
                name=f"worker {index}",
                ended=Suspects(Path(folder), index).ended,
            )
            for index in range(flags.workers)
        ]
        for worker in workers:
            worker.start()
        stop.wait()
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + _DRAIN_SECONDS
        for worker in workers:
            worker.end(deadline)
        return max(worker.exit_code for worker in workers)


class Worker(threading.Thread):
    """Keeps one worker process running.

    Args:
        arguments: The command line of `serving.server.worker`.
        stop: Set when the server is to end; set by a worker that cannot start.
        name: Its name in the log.
        ended: Called with the exit code of each process.

    Attributes:
        exit_code: The code that this worker ends the server with; 0 if it does not end it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        stop: threading.Event,
        name: str,
        ended: Callable[[int], None] = lambda code: None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._command = [sys.executable, "-m", "serving.server.worker", *arguments]
        self._stop = stop
        self._ended = ended
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._was_ready = False
        self.exit_code = 0

    def run(self) -> None:
        pause = _MIN_PAUSE
        while True:
            started = time.monotonic()
            code = self._run_once()
            self._ended(code)
            if self._stop.is_set():
                return
            if not self._was_ready:
                self.exit_code = code if code >= 0 else 1
                self._stop.set()
                return
            log.error("%s ended %s; it is restarted", self.name, _reason(code))
            if time.monotonic() - started > _MAX_PAUSE:
                pause = _MIN_PAUSE
            self._stop.wait(pause)
            pause = min(2 * pause, _MAX_PAUSE)

    def _run_once(self) -> int:
        """Runs a process and returns its exit code; 1 if it cannot be started."""
        with self._lock:
            if self._stop.is_set():
                return 0
            try:
                # The worker stops when its standard input closes, thus when this process ends.
                self._process = process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            except OSError as error:
                log.error("%s could not be started: %s", self.name, error)
                return 1
        assert process.stdin
        assert process.stdout
        if process.stdout.readline() == _READY:
            self._was_ready = True
        code = process.wait()
        process.stdin.close()
        process.stdout.close()
        return code

    def terminate(self) -> None:
        """Asks the process to end once its requests in flight have; `stop` is set already."""
        with self._lock:
            if self._process:
                self._process.terminate()

    def end(self, deadline: float) -> None:
        """Waits for the process to end; kills it at `deadline`, a time of the monotonic clock."""
        with self._lock:
            process = self._process
        if process is None:
            return
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _reason(code: int) -> str:
    return f"with code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


def _shared_folder() -> tempfile.TemporaryDirectory[str]:
    """Returns the folder that the workers share, removed at the end of its context."""
    try:
        return tempfile.TemporaryDirectory(prefix="foundry-", ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(
            "no folder for temporary files can be written "
            f"({error.strerror or error}); set TMPDIR to one"
        ) from error


def _reserved(port: int) -> socket.socket:
    """Returns a socket that reserves the port for processes of this server.

    Raises:
        UserError: The port is in use or not allowed.
    """
    try:
        with socket.socket() as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(("0.0.0.0", port))
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            # Without SO_REUSEADDR it conflicts with the sockets of others, who set it.
            held.bind(("0.0.0.0", port))
        except OSError:
            # Connections of a former server linger.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("0.0.0.0", port))
    except OSError as error:
        raise UserError(
            f"port {port} cannot be bound: it is in use or not allowed; choose another one"
        ) from error
    return held
