"""Copies of a run's checkpoints among its artifacts, where another machine finds them."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from pipelines.store_errors import patient

_FOLDER = "checkpoint"
# Seconds from one copy to the next, and how much longer than copying itself that is at least.
_SECONDS, _TIMES = 60.0, 10.0


class Mirror:
    """Copies the newest checkpoint to artifacts that are elsewhere, beside the training.

    A copy that fails, or that a newer checkpoint overtakes, is left to the next one.
    """

    def __init__(self, run_id: str, artifacts: str) -> None:
        """Takes the run and the URI of its artifacts."""
        self._run_id, self._repository = run_id, get_artifact_repository(artifacts)
        self._thread: threading.Thread | None = None
        self._copied, self._ended, self._took = "", -_SECONDS, 0.0

    def send(self, file: Path) -> None:
        """Begins to copy a checkpoint, unless the last copy was made a moment ago."""
        waited = time.monotonic() - self._ended
        if (self._thread and self._thread.is_alive()) or waited < max(
            _SECONDS, _TIMES * self._took
        ):
            return
        self._start(file)

    def finish(self, file: Path, seconds: float) -> bool:
        """Waits until a checkpoint is copied, at most this long; returns whether it is."""
        end = time.monotonic() + seconds
        if self._thread:
            self._thread.join(max(0.0, end - time.monotonic()))
        if self._copied != file.name and not (self._thread and self._thread.is_alive()):
            self._start(file).join(max(0.0, end - time.monotonic()))
        return self._copied == file.name

    def fetch(self, folder: Path) -> None:
        """Fetches the copies into a folder, the newest ones whole."""
        with patient():
            for copy in self._repository.list_artifacts(_FOLDER):
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=folder) as scratch:
                    file = self._repository.download_artifacts(copy.path, scratch)
                    os.replace(file, folder / Path(copy.path).name)

    def remove(self) -> None:
        """Removes the copies, where the store lets that be done."""
        with suppress(Exception):
            self._repository.delete_artifacts(_FOLDER)

    def _start(self, file: Path) -> threading.Thread:
        # Training may remove the file meanwhile.
        scratch = Path(tempfile.mkdtemp(prefix=".copy", dir=file.parent))
        os.link(file, scratch / file.name)
        self._thread = threading.Thread(
            target=self._copy, args=(scratch, file.name), daemon=True, name="checkpoint copy"
        )
        self._thread.start()
        return self._thread

    def _copy(self, scratch: Path, name: str) -> None:
        started = time.monotonic()
        try:
            mlflow.MlflowClient().log_artifact(self._run_id, str(scratch / name), _FOLDER)
            before, self._copied = self._copied, name
            if before:
                self._repository.delete_artifacts(f"{_FOLDER}/{before}")
        except Exception:
            # A server that is away, or that removes nothing: the next copy tries again.
            pass
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            self._ended = time.monotonic()
            self._took = self._ended - started
