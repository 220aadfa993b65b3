"""What `python -m serving status` says of a server as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
from google.protobuf import text_format

from serving import messages, server_record
from serving.client import Client
from serving.engines import MODELS_CONFIG
from serving.errors import ServingError, UserError


def address(repository: Path) -> str:
    """Returns where the repository's running server is, or the usual address."""
    running = server_record.read(repository)
    return running.address if running else "localhost:8500"


def server(repository: Path) -> str:
    """Returns a line about the server that runs for a repository."""
    running = server_record.read(repository)
    if running is None:
        return f"no server of {repository} was started by: python -m serving up"
    rest = f", REST http://{running.rest_address}" if running.rest_port else ""
    container = f", container {running.container}" if running.container else ""
    process = f", process {running.process.pid}" if running.process else ""
    return (
        f"engine {running.engine}, gRPC {running.address}{rest}{container}{process}, "
        f"log {running.log}"
    )


def models(repository: Path, client: Client) -> Iterator[str]:
    """Yields a line for each version that the server knows of the repository's models.

    Raises:
        UserError: The repository's `models.config` is none.
        ServingError: The server does not answer.
    """
    for name in names(repository / MODELS_CONFIG):
        try:
            for entry in client.status(name):
                yield f"{name} version {entry.version} {entry.state} {entry.error}".strip()
        except ServingError as error:
            if error.code is not grpc.StatusCode.NOT_FOUND:
                raise
            yield f"{name}: {error.message}"


def names(config: Path) -> list[str]:
    """Returns the names of the models that a configuration file serves.

    Raises:
        UserError: There is no such file, or it is no ModelServerConfig.
    """
    found = messages.CLASSES["ModelServerConfig"]()
    try:
        text_format.Parse(config.read_text(), found, allow_unknown_field=True)
    except OSError as error:
        raise UserError(f"cannot read {config}: {error.strerror}") from error
    except text_format.ParseError as error:
        raise UserError(f"{config} is no ModelServerConfig: {error}") from error
    return [model.name for model in found.model_config_list.config]
