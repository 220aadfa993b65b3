"""A candidate is tried where nobody sees it: on an engine of its own, on free ports."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from serving.client import Client
from serving.client.calls import TensorInfo
from serving.errors import RolloutError, ServingError
from serving.rollout import golden, models_config
from serving.rollout.golden import Golden, Proof
from serving.rollout.models_config import Entry

# A candidate that fails once fails for good.
_OPTIONS = ("--max_num_load_retries=0",)


class Running(Protocol):
    """A model server that was started."""

    @property
    def address(self) -> str: ...
    def wait_until_ready(self, timeout: float) -> Any: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *_: object) -> Any: ...


class Engine(Protocol):
    """What starts model servers."""

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
    ) -> Running: ...


def prove(
    engine: Engine,
    repository: Path,
    name: str,
    version: int,
    goldens: Sequence[Golden],
    *,
    budget: float,
    wait: float,
) -> Proof:
    """Starts a server with one version, asks it the golden requests, and stops it.

    Args:
        engine: What starts the server.
        repository: A folder that holds NAME/VERSION and nothing else that is to be served.
        name: Served name.
        version: The version.
        goldens: What to ask; without any, it is enough that the version loads.
        budget: Milliseconds that a request may take.
        wait: Seconds until the version must be available.

    Raises:
        RolloutError: It does not become available, or does not answer as it must.
    """
    base_path = str((repository / name).absolute())
    # A label would need a flag at the start, and nobody asks for one here.
    alone = Entry(frozenset({version}))
    config = models_config.changed(models_config.parse("", ""), name, base_path, alone)
    file, log = repository / "models.config", repository / "server.log"
    file.write_text(models_config.text(config), encoding="utf-8")
    port, rest_port = free_ports()
    with ExitStack() as stack:
        try:
            running = stack.enter_context(
                engine.start(
                    repository,
                    config=file,
                    port=port,
                    rest_port=rest_port,
                    log=log,
                    options=_OPTIONS,
                )
            )
            running.wait_until_ready(wait)
            client = stack.enter_context(Client(running.address, timeout=wait, label=""))
            client.wait_until_ready(name, version=version, timeout=wait)
        except ServingError as error:
            raise RolloutError(
                f"{name} version {version} does not load on {engine.name}: {error.message}"
            ) from error
        proof = golden.replay(client, name, version, goldens, budget=budget)
        signatures = client.metadata(name, version=version)
    return replace(
        proof,
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


def free_ports() -> tuple[int, int]:
    """Returns two TCP ports that nothing listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
