"""The embedded server as an engine: `python -m serving.server` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import grpc

from serving.client import Client
from serving.errors import ServingError

_ROOT = Path(__file__).resolve().parent.parent


class Embedded:
    """Starts servers of this project."""

    name = "embedded"

    def start(
        self,
        repository: Path,
        *,
        config: Path | None,
        port: int,
        rest_port: int,
        log: Path,
        options: Sequence[str] = (),
    ) -> Process:
        command = [sys.executable, "-m", "serving.server", f"--port={port}"]
        command += [f"--rest_api_port={rest_port}", "--max_num_load_retries=0"]
        command += [f"--model_config_file={config}", *options]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=_ROOT)
        return Process(process, f"localhost:{port}")


class Process:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen, address: str) -> None:
        self._process, self.address = process, address

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(10.0)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self, timeout: float) -> None:
        """Waits until the server answers, which it does when its models are available."""
        deadline = time.monotonic() + timeout
        with Client(self.address, attempts=1, timeout=1.0) as client:
            while True:
                try:
                    client.status("any")
                    return
                except ServingError as error:
                    if error.code is grpc.StatusCode.NOT_FOUND:
                        return
                if not self.alive or time.monotonic() > deadline:
                    raise ServingError(
                        grpc.StatusCode.UNAVAILABLE, "the server ended or did not start in time"
                    )
                time.sleep(0.1)

    def stop(self, timeout: float) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
