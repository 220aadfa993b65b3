"""Running servers: connect, notify them of a configuration, wait for versions."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc

from serving.client import TLS, Client
from serving.client.calls import OUT_OF_REACH, VersionStatus
from serving.errors import ServingError
from serving.rollout import models_config

DEFAULT_ADDRESS = "localhost:8500"
_PAUSE = 0.05


@contextmanager
def connect(
    address: str | None, known: Sequence[str], tls: TLS | None = None, *, timeout: float = 60.0
) -> Iterator[list[Client]]:
    """Yields a connection to each server that is to be notified.

    A reload replaces everything that a server serves. Without an address, the server at the default
    address is therefore only notified if it serves a model of the repository already.

    Args:
        address: HOST:PORT, several by commas: each must answer. None for the default address.
        known: Models that the repository's configuration lists so far.
        tls: Encryption of the connections.
        timeout: Seconds that a call, or the wait for a version, may take.

    Raises:
        ServingError: UNAVAILABLE, nothing answers at an address that was given.
    """
    with ExitStack() as stack:
        found = []
        for one in (address or DEFAULT_ADDRESS).split(","):
            client = stack.enter_context(
                Client(one, timeout=timeout, attempts=1, label="", tls=tls)
            )
            if address is None:
                found += [client] if any(states(client, name) for name in known) else []
            else:
                _must_answer(client, one)
                found.append(client)
        yield found


def _must_answer(client: Client, address: str) -> None:
    try:
        client.status("any", timeout=5.0)
    except ServingError as error:
        if error.code in OUT_OF_REACH:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE, f"no model server answers at {address}"
            ) from error


def states(client: Client, name: str) -> list[VersionStatus]:
    """Returns the state of each version; none if the server has no such model or is down."""
    try:
        return client.status(name, timeout=5.0)
    except ServingError:
        return []


def labels(client: Client, name: str, candidates: Collection[str]) -> dict[str, int]:
    """Returns the version of each of the labels that the server knows."""
    found = {}
    for label in sorted(candidates):
        try:
            found[label] = client.version(name, label=label, timeout=5.0)
        except ServingError as error:
            if error.code not in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
                raise
    return found


def notify(client: Client, config: Any, name: str, versions: Collection[int], wait: float) -> None:
    """Reloads a server's configuration, and waits until versions of a model are available.

    Raises:
        ServingError: The server refuses it, or a version fails or takes longer than `wait` seconds.
    """
    client.reload(models_config.models(config), timeout=wait)
    _wait(client, name, versions, "AVAILABLE", wait)


def wait_until_ended(client: Client, name: str, versions: Collection[int], wait: float) -> None:
    """Waits until a server has unloaded versions of a model.

    Raises:
        ServingError: It takes longer than `wait` seconds.
    """
    _wait(client, name, versions, "END", wait)


def _wait(client: Client, name: str, versions: Collection[int], state: str, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        known = {entry.version: entry for entry in states(client, name)}
        missing = [
            number
            for number in sorted(versions)
            if (known[number].state if number in known else "END") != state
        ]
        if not missing:
            return
        for number in missing:
            # A version that was unloaded before is in state END, without an error, until it is
            # loaded again.
            if state == "AVAILABLE" and number in known and known[number].error:
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"the server cannot load {name} version {number}: {known[number].error}",
                )
        if time.monotonic() > deadline:
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"{name} version {missing[0]} did not become {state} in {wait:g} seconds",
            )
        time.sleep(_PAUSE)
