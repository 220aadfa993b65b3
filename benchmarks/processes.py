"""Processes that are started for a measurement and always ended after it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_GRACE_SECONDS = 15
_PAUSE = 0.1
_LAST_LINES = 20
_SWITCH_SECONDS = 0.0002
_LOOK_SECONDS = 0.01
_STATUS = Path("/proc/self/status")


class ProcessFailedError(Exception):
    """A process ended, or did not get ready; the message contains the end of its log."""


@contextlib.contextmanager
def started(
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = 180.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program until the end of the block.

    Args:
        command: The program and its arguments.
        log: File for its output.
        ready: Called repeatedly until it returns True.
        environment: Additional environment variables.
        timeout: Seconds within which it must be ready.

    Raises:
        ProcessFailedError: It ended, or was not ready in time.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            # Its own group: Ctrl-C reaches this process only, which then ends the group.
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + timeout
        while not ready():
            code = process.poll()
            if code is not None:
                raise ProcessFailedError(_failure(command, f"ended with code {code}", log))
            if time.monotonic() > deadline:
                raise ProcessFailedError(_failure(command, f"not ready in {timeout:.0f} s", log))
            time.sleep(_PAUSE)
        yield process
    finally:
        _end(process)


@contextlib.contextmanager
def isolated(log: Path) -> Iterator[Executor]:
    """Yields an executor with one process, which calls functions one after the other.

    Args:
        log: File for the output of native libraries; exceptions are raised here.
    """
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        1, mp_context=context, initializer=_set_up, initargs=(log,)
    ) as executor:
        try:
            yield executor
        except BaseException:
            # Otherwise its current call would be waited for.
            for child in set(multiprocessing.active_children()) - before:
                child.kill()
            raise


def peak_memory() -> int:
    """Returns the most bytes that this process has had in memory.

    In Linux, getrusage's maximum is at least what the parent held when it started this process, so
    the kernel is asked for this program's own.
    """
    if _STATUS.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())):
        return 1024 * int(found[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


class AnonymousPeak:
    """The most memory of this process that belongs to no file, looked at a hundred times a second.

    Mapped files are left out: of these the system drops what it needs the room for. Where there is
    no /proc, as on macOS, it is what `peak_memory` returns.
    """

    def __init__(self) -> None:
        self._most, self._ended = 0, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def bytes(self) -> int:
        """Returns the most until now."""
        if not _STATUS.exists():
            return peak_memory()
        (found,) = re.findall(r"RssAnon:\s*(\d+) kB", _STATUS.read_text())
        self._most = max(self._most, 1024 * int(found))
        return self._most

    def end(self) -> None:
        """Stops looking."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self.bytes()


def _set_up(log: Path) -> None:
    with log.open("ab") as output:
        os.dup2(output.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles it and ends this process.
    # Limits how long a caller with an answer waits for the interpreter; by default 5 ms.
    sys.setswitchinterval(_SWITCH_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and its children."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _failure(command: Sequence[str], what: str, log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    return "\n".join([f"{' '.join(command)}: {what}; the end of its log:", *lines])
