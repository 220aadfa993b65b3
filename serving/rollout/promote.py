"""Promote, roll back, undeploy: move labels, unload and delete versions.

At every step, label `stable` has a version that answers. A rollout that fails leaves everything as
it was; one that is killed leaves a consistent state. Running it again completes it or, where the
label of a promotion or a rollback has moved already, `promote NAME --version N`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from serving.client.traffic import STABLE
from serving.errors import ServingError, UserError
from serving.rollout import model_repository, models_config
from serving.rollout.golden import Validation
from serving.rollout.models_config import CANARY, Entry
from serving.rollout.target import RolloutTarget


@dataclass(frozen=True)
class Rollout:
    """The result of a rollout.

    Attributes:
        name: Served name.
        version: The version that was deployed, promoted or rolled back to.
        path: Its folder.
        before: What was served of the model.
        after: What is served now.
        servers: Number of running servers that were notified.
        label: The label that moved.
        loaded: Versions that are no longer served, but that a server had not unloaded in time.
        validation: Results of the golden requests, where a candidate was tried.
        unblessed: Why the registry does not tag the version as blessed; empty if it does.
    """

    name: str
    version: int
    path: Path
    before: Entry
    after: Entry
    servers: int
    label: str = STABLE
    loaded: Sequence[int] = ()
    validation: Validation | None = None
    unblessed: str = ""


def promote(
    target: RolloutTarget,
    name: str,
    *,
    label: str = STABLE,
    version: int | None = None,
    source: str = CANARY,
) -> Rollout:
    """Moves a label to a version, by default `stable` to the canary, which then loses its label.

    If it is interrupted after the label has moved, promoting that version completes it.

    Args:
        target: The repository and its servers.
        name: Served name.
        label: The label to move.
        version: The version, which must be in the repository; None takes `source`'s.
        source: The label whose version is promoted.

    Raises:
        UserError: There is no such version, or no version would be stable.
        ServingError: A running server refuses it.
    """
    files = target.repository
    with files.locked():
        before = models_config.entry(files.config(), name)
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
        with target.connected() as live:
            live.apply(name, after)
            loaded = live.wait_until_unloaded(name, before.versions - after.versions)
    path = files.version(name, version)
    return Rollout(name, version, path, before, after, len(live.servers), label, loaded)


def rollback(target: RolloutTarget, name: str) -> Rollout:
    """Moves `stable` back to the version that had it before, and unloads the newer one.

    Rolling back again goes one version further. If it is interrupted after the label has moved,
    promoting the version that is stable now completes it.

    Raises:
        UserError: No version was stable before, or its files are missing.
        ServingError: A running server refuses it.
    """
    files = target.repository
    with files.locked():
        before = models_config.entry(files.config(), name)
        if STABLE not in before.labels:
            raise UserError(f"{name} has no stable version{_labels(before)}")
        current = before.labels[STABLE]
        history = model_repository.upto(files.history(name), current)
        if len(history) < 2:
            raise UserError(
                f"no version of {name} was stable before version {current}; undeploy ends a canary"
            )
        version = history[-2]
        if fault := files.fault(name, version):
            raise UserError(
                f"version {version} of {name}, which was stable before, cannot be served, as "
                f"{fault}; deploy it: python -m serving deploy {name} --version {version}"
            )
        others = {k: n for k, n in before.labels.items() if n != current}
        after = Entry.of({**others, STABLE: version})
        with target.connected() as live:
            live.apply(name, after, history[:-1])
            loaded = live.wait_until_unloaded(name, before.versions - after.versions)
    path = files.version(name, version)
    return Rollout(name, version, path, before, after, len(live.servers), loaded=loaded)


def undeploy(
    target: RolloutTarget, name: str, *, version: int | None = None, force: bool = False
) -> list[int]:
    """Stops serving versions and deletes them; returns their numbers.

    Args:
        target: The repository and its servers.
        name: Served name.
        version: The version; None for all.
        force: Whether versions with labels may be deleted, and their labels with them.

    Raises:
        UserError: There is no such version, or it has a label.
        ServingError: A running server refuses, or does not unload one in time; nothing is deleted.
    """
    files = target.repository
    with files.locked():
        before = models_config.entry(files.config(), name)
        known = set(files.versions(name)) | before.versions
        removed = known if version is None else known & {version}
        if not removed:
            what = "" if version is None else f" version {version}"
            raise UserError(f"there is no {name}{what} in {files.path}")
        labelled = {label: n for label, n in before.labels.items() if n in removed}
        if labelled and not force:
            held = ", ".join(f"version {n} is {label}" for label, n in sorted(labelled.items()))
            if len(labelled) == 1:
                advice = "move the label first, or give --force to stop serving it"
            else:
                advice = "give --version for one of them, or --force to stop serving all"
            raise UserError(f"{name} {held}; {advice}")
        rest = {k: n for k, n in before.labels.items() if n not in removed}
        with target.connected() as live:
            live.apply(name, Entry.of(rest))
            if loaded := live.wait_until_unloaded(name, removed):
                raise ServingError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"{name} version {loaded[0]} is no longer served, but still loaded after "
                    f"{target.wait:g} seconds, so nothing is deleted; undeploy it again",
                )
        for number in removed & set(files.versions(name)):
            files.remove(name, number)
        if not files.versions(name):
            files.write_history(name, [])
    return sorted(removed)


def _labels(entry: Entry) -> str:
    if not entry.labels:
        return "; it is not served"
    return "; its labels are: " + ", ".join(f"{k} {n}" for k, n in sorted(entry.labels.items()))
