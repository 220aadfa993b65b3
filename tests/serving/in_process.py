"""Model servers in this process: gRPC, REST or both over one set of models."""

from __future__ import annotations

import http.client
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.server.core import Core
from serving.server.grpc_services import Listeners
from serving.server.grpc_services import serve as serve_grpc
from serving.server.lifecycle.loader import Loader
from serving.server.lifecycle.manager import Manager
from serving.server.lifecycle.version_policy import Model
from serving.server.rest.app import serve as serve_rest
from serving.server.servables.sandbox import Sandbox
from serving.server.suspects import Suspects
from serving.server.zygote import Zygote


@dataclass(frozen=True)
class InProcess:
    """A server of both transports: its core, its gRPC address, its REST port."""

    core: Core
    grpc: str
    rest_port: int


@contextmanager
def managed(
    *models: Model,
    batching: Any = None,
    poll_seconds: float = 0.05,
    load_retries: int = 0,
    **options: Any,
) -> Iterator[Core]:
    """Loads models as the server does; `options` are the manager's."""
    zygote = Zygote()
    sandbox = Sandbox(zygote)
    folder = tempfile.TemporaryDirectory()
    loader = Loader(sandbox, Suspects(Path(folder.name), 0), batching=batching)
    options |= {"poll_seconds": poll_seconds, "load_retries": load_retries}
    manager = Manager(models, loader, **options)
    try:
        manager.start()
        yield Core(manager)
    finally:
        manager.stop()
        sandbox.close()
        zygote.close()
        folder.cleanup()


@contextmanager
def _grpc(core: Core, threads: int, port: int = 0) -> Iterator[str]:
    server, port = serve_grpc(core, Listeners(port), threads=threads)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        assert server.stop(0).wait(60), "gRPC's server does not end"


@contextmanager
def _rest(core: Core, threads: int, **options: Any) -> Iterator[int]:
    server = serve_rest(core, 0, threads=threads, **options)
    try:
        yield server.port
    finally:
        server.stop(0)


@contextmanager
def serving(
    *models: Model, port: int = 0, threads: int = 8, poll_seconds: float = 0.05, **options: Any
) -> Iterator[str]:
    """Serves models over gRPC and yields the address; `options` are the manager's."""
    with (
        managed(*models, poll_seconds=poll_seconds, **options) as core,
        _grpc(core, threads, port) as address,
    ):
        yield address


@contextmanager
def serving_rest(*models: Model, threads: int = 8, **options: Any) -> Iterator[str]:
    """Serves models over HTTP and yields the address; `options` are the REST server's."""
    with managed(*models) as core, _rest(core, threads, **options) as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def serving_both(
    *models: Model,
    batching: Any = None,
    threads: int = 8,
    timeout_seconds: float = 60.0,
    poll_seconds: float = 0.05,
) -> Iterator[InProcess]:
    """Serves models over both transports."""
    with (
        managed(*models, batching=batching, poll_seconds=poll_seconds) as core,
        _grpc(core, threads) as address,
        _rest(core, threads, timeout_seconds=timeout_seconds) as rest_port,
    ):
        yield InProcess(core, address, rest_port)


class Http:
    """A connection for several requests."""

    def __init__(self, port: int, timeout: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def send(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def predict(self, model: str, **request: Any) -> tuple[int, Any]:
        status, body = self.send(
            "POST", f"/v1/models/{model}:predict", json.dumps(request).encode()
        )
        return status, json.loads(body)

    def close(self) -> None:
        self._connection.close()
