"""The trial of a candidate: a server process of its own, on free ports, with golden requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from serving.client import Client
from serving.client.calls import TensorInfo
from serving.engines.ports import free_ports
from serving.errors import RolloutError, ServingError
from serving.rollout import golden, models_config
from serving.rollout.golden import Golden, Validation
from serving.rollout.models_config import Entry

# A candidate that fails once fails for good.
_OPTIONS = ("--max_num_load_retries=0",)


class Server(Protocol):
    """A model server that was started."""

    @property
    def address(self) -> str: ...
    def wait_until_ready(self, timeout: float) -> Any: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *_: object) -> Any: ...


class Engine(Protocol):
    """Starts model servers."""

    @property
    def name(self) -> str: ...
    def start(
        self,
        repository: Path,
        *,
        config: Path | None,
        port: int,
        rest_port: int,
        log: Path,
        options: Sequence[str] = (),
    ) -> Server: ...


def validate(
    engine: Engine,
    repository: Path,
    name: str,
    version: int,
    goldens: Sequence[Golden],
    *,
    budget: float,
    wait: float,
) -> Validation:
    """Starts a server with one version, sends it the golden requests, and stops it.

    Args:
        engine: Starts the server.
        repository: A folder that holds NAME/VERSION and nothing else that is to be served.
        name: Served name.
        version: The version.
        goldens: The golden requests; without any, it is enough that the version loads.
        budget: Milliseconds that a request may take.
        wait: Seconds until the version must be available.

    Raises:
        RolloutError: It does not become available, or does not pass a golden request.
    """
    base_path = str((repository / name).absolute())
    # Without labels, which are not needed here and would need a flag at the start.
    alone = Entry(frozenset({version}))
    config = models_config.changed(models_config.parse("", ""), name, base_path, alone)
    file, log = repository / "models.config", repository / "server.log"
    file.write_text(models_config.text(config), encoding="utf-8")
    port, rest_port = free_ports(2)
    with ExitStack() as stack:
        try:
            server = stack.enter_context(
                engine.start(
                    repository,
                    config=file,
                    port=port,
                    rest_port=rest_port,
                    log=log,
                    options=_OPTIONS,
                )
            )
            server.wait_until_ready(wait)
            client = stack.enter_context(Client(server.address, timeout=wait, label=""))
            client.wait_until_ready(name, version=version, timeout=wait)
        except ServingError as error:
            raise RolloutError(
                f"{name} version {version} does not load on {engine.name}: {error.message}"
            ) from error
        result = golden.replay(client, name, version, goldens, budget=budget)
        signatures = client.metadata(name, version=version)
    return replace(
        result,
        signatures={
            key: {"inputs": _types(found.inputs), "outputs": _types(found.outputs)}
            for key, found in signatures.items()
            if not key.startswith("__")
        },
    )


def _types(infos: Mapping[str, TensorInfo]) -> dict[str, str]:
    return {
        name: info.dtype + ("" if info.shape is None else f" {list(info.shape)}")
        for name, info in infos.items()
    }
