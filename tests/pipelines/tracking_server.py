"""An MLflow server of the test's own, which can be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from serving.engines.ports import free_port

ADMIN, PASSWORD = "admin", "the-right-password"


class Server:
    """An MLflow server with a store of its own.

    Attributes:
        address: Its host and port.
        artifacts: Where it keeps artifacts.
        log: What it prints.
    """

    def __init__(self, folder: Path, database: str, *, users: str = "") -> None:
        """Takes a folder, the store's database and, for MLflow's basic auth, that of its users."""
        self._port, self._database, self._users = free_port(), database, users
        self.address, self._folder = f"127.0.0.1:{self._port}", folder
        self.artifacts, self.log = folder / "artifacts", folder / "mlflow.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://{self.address}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                    *("--host", "127.0.0.1", "--port", str(self._port)),
                    *("--backend-store-uri", self._database),
                    *("--artifacts-destination", str(self.artifacts)),
                    *(("--app-name", "basic-auth") if self._users else ()),
                ],
                env={
                    **os.environ,
                    # Its jobs are four more processes.
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                    **(self._authentication() if self._users else {}),
                },
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + 120
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if requests.get(f"{self.uri}/health", timeout=5).ok:
                    return
            except requests.RequestException:
                time.sleep(0.2)
        pytest.fail(f"the server does not start: {self.log.read_text()}")

    def kill(self) -> None:
        """Kills it with all of its processes."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _authentication(self) -> dict[str, str]:
        config = self._folder / "basic_auth.ini"
        config.write_text(
            "[mlflow]\ndefault_permission = EDIT\n"
            f"database_uri = {self._users}\nadmin_username = {ADMIN}\n"
            # Each request would compute the hash of the password again.
            "auth_cache_ttl_seconds = 60\n"
        )
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a secret of cookies",
        }
