"""The command `up` in a process of its own, which serves until a signal ends it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.serving.server.processes import ENVIRONMENT, ROOT


@contextmanager
def serving_in_foreground(
    arguments: Sequence[object], **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Yields the process of a command when it has said that it is ready, and kills it at the end.

    Args:
        arguments: The command's.
        environment: Additional environment variables.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "serving", *map(str, arguments)],
        cwd=ROOT,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    while "Ctrl-C stops the server" not in (line := process.stdout.readline()):
        assert line, process.stderr and process.stderr.read()
    yield process
    process.kill()
    process.communicate()
