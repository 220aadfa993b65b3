"""The access log: one line of JSON for each request.

A separate thread writes the lines, so that no request waits for a disk. When lines come faster than
they can be written, some are left out, and a line says how many.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

from serving.errors import UserError
from serving.server.monitoring.observation import Observation

log = logging.getLogger(__name__)

_MAX_WAITING = 10_000
_MAX_AT_ONCE = 500
_MAX_TEXT_LENGTH = 200
_CLOSE_SECONDS = 5.0


class AccessLog:
    """Writes the records of requests to a file, or to standard error.

    Several processes may write to the same file. If the file is moved or removed, as log rotation
    does, the next line starts a new one.
    """

    def __init__(self, path: str) -> None:
        """Opens the log and starts the thread.

        Args:
            path: The file, to which lines are appended; "-" for standard error.

        Raises:
            UserError: The file cannot be opened.
        """
        self._path = None if path == "-" else Path(path)
        self._file = _open(self._path) if self._path else sys.stderr.fileno()
        self._lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._left_out = 0
        self._failed = False
        self._thread = threading.Thread(target=self._write_all, name="access log", daemon=True)
        self._thread.start()

    def write(self, request: Observation) -> None:
        """Queues a line to be written; thread-safe."""
        if self._lines.qsize() >= _MAX_WAITING:
            self._left_out += 1
            return
        self._lines.put(record(request))

    def close(self) -> None:
        """Writes the queued lines, for at most five seconds, and closes the file."""
        self._lines.put(None)
        self._thread.join(_CLOSE_SECONDS)
        if self._path and not self._thread.is_alive():
            os.close(self._file)

    def _write_all(self) -> None:
        ended = False
        while not ended:
            waiting = [self._lines.get()]
            while len(waiting) < _MAX_AT_ONCE and not self._lines.empty():
                waiting.append(self._lines.get())
            ended = None in waiting
            records = [line for line in waiting if line is not None]
            if self._left_out:
                left_out, self._left_out = self._left_out, 0
                records.append({"time": _time(None), "left_out": left_out})
            try:
                self._write("".join(f"{json.dumps(line)}\n" for line in records).encode())
                self._failed = False
            except OSError as error:
                if not self._failed:
                    log.error("the access log cannot be written: %s", error)
                self._failed = True

    def _write(self, lines: bytes) -> None:
        if self._path and not _is_same(self._file, self._path):
            try:
                moved, self._file = self._file, _open(self._path)
            except UserError as error:
                raise OSError(str(error)) from error
            os.close(moved)
        while lines:
            lines = lines[os.write(self._file, lines) :]


def record(request: Observation) -> dict[str, Any]:
    """Returns the line of a request; durations in milliseconds, `time` is that of its arrival."""
    return {
        "time": _time(request.time),
        "api": request.api,
        "transport": request.entrypoint,
        "model": request.model[:_MAX_TEXT_LENGTH],
        "version": request.version,
        "label": request.label[:_MAX_TEXT_LENGTH] or None,
        "signature": request.signature[:_MAX_TEXT_LENGTH] or None,
        "batch_size": request.rows,
        "code": request.code,
        "queue_ms": _milliseconds(request.queue_seconds),
        "codec_ms": _milliseconds(request.codec_seconds),
        "runtime_ms": _milliseconds(request.runtime_seconds),
        "total_ms": _milliseconds(request.total_seconds),
        "peer": request.peer(),
    }


def _time(seconds: float | None) -> str:
    zone = datetime.UTC
    now = datetime.datetime.now(zone)
    moment = now if seconds is None else datetime.datetime.fromtimestamp(seconds, zone)
    return moment.isoformat(timespec="microseconds")


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"--access_log={path} cannot be written: {error.strerror}") from error


def _is_same(file: int, path: Path) -> bool:
    """Whether the path still names the open file."""
    try:
        there = path.stat()
    except OSError:
        return False
    here = os.fstat(file)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
