"""Two workers of a server, in this process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from serving.errors import ServingError
from serving.server import grpc_services
from serving.server.core import Core
from serving.server.grpc_services import Listeners
from serving.server.lifecycle.version_policy import Model
from serving.server.peers import Peers
from tests.serving.in_process import managed
from tests.serving.waiting import eventually


@contextmanager
def workers(
    model: Model, folder: Path, threads: int = 2, count: int = 2
) -> Iterator[list[tuple[Core, Any]]]:
    """Yields, for each worker, what answers and a stub to ask it."""
    with contextlib.ExitStack() as stack:
        pairs = []
        for index in range(count):
            manager = stack.enter_context(managed(model))._manager
            peers = Peers(folder, index, count)
            core = Core(manager, peers)
            listeners = Listeners(0, "", peers.socket_path())
            server, port = grpc_services.serve(core, listeners, threads=threads)
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


def refusal(ask: Any, request: Any, timeout: float) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        ask(request, timeout=timeout)
    return raised.value.code()


@pytest.mark.parametrize(
    ("version", "timeout", "code"),
    [
        ("1", 60, grpc.StatusCode.UNKNOWN),
        ("none", 0.5, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
    ids=["damaged", "missing"],
)
def test_a_reload_with_a_model_that_does_not_come_changes_all_workers(
    repository, tmp_path, version, timeout, code
):
    half, bad = repository / "half_plus_two", tmp_path / "bad"
    (bad / version).mkdir(parents=True)
    asked = configuration(("bad", bad), ("b", half))
    with workers(Model("m", half), tmp_path, count=3) as pairs:
        assert refusal(pairs[1][1].HandleReloadConfigRequest, asked, timeout) is code
        eventually(lambda: all(names(core) == ["bad", "b"] for core, _ in pairs))
    kept = Peers(tmp_path, 0, 3).config()
    assert kept == asked.config


def test_a_reload_that_is_not_allowed_changes_no_worker(repository, tmp_path):
    half = repository / "half_plus_two"
    asked = configuration(("m", half))
    asked.config.model_config_list.config[0].version_labels["stable"] = 9
    with workers(Model("m", half), tmp_path) as pairs:
        code = refusal(pairs[0][1].HandleReloadConfigRequest, asked, 60)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert names(pairs[1][0]) == ["m"]
    assert Peers(tmp_path, 0, 2).config() is None


def test_all_others_are_waited_for_when_one_of_them_refuses(repository, tmp_path, monkeypatch):
    half = repository / "half_plus_two"
    with workers(Model("m", half), tmp_path, count=3) as pairs:
        ended = []
        refusing, slow = pairs[1][0], pairs[2][0]

        def refuse(*_: Any, **__: Any) -> None:
            raise ServingError(grpc.StatusCode.INTERNAL, "refused")

        def load_slowly(*arguments: Any, **options: Any) -> None:
            time.sleep(1)
            ended.append(arguments)

        monkeypatch.setattr(refusing, "configure", refuse)
        monkeypatch.setattr(slow, "configure", load_slowly)
        ask = pairs[0][1].HandleReloadConfigRequest
        assert refusal(ask, configuration(("m", half)), 60) is grpc.StatusCode.INTERNAL
        assert len(ended) == 1
