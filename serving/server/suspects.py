"""What was running when a process of the server crashed, for those that come after it.

TensorFlow Serving has no counterpart: it ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

# These come from outside: no request is the reason.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


class Suspects:
    """Kinds of requests by the text that describes them.

    A file in a folder marks a kind that runs for the first time. A disk that is full costs the
    marks, not the requests.

    Args:
        folder: A folder that all processes of the server share while it runs.
        index: The index of the process whose requests are marked.
    """

    def __init__(self, folder: Path, index: int) -> None:
        self._folder = folder
        self._index = index
        self._numbers = itertools.count()

    def __contains__(self, kind: str) -> bool:
        """Whether a kind was running when a process crashed."""
        return (self._folder / f"{_digest(kind)}.suspect").exists()

    @contextlib.contextmanager
    def running(self, kind: str) -> Iterator[None]:
        """Marks a kind while the body runs."""
        mark = self._folder / f"{_digest(kind)}.{next(self._numbers)}.{self._index}"
        with contextlib.suppress(OSError):
            mark.touch()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                mark.unlink()

    def ended(self, code: int) -> None:
        """Makes suspects of what was running when the process ended with an exit code."""
        for mark in self._folder.glob(f"*.*.{self._index}"):
            with contextlib.suppress(OSError):
                if code < 0 and -code not in _FROM_OUTSIDE:
                    mark.rename(self._folder / f"{mark.name.partition('.')[0]}.suspect")
                else:
                    mark.unlink()


def _digest(kind: str) -> str:
    return hashlib.blake2b(kind.encode(), digest_size=16).hexdigest()
