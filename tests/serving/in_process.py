"""gRPC and REST over one set of models, with or without batching, in this process."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from serving.server import grpc_services
from serving.server.core import Core
from serving.server.grpc_services import Listeners
from serving.server.lifecycle.loader import Loader
from serving.server.lifecycle.manager import Manager
from serving.server.lifecycle.version_policy import Model
from serving.server.rest.app import serve as serve_rest
from serving.server.servables.sandbox import Sandbox


@dataclass(frozen=True)
class InProcess:
    """Where models are served, and what answers for them."""

    core: Core
    grpc: str
    rest_port: int


@contextmanager
def serving_both(
    *models: Model,
    batching: Any = None,
    threads: int = 8,
    timeout_seconds: float = 60.0,
    poll_seconds: float = 0.05,
) -> Iterator[InProcess]:
    sandbox = Sandbox()
    manager = Manager(
        models, Loader(sandbox, batching=batching), poll_seconds=poll_seconds, load_retries=0
    )
    try:
        manager.start()
        core = Core(manager)
        server, port = grpc_services.serve(core, Listeners(), threads=threads)
        rest = serve_rest(core, 0, threads=threads, timeout_seconds=timeout_seconds)
        try:
            yield InProcess(core, f"127.0.0.1:{port}", rest.port)
        finally:
            rest.stop(5)
            server.stop(0).wait()
    finally:
        manager.stop()
        sandbox.close()


class Http:
    """A connection that is used again and again."""

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


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
