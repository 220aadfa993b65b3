"""Promote, roll back, undeploy: labels move, versions come and go.

At every step on the way label `stable` has a version that answers. A rollout that fails leaves all
as it was; one that is killed leaves them in order. Running it again completes it or, where the
label of a promotion or a rollback has moved already, `promote NAME --version N`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from serving.client import TLS, Client
from serving.client.traffic import STABLE
from serving.errors import RolloutError, ServingError, UserError
from serving.rollout import model_repository, models_config
from serving.rollout import servers as telling
from serving.rollout.golden import Proof
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import CANARY, Entry

WAIT = 120.0


@dataclass(frozen=True)
class Rollout:
    """What a command did.

    Attributes:
        name: Served name.
        version: The version that it was about.
        path: Where that is.
        before: What was served of the model.
        after: What is served now.
        servers: How many running servers were told.
        label: The label that it moved.
        loaded: Versions that are served no more, and that a server had not unloaded in time.
        proof: How the candidate answered, where one was tried.
        unblessed: Why the registry does not take that the version has proven itself; empty if it
            does.
    """

    name: str
    version: int
    path: Path
    before: Entry
    after: Entry
    servers: int
    label: str = STABLE
    loaded: Sequence[int] = ()
    proof: Proof | None = None
    unblessed: str = ""


@dataclass(frozen=True)
class Place:
    """Where rollouts happen.

    Attributes:
        repository: The model repository.
        address: Servers to tell: HOST:PORT, several by commas; None for the usual one, if it serves
            this repository.
        wait: Seconds that a server may take for a version.
        tls: Encryption of the connections to them.
    """

    repository: Repository
    address: str | None = None
    wait: float = WAIT
    tls: TLS | None = None


def promote(
    place: Place,
    name: str,
    *,
    label: str = STABLE,
    version: int | None = None,
    source: str = CANARY,
) -> Rollout:
    """Moves a label to a version, by default `stable` to the canary, which then is none any more.

    If it stops when the label has moved, promoting that very version completes it.

    Args:
        place: The repository and its servers.
        name: Served name.
        label: The label to move.
        version: The version, which must be in the repository; None takes `source`'s.
        source: The label whose version it is.

    Raises:
        UserError: There is no such version, or none would be stable.
        ServingError: A running server refuses it.
    """
    files = place.repository
    with files.locked():
        config = files.config()
        before = models_config.entry(config, name)
        if version is None:
            if source not in before.labels:
                raise UserError(f"{name} has no {source} to promote{_labels(before)}")
            version = before.labels[source]
        if fault := files.fault(name, version):
            raise UserError(
                f"{name} version {version} cannot be served, as {fault}; deploy it: "
                f"python -m serving deploy {name} --version {version}"
            )
        kept = {k: n for k, n in before.labels.items() if k != source or n != version}
        after = Entry.of({**kept, label: version})
        if STABLE not in after.labels:
            raise UserError(
                f"{name} would have no stable version, and callers ask for that; promote or deploy "
                "one to stable first"
            )
        with telling.servers(place.address, models_config.names(config), place.tls) as servers:
            move(place, servers, name, after)
            left = unload(place, servers, name, before.versions - after.versions)
    path = files.version(name, version)
    return Rollout(name, version, path, before, after, len(servers), label, left)


def rollback(place: Place, name: str) -> Rollout:
    """Moves `stable` back to the version that had it before, and unloads the newer one.

    Rolling back again goes one further. If it stops when the label has moved, promoting the version
    that is stable now completes it.

    Raises:
        UserError: No version was stable before, or it is gone.
        ServingError: A running server refuses it.
    """
    files = place.repository
    with files.locked():
        config = files.config()
        before = models_config.entry(config, name)
        if STABLE not in before.labels:
            raise UserError(f"{name} has no stable version{_labels(before)}")
        current = before.labels[STABLE]
        history = model_repository.upto(files.history(name), current)
        if len(history) < 2:
            raise UserError(f"no version of {name} was stable before version {current}")
        version = history[-2]
        if fault := files.fault(name, version):
            raise UserError(
                f"version {version} of {name}, which was stable before, cannot be served, as "
                f"{fault}; deploy it: python -m serving deploy {name} --version {version}"
            )
        others = {k: n for k, n in before.labels.items() if n != current}
        after = Entry.of({**others, STABLE: version})
        with telling.servers(place.address, models_config.names(config), place.tls) as servers:
            move(place, servers, name, after, history[:-1])
            left = unload(place, servers, name, before.versions - after.versions)
    path = files.version(name, version)
    return Rollout(name, version, path, before, after, len(servers), loaded=left)


def undeploy(
    place: Place, name: str, *, version: int | None = None, force: bool = False
) -> list[int]:
    """Stops serving versions and deletes them; returns which.

    Args:
        place: The repository and its servers.
        name: Served name.
        version: The version; None for all.
        force: Whether versions with labels may go; their labels go with them.

    Raises:
        UserError: There is no such version, or it has a label.
        ServingError: A running server refuses or goes on using one, and nothing is deleted.
    """
    files = place.repository
    with files.locked():
        config = files.config()
        before = models_config.entry(config, name)
        there = set(files.versions(name)) | before.versions
        gone = there if version is None else there & {version}
        if not gone:
            what = "" if version is None else f" version {version}"
            raise UserError(f"there is no {name}{what} in {files.path}")
        labelled = {label: n for label, n in before.labels.items() if n in gone}
        if labelled and not force:
            label, number = next(iter(labelled.items()))
            raise UserError(
                f"{name} version {number} is {label}; move the label first, or give --force"
            )
        rest = {k: n for k, n in before.labels.items() if n not in gone}
        with telling.servers(place.address, models_config.names(config), place.tls) as servers:
            move(place, servers, name, Entry.of(rest))
            if left := unload(place, servers, name, gone):
                raise ServingError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"{name} version {left[0]} is served no more, but still loaded after "
                    f"{place.wait:g} seconds, so nothing is deleted; undeploy it again",
                )
        for number in gone & set(files.versions(name)):
            files.remove(name, number)
        if not files.versions(name):
            files.write_history(name, [])
    return sorted(gone)


def move(
    place: Place,
    servers: Sequence[Client],
    name: str,
    after: Entry,
    history: Sequence[int] | None = None,
) -> None:
    """Changes what is served of a model, step by step; back again if a server refuses.

    Without servers, only the files change: one that starts later reads their final state.
    """
    files = place.repository
    original = files.config()
    before = models_config.entry(original, name)
    base_path = str((files.path / name).absolute())
    old_history = files.history(name)
    current, new = before.labels.get(STABLE), after.labels.get(STABLE)
    # All are told, even if the file says it already: a rollout that was killed may not have come
    # to tell the server.
    way = models_config.steps(before, after) if servers else [after]
    try:
        if history is None:
            history = (
                model_repository.since(old_history, current, new)
                if new is not None
                else old_history
            )
            # First, so that no label moves without its history. Until it has moved, what was
            # stable is found in front of the last one.
            _write_history(files, name, history)
        for number, step in enumerate(way):
            config = models_config.changed(original, name, base_path, step)
            files.write_config(config)
            for server in servers:
                told = config
                if number == 0:  # Labels that the server has otherwise cannot move yet.
                    own = telling.labels(server, name, {*before.labels, *after.labels})
                    versions = step.versions.union(own.values())
                    told = models_config.changed(original, name, base_path, Entry(versions, own))
                telling.tell(server, told, name, step.versions, place.wait)
    except (ServingError, OSError, KeyboardInterrupt) as error:
        with contextlib.suppress(OSError):
            files.write_config(original)
            _write_history(files, name, old_history)
        for server in servers:
            with contextlib.suppress(ServingError):
                telling.tell(server, original, name, (), place.wait)
        if isinstance(error, OSError):
            raise RolloutError(f"{files.path} cannot be written: {error}") from error
        raise
    # One that gets shorter does so last: until the label has moved, its end is needed. What stands
    # behind the present version counts for nothing, so it may as well stay.
    with contextlib.suppress(OSError):
        _write_history(files, name, history)


def unload(place: Place, servers: Sequence[Client], name: str, gone: Collection[int]) -> list[int]:
    """Waits until servers have unloaded versions that are not to be served any more.

    Returns:
        Those that a server still has after `place.wait` seconds, for instance as requests are still
        under way. It unloads them when these have ended.
    """
    left = set()
    for server in servers:
        try:
            telling.wait_until_ended(server, name, gone, place.wait)
        except ServingError:
            states = {entry.version: entry.state for entry in telling.states(server, name)}
            left |= {number for number in gone if states.get(number, "END") != "END"}
    return sorted(left)


def _write_history(files: Repository, name: str, history: Sequence[int]) -> None:
    if list(history) != files.history(name):
        files.write_history(name, history)


def _labels(entry: Entry) -> str:
    if not entry.labels:
        return "; it is not served"
    return "; its labels are: " + ", ".join(f"{k} {n}" for k, n in sorted(entry.labels.items()))
