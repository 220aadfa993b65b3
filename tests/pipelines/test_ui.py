"""MLflow's pages: the address that leads to the runs, in one process, for this machine alone."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import psutil

from pipelines import ui
from pipelines.__main__ import main
from serving.engines.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


@contextlib.contextmanager
def command(port: int) -> Iterator[subprocess.Popen[str]]:
    """Runs the command until the end of the block, and sees to it that it ends well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "ui", "--port", str(port)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors


def answer(port: int, path: str, host: str = "localhost") -> tuple[int, str]:
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    ) as connection:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_one_process_shows_the_runs_and_their_files(store, workplace):
    experiment = mlflow.get_experiment_by_name("image_classification")
    assert experiment
    with mlflow.start_run(experiment_id=experiment.experiment_id) as run:
        mlflow.log_text("kept", "note.txt")
    port = free_port()
    with command(port) as process:
        assert process.stdout
        assert process.stdout.readline() == (
            f"http://localhost:{port}/#/experiments/{experiment.experiment_id}/runs"
            "?workflowType=machine_learning\n"
        )
        status, page = answer(port, "/")
        assert status == 200
        assert "<title>MLflow" in page
        status, found = answer(port, f"/ajax-api/2.0/mlflow/runs/get?run_id={run.info.run_id}")
        assert status == 200
        assert json.loads(found)["run"]["info"]["run_id"] == run.info.run_id
        file = f"/get-artifact?path=note.txt&run_uuid={run.info.run_id}"
        assert answer(port, file) == (200, "kept")
        assert answer(port, "/ajax-api/2.0/mlflow/runs/get", "elsewhere.example")[0] == 403
        assert psutil.Process(process.pid).children() == []


def test_a_store_without_runs_shows_its_experiments(store):
    assert ui.newest_page() == "/#/experiments"


def test_a_port_in_use_is_a_users_error(store, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["ui", "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"error: port {port} cannot be bound: it is in use or not allowed; choose another one "
        "with --port\n"
    )


def test_a_tracking_server_has_pages_of_its_own(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert main(["ui"]) == 0
    shown = capsys.readouterr().out
    assert shown == "the tracking server shows its own UI: http://localhost:5000\n"
