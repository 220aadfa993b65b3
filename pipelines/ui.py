"""The command `python -m pipelines ui`: MLflow's pages of the store, in one process.

`mlflow ui` starts a process that starts four workers, and eight more that run jobs, which nobody
asks for here: six times the memory, and six times as long until the first page.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import warnings
from collections.abc import Mapping, Sequence

import mlflow
import uvicorn  # Before MLflow's server, which looks whether it runs as one.
from mlflow.server import constants

from pipelines import saved_view, store, store_errors
from pipelines.cli import PROGRAM
from pipelines.errors import UserError
from pipelines.progress import console

_APP = "mlflow.server.fastapi_app:app"
_PORT = 5000


def main(arguments: Sequence[str], prog: str = PROGRAM) -> None:
    """Shows the store until it is interrupted.

    Raises:
        UserError: The store cannot be read, or the port is in use.
    """
    parser = argparse.ArgumentParser(
        prog=f"{prog} ui", description="Shows the store in MLflow's UI."
    )
    parser.add_argument("--port", type=int, default=_PORT, help=f"(default: {_PORT})")
    port = parser.parse_args(arguments).port
    uri = store.tracking_uri()
    if uri.startswith("http"):
        console.print(f"the tracking server shows its own UI: {store.shown(uri)}", soft_wrap=True)
        return
    with listening(port) as listener:
        with store_errors.explained(uri):
            store.open_store()
            page = newest_page()
        os.environ |= _environment(uri)
        console.print(f"http://localhost:{port}{page}", soft_wrap=True)
        console.print("Ctrl-C ends it")
        # On packages that MLflow itself uses.
        warnings.filterwarnings("ignore", module="mlflow.server")
        server = uvicorn.Server(uvicorn.Config(_APP, log_level="warning"))
        with contextlib.suppress(KeyboardInterrupt):
            server.run([listener])


def listening(port: int) -> socket.socket:
    """Returns a socket at which browsers wait until the application is loaded.

    Raises:
        UserError: The port is in use or not allowed.
    """
    try:
        return socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"port {port} cannot be bound: it is in use or not allowed; choose another one with "
            "--port"
        ) from error


def newest_page() -> str:
    """Returns the path of the page with the runs of the experiment that has the newest one."""
    runs = mlflow.search_runs(
        search_all_experiments=True,
        max_results=1,
        order_by=["attributes.start_time DESC"],
        output_format="list",
    )
    if not runs:
        return "/#/experiments"
    newest = mlflow.get_experiment(runs[0].info.experiment_id)
    return saved_view.page(newest.experiment_id, newest.tags)


def _environment(uri: str) -> Mapping[str, str]:
    """Returns the environment with which MLflow's application shows a store."""
    return {
        constants.BACKEND_STORE_URI_ENV_VAR: uri,
        # As for `mlflow ui`: what clients of this address log is kept in the current folder.
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: "mlartifacts",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
