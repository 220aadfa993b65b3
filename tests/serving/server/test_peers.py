"""Two workers of a server, in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from serving.server import grpc_front
from serving.server.core import Core
from serving.server.grpc_front import Listeners
from serving.server.peers import Peers
from serving.server.versions import Model
from tests.serving.fronts import eventually
from tests.serving.saved_models import managed


@contextmanager
def workers(model: Model, folder: Path, threads: int = 2) -> Iterator[list[tuple[Core, Any]]]:
    """Yields, for each of two workers, what answers and a stub to ask it."""
    with contextlib.ExitStack() as stack:
        pairs = []
        for index in range(2):
            manager = stack.enter_context(managed(model))._manager
            peers = Peers(folder, index, 2)
            core = Core(manager, peers)
            listeners = Listeners(0, "", peers.socket_path())
            server, port = grpc_front.serve(core, listeners, threads=threads)
            stack.callback(_stop, server)
            channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
            pairs.append((core, model_service_pb2_grpc.ModelServiceStub(channel)))
        yield pairs


def _stop(server: grpc.Server) -> None:
    server.stop(0).wait()


def configuration(*models: tuple[str, Path]) -> model_management_pb2.ReloadConfigRequest:
    request = model_management_pb2.ReloadConfigRequest()
    for name, base_path in models:
        request.config.model_config_list.config.add(
            name=name, base_path=str(base_path), model_platform="tensorflow"
        )
    return request


def names(core: Core) -> list[str]:
    return [model.name for model in core._manager.models()]


@pytest.mark.parametrize("options", [{}, {"timeout": 60}], ids=["no deadline", "a deadline"])
def test_a_reload_reaches_all_workers_and_is_kept_for_later_ones(repository, tmp_path, options):
    half = repository / "half_plus_two"
    with workers(Model("m", half), tmp_path) as [(first, stub), (second, _)]:
        stub.HandleReloadConfigRequest(configuration(("a", half), ("b", half)), **options)
        assert names(first) == names(second) == ["a", "b"]
        kept = Peers(tmp_path, 1, 2).config()
        assert kept is not None
        assert [model.name for model in kept.model_config_list.config] == ["a", "b"]


def test_a_reload_that_nobody_waits_for_ends_in_all_workers(repository, tmp_path):
    """Their only threads are free again."""
    half = repository / "half_plus_two"
    with workers(Model("m", half), tmp_path, threads=1) as pairs:
        [(first, stub), (second, other_stub)] = pairs
        waiting = stub.HandleReloadConfigRequest.future(configuration(("no", tmp_path / "no")))
        eventually(lambda: names(first) == ["no"])
        waiting.cancel()
        for asked in (stub, other_stub):
            asked.HandleReloadConfigRequest(configuration(("m", half)), timeout=60)
        assert names(first) == names(second) == ["m"]
