"""The status of a model: in the registry, the repository, `models.config` and on the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.table import Table

from serving.client import Client
from serving.client.calls import VersionStatus
from serving.client.traffic import STABLE
from serving.errors import ServingError
from serving.rollout import models_config, servers
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import ALIASES, CANARY, Entry

if TYPE_CHECKING:
    from serving.rollout.model_registry import Registered


@dataclass(frozen=True)
class ServerStatus:
    """A model's status on a server: the state of each version, and the version of each label."""

    states: Mapping[int, VersionStatus]
    labels: Mapping[str, int]


@dataclass(frozen=True)
class ModelStatus:
    """A model's status in all places.

    Attributes:
        name: Served and registered name.
        registered: Registered versions by number; None where the registry cannot be read.
        faults: By version in the repository, what is wrong with its files; empty if nothing is.
        unverified: Versions that were deployed without golden requests.
        entry: What `models.config` lists.
        server: What is served; None where no server answers.
    """

    name: str
    registered: Mapping[int, Registered] | None
    faults: Mapping[int, str]
    unverified: frozenset[int]
    entry: Entry
    server: ServerStatus | None

    @property
    def refused(self) -> frozenset[int]:
        """Versions that the gate of their run refused; they get no alias and are not blessed."""
        return frozenset(n for n, found in (self.registered or {}).items() if found.refused)

    @property
    def versions(self) -> list[int]:
        """All versions that any place knows."""
        known = {*(self.registered or ()), *self.faults, *self.entry.versions}
        return sorted(known | set(self.server.states if self.server else ()))


def read_status(
    files: Repository, name: str, registered: Iterable[Registered] | None, client: Client
) -> ModelStatus:
    """Returns the status of a model; the digests of all its files are computed again.

    Raises:
        UserError: `models.config` cannot be read.
    """
    entry = models_config.entry(files.config(), name)
    there = files.versions(name)
    return ModelStatus(
        name,
        None if registered is None else {found.version: found for found in registered},
        {number: files.fault(name, number) for number in there},
        frozenset(n for n in there if not (files.record(name, n) or {}).get("verified")),
        entry,
        _server(client, name, {*entry.labels, *ALIASES}),
    )


def on_server(status: ModelStatus, client: Client) -> ModelStatus:
    """Returns the status with another server's; the other places are not read again."""
    labels = {*status.entry.labels, *ALIASES}
    return replace(status, server=_server(client, status.name, labels))


def _server(client: Client, name: str, labels: set[str]) -> ServerStatus | None:
    try:
        states = {entry.version: entry for entry in client.status(name)}
    except ServingError as error:
        return ServerStatus({}, {}) if error.code.name == "NOT_FOUND" else None
    try:
        return ServerStatus(states, servers.labels(client, name, labels))
    except ServingError:
        return None


def differences(status: ModelStatus, address: str) -> list[str]:
    """Returns a sentence for each difference between two places, with the command that fixes it.

    A version in the repository that is not served is no difference, since rolling back needs it;
    neither is a challenger that is no canary, nor a champion that is a canary first.
    """
    return [*_of_files(status), *_of_registry(status), *_of_server(status, address)]


def _of_files(status: ModelStatus) -> Iterable[str]:
    name = status.name
    for number in sorted(status.entry.versions - set(status.faults)):
        force = " --force" if number in status.refused else ""
        yield (
            f"{name} version {number} is to be served, but its folder is missing: "
            f"python -m serving deploy {name} --version {number}{force}"
        )
    stable = status.entry.labels.get(STABLE)
    for number in sorted(status.entry.versions - set(status.entry.labels.values())):
        fix = f"deploy {name}" if stable is None else f"promote {name} --version {stable}"
        yield f"{name} version {number} is to be served without a label: python -m serving {fix}"
    for number, fault in status.faults.items():
        if fault:
            yield (
                f"{name} version {number} is damaged, as {fault}: "
                f"python -m serving undeploy {name} --version {number} --force"
            )


def _of_registry(status: ModelStatus) -> Iterable[str]:
    name, labels = status.name, status.entry.labels
    if status.registered is None:  # Why it cannot be read is told once for all models.
        return
    aliases = {alias: v.version for v in status.registered.values() for alias in v.aliases}
    champion, stable = aliases.get(ALIASES[STABLE]), labels.get(STABLE)
    challenger, canary = aliases.get(ALIASES[CANARY]), labels.get(CANARY)
    if champion is not None and champion not in (stable, canary):
        is_stable = f"version {stable} is stable" if stable else "no version is stable"
        follow = (
            f" to serve it, or python -m serving promote {name} --version {stable} to let the "
            "registry follow"
            if stable and stable not in status.refused
            else ""
        )
        yield (
            f"the champion of {name} is version {champion}, but {is_stable}: "
            f"python -m serving deploy {name}{follow}"
        )
    elif champion is None and stable is not None and stable not in status.refused:
        yield (
            f"version {stable} of {name} is stable, but the registry has no champion: "
            f"python -m serving promote {name} --version {stable}"
        )
    if canary is not None and canary not in {challenger, champion, *status.refused}:
        is_challenger = f"version {challenger}" if challenger else "none"
        yield (
            f"the canary of {name} is version {canary}, but the registry's challenger is "
            f"{is_challenger}: python -m serving promote {name} --label canary --version {canary}"
        )
    for label, number in sorted(labels.items()):
        registered = status.registered.get(number)
        if registered is None:
            yield (
                f"version {number} of {name} is {label}, but it is not registered: "
                f"python -m serving undeploy {name} --version {number} --force"
            )
        elif (
            number not in {*status.unverified, *status.refused}
            and registered.tags.get("blessed") != "true"
        ):
            yield (
                f"version {number} of {name} is verified, but the registry has no tag blessed: "
                f"python -m serving deploy {name} --version {number} --label {label}"
            )


def _of_server(status: ModelStatus, address: str) -> Iterable[str]:
    name, entry, server = status.name, status.entry, status.server
    if server is None:
        yield f"no model server answers at {address}: python -m serving up"
        return
    for label, number in sorted(entry.labels.items()):
        answers = server.labels.get(label)
        if answers != number:
            who = f"version {answers}" if answers else "no version"
            yield (
                f"{label} of {name} is version {number}, but {who} answers to it: python -m "
                f"serving promote {name} --label {label} --version {number} --address {address}"
            )
    for label in sorted(set(server.labels) - set(entry.labels)):
        yield (
            f"version {server.labels[label]} of {name} answers to {label}, which models.config "
            f"does not have: {_reload_command(status, address)}"
        )
    available = {n for n, state in server.states.items() if state.state == "AVAILABLE"}
    reload = _reload_command(status, address)
    for number in sorted(entry.versions - available - set(entry.labels.values())):
        yield f"{name} version {number} is to be served and is not: {reload}"
    for number in sorted(available - entry.versions):
        yield f"{name} version {number} is served and should not be: {reload}"


def _reload_command(status: ModelStatus, address: str) -> str:
    """Returns the command that makes a server reload `models.config`."""
    name, stable = status.name, status.entry.labels.get(STABLE)
    if stable is None:
        return f"restart the server at {address}"
    return f"python -m serving promote {name} --version {stable} --address {address}"


def table(statuses: Iterable[ModelStatus]) -> Table:
    """Returns a row for each version of each model, and a column for each place."""
    result = Table("model", "version", "registry", "repository", "models.config", "server")
    for status in statuses:
        for number in status.versions:
            result.add_row(
                status.name,
                str(number),
                _registry_cell(status, number),
                _repository_cell(status, number),
                _config_cell(status.entry, number),
                _server_cell(status.server, number),
            )
    return result


def _registry_cell(status: ModelStatus, number: int) -> str:
    if status.registered is None:
        return "?"
    registered = status.registered.get(number)
    if registered is None:
        return "-"
    words = [
        *registered.aliases,
        *(["refused"] if registered.refused else []),
        *(["blessed"] if registered.tags.get("blessed") else []),
    ]
    return ", ".join(words) or "registered"


def _repository_cell(status: ModelStatus, number: int) -> str:
    if number not in status.faults:
        return "-"
    unverified = ", unverified" if number in status.unverified else ""
    return status.faults[number] or f"deployed{unverified}"


def _config_cell(entry: Entry, number: int) -> str:
    if number not in entry.versions:
        return "-"
    return ", ".join(sorted(k for k, n in entry.labels.items() if n == number)) or "served"


def _server_cell(server: ServerStatus | None, number: int) -> str:
    if server is None:
        return "?"
    if number not in server.states:
        return "-"
    labels = sorted(label for label, n in server.labels.items() if n == number)
    state = server.states[number]
    return ", ".join([state.state, *labels, *([state.error] if state.error else [])])
