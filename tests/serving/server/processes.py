"""A model server as a process, with its log."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PYTHON = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
ENVIRONMENT = {**os.environ, **PYTHON}


class Process:
    """A running server and the lines of its log."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving.server", *flags],
            cwd=ROOT,
            env={**os.environ, **PYTHON},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.log = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log += line
            self.lines.put(line)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Waits for a line of the log."""
        while True:
            try:
                line = self.lines.get(timeout=300)
            except queue.Empty:
                pytest.fail(f"no line of the log matches {pattern}:\n{self.log}")
            if match := re.search(pattern, line):
                return match

    def exit_code(self) -> int:
        code = self.process.wait(300)
        self._reader.join(10)
        return code


@contextmanager
def started(*flags: str) -> Iterator[Process]:
    """Runs a server, and ends it with the block."""
    server = Process(*flags)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(60)
