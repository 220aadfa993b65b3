"""What a run logs, on its way to the tracking store; kept on disk while a server is away."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from pipelines.store_errors import is_temporary

# Seconds between two attempts, the first and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
# Metrics that MLflow takes in one request.
_BATCH = 1000
_OPERATION, _FILES = "operation.json", "files"


class Outbox:
    """Logs to an MLflow run.

    A store on this machine gets everything at once. For a server, each thing is first kept in a
    folder, from which a thread sends one after the other: training does not wait for the server,
    and while it is away nothing is lost, even if the process is killed. What is sent twice changes
    nothing, since metrics have the time at which they were logged.

    Attributes:
        run_id: The run.
        folder: Where things are kept until they are sent; None if they are sent at once.
    """

    def __init__(self, run_id: str, folder: Path | None = None) -> None:
        """Begins to send, first what an earlier process of the run has left in the folder."""
        self.run_id, self.folder = run_id, folder
        self._client = mlflow.MlflowClient()
        self._error: Exception | None = None
        self._wake, self._closed = threading.Event(), False
        self._thread: threading.Thread | None = None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            self._next = 1 + max(map(_number, _waiting(folder)), default=0)
            self._thread = threading.Thread(target=self._send_all, daemon=True, name="outbox")
            self._thread.start()

    def log(
        self,
        *,
        metrics: Mapping[str, float] | None = None,
        step: int = 0,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Logs metrics at a step, parameters and tags."""
        now = int(time.time() * 1000)
        self._put(
            {
                "metrics": [(key, float(x), now, step) for key, x in (metrics or {}).items()],
                "params": {key: str(value) for key, value in (params or {}).items()},
                "tags": {key: str(value) for key, value in (tags or {}).items()},
            }
        )

    def series(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Logs metrics of several steps at once."""
        now = int(time.time() * 1000)
        metrics = [
            (key, float(value), now, step)
            for step, of_step in values.items()
            for key, value in of_step.items()
        ]
        for start in range(0, len(metrics), _BATCH):
            self._put({"metrics": metrics[start : start + _BATCH], "params": {}, "tags": {}})

    def dataset(self, dataset: mlflow.data.dataset.Dataset, context: str) -> None:
        """Logs a data set as an input of the run."""
        self._put({"dataset": dataset.to_dict(), "context": context})

    def files(self, write: Callable[[Path], object], path: str | None = None) -> None:
        """Logs what a function writes into a folder, as artifacts below `path`."""
        self._put({"path": path}, write)

    def drain(self, seconds: float) -> bool:
        """Waits until everything is sent, at most this long; returns whether it is.

        Raises:
            MlflowException: The server has refused something.
        """
        self._wake.set()
        end = time.monotonic() + seconds
        while self.folder and _waiting(self.folder) and not self._error:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        self._raise()
        return True

    def close(self) -> None:
        """Sends no more; what waits stays in its folder, which is removed if it is empty."""
        self._closed = True
        self._wake.set()
        if self._thread:
            self._thread.join(timeout=5)
        if self.folder and self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _put(
        self, operation: Mapping[str, Any], write: Callable[[Path], object] | None = None
    ) -> None:
        self._raise()
        if not self.folder:
            with tempfile.TemporaryDirectory() as scratch:
                if write:
                    write(Path(scratch))
                _send(self._client, self.run_id, operation, Path(scratch))
            return
        partial = self.folder / f".{self._next:08d}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        (partial / _FILES).mkdir(parents=True)
        if write:
            write(partial / _FILES)
        (partial / _OPERATION).write_text(json.dumps(operation), encoding="utf-8")
        os.replace(partial, self.folder / f"{self._next:08d}")
        self._next += 1
        self._wake.set()

    def _raise(self) -> None:
        if self._error:
            error, self._error = self._error, None
            raise error

    def _send_all(self) -> None:
        """Sends what waits, in order, until the outbox is closed."""
        assert self.folder is not None
        pause = _FIRST_PAUSE
        while not self._closed:
            self._wake.clear()
            for entry in _waiting(self.folder):
                try:
                    operation = json.loads((entry / _OPERATION).read_text(encoding="utf-8"))
                    _send(self._client, self.run_id, operation, entry / _FILES)
                except Exception as error:
                    if is_temporary(error):
                        break
                    self._error = error  # The thread that logs raises it.
                shutil.rmtree(entry, ignore_errors=True)
                pause = _FIRST_PAUSE
                if self._closed:
                    return
            else:
                self._wake.wait()
                continue
            if not self._closed:
                time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _send(
    client: mlflow.MlflowClient, run_id: str, operation: Mapping[str, Any], files: Path
) -> None:
    if dataset := operation.get("dataset"):
        keys = ("name", "digest", "source_type", "source", "schema", "profile")
        entity = Dataset(**{key: dataset.get(key) for key in keys})
        tags = [InputTag("mlflow.data.context", operation["context"])]
        client.log_inputs(run_id, [DatasetInput(entity, tags)])
    elif "path" in operation:
        client.log_artifacts(run_id, str(files), operation["path"])
    else:
        client.log_batch(
            run_id,
            metrics=[Metric(*each) for each in operation["metrics"]],
            params=[Param(*each) for each in operation["params"].items()],
            tags=[RunTag(*each) for each in operation["tags"].items()],
        )


def _waiting(folder: Path) -> list[Path]:
    """Returns what waits to be sent, the oldest first."""
    return sorted(folder.glob("[0-9]*"))


def _number(entry: Path) -> int:
    return int(entry.name)
