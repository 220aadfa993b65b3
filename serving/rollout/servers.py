"""Running servers: connect, notify them of a configuration, wait for versions."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
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
    known = {entry.version: entry for entry in states(client, name)}
    pool = ThreadPoolExecutor(1)  # Its call ends with the connection at the latest.
    try:
        reload = pool.submit(client.reload, models_config.models(config), timeout=wait)
        # A server that tries again and again to load a new model answers after minutes; its status
        # knows the reason before.
        while not futures.wait([reload], timeout=_PAUSE).done:
            for entry in states(client, name):
                if entry != known.get(entry.version):  # Nothing left from an earlier attempt.
                    known.pop(entry.version, None)
                    if entry.version in versions:
                        _must_load(name, entry)
        reload.result()
    except ServingError as error:
        if error.code is not grpc.StatusCode.DEADLINE_EXCEEDED or not versions:
            raise
        known = {entry.version: entry for entry in states(client, name)}
        missing = (n for n in versions if n not in known or known[n].state != "AVAILABLE")
        raise _late(name, min(missing, default=max(versions)), known, "AVAILABLE", wait) from error
    finally:
        pool.shutdown(wait=False)
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
            if state == "AVAILABLE" and number in known:
                _must_load(name, known[number])
        if time.monotonic() > deadline:
            raise _late(name, missing[0], known, state, wait)
        time.sleep(_PAUSE)


def _must_load(name: str, entry: VersionStatus) -> None:
    # A version that was unloaded before is in state END, without an error, until it is loaded
    # again.
    if entry.error:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"the server cannot load {name} version {entry.version}: {entry.error}",
        )


def _late(
    name: str, number: int, known: Mapping[int, VersionStatus], state: str, wait: float
) -> ServingError:
    now = f"is {known[number].state}" if number in known else "is not known to the server"
    return ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        f"{name} version {number} did not become {state} in {wait:g} seconds: it {now}",
    )
