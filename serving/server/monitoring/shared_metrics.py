"""The metrics of all processes of a server on one page, through files in a shared folder.

Each process writes its counts every second, and continues those of the process that it replaces.
A crash loses at most the counts of the last second.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

from serving.server.monitoring.metrics import Metrics, Snapshot, merge, page

log = logging.getLogger(__name__)

# Time for the last write; the folder's disk may hang.
_END_SECONDS = 2


class SharedMetrics:
    """The counts of this process, and the latest ones of the others.

    Args:
        metrics: The counts of this process.
        folder: The folder that the processes share.
        index: The index of this process.
        every_seconds: Time between two writes.
    """

    def __init__(
        self, metrics: Metrics, folder: Path, index: int, *, every_seconds: float = 1.0
    ) -> None:
        self._metrics = metrics
        self._folder = folder
        self._file = folder / f"metrics.{index}.json"
        self._before = _read(self._file)
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="metrics", daemon=True)
        self._thread.start()

    def page(self) -> str:
        """Returns the counts of all processes in Prometheus' text format."""
        others = [path for path in self._folder.glob("metrics.*.json") if path != self._file]
        return page(merge([self._own(), *map(_read, others)]))

    def stop(self) -> None:
        """Writes the counts for the last time."""
        self._stop.set()
        self._thread.join(_END_SECONDS)

    def _own(self) -> Snapshot:
        return merge([self._before, self._metrics.snapshot()])

    def _write_on(self) -> None:
        failed = False
        while True:
            last = self._stop.wait(self._every_seconds)
            try:
                self._write()
                failed = False
            except OSError as error:
                if not failed:
                    log.error("counts cannot be shared with other workers: %s", error)
                failed = True
            if last:
                return

    def _write(self) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self._own()))
        os.replace(partial, self._file)


def _read(path: Path) -> Snapshot:
    return json.loads(path.read_text()) if path.exists() else {}
