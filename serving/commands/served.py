"""What a server does not serve: the errors of requests, said in terms of the commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from serving.client import Client
from serving.errors import ServingError
from serving.rollout import servers
from serving.rollout.models_config import ALIASES, CANARY

_ABSENT = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)


@contextmanager
def explained(
    client: Client, address: str, model: str, *, version: int | None = None, label: str = ""
) -> Iterator[None]:
    """Turns the error that a model, version or label is not served into what can be done about it.

    Args:
        client: Connection to the server.
        address: Its address.
        model: Served name.
        version: The version that is asked for.
        label: The label that is asked for.

    Raises:
        ServingError: As its body, with the better message.
    """
    try:
        yield
    except ServingError as error:
        said = ""
        if error.code in _ABSENT:
            said = _what_is_missing(client, address, model, version, label)
        if not said:
            raise
        raise ServingError(error.code, said) from error


def _what_is_missing(
    client: Client, address: str, model: str, version: int | None, label: str
) -> str:
    """Returns a sentence; empty if what is asked for is served, or the server does not say."""
    deploy = f"python -m serving deploy {model}"
    try:
        states = {entry.version: entry for entry in client.status(model)}
    except ServingError as error:
        if error.code is not grpc.StatusCode.NOT_FOUND:
            return ""
        return f"{model} is not served at {address}; deploy it: {deploy}"
    available = sorted(n for n, entry in states.items() if entry.state == "AVAILABLE")
    if not available:
        known = ", ".join(f"version {n} is {states[n].state}" for n in sorted(states))
        return f"no version of {model} is available at {address}: {known}; deploy one: {deploy}"
    if version is not None and version not in available:
        return (
            f"{model} version {version} is not served at {address}, only "
            f"{', '.join(map(str, available))}; deploy it: {deploy} --version {version}"
        )
    try:
        if not label or servers.labels(client, model, {label}):
            return ""
        labels = servers.labels(client, model, ALIASES)
    except ServingError:
        return ""
    there = ", ".join(f"{name} {number}" for name, number in labels.items())
    do = (
        f"deploy one: {deploy} --version N"
        if label == CANARY
        else (f"python -m serving promote {model} --label {label} --version N moves it")
    )
    return f"{model} has no {label} at {address}{there and f', only {there}'}; {do}"
