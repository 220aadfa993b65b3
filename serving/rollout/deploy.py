"""Deploy a registered version: download, validate on a server of its own, publish, move a label."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.client.traffic import STABLE
from serving.errors import RolloutError, UserError
from serving.rollout import admission, golden, model_repository, models_config, trial
from serving.rollout.golden import Golden, Validation
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import ALIASES, CANARY, Entry
from serving.rollout.promote import Rollout
from serving.rollout.target import RolloutTarget
from serving.rollout.trial import Engine

if TYPE_CHECKING:
    from serving.rollout.model_registry import Registered, Registry

LATENCY_BUDGET = 5000.0


def deploy(
    target: RolloutTarget,
    registry: Registry,
    name: str,
    engine: Callable[[], Engine],
    *,
    alias: str = "champion",
    version: int | None = None,
    label: str | None = None,
    budget: float = LATENCY_BUDGET,
    unverified: bool = False,
    force: bool = False,
    allowed_ops: Collection[str] = (),
) -> Rollout:
    """Serves a registered version under a label.

    Without a chosen label, a version is a canary first, also the champion, unless none is stable.

    Args:
        target: The repository and its servers.
        registry: The registry that the version comes from.
        name: Registered name, which is also the served name.
        engine: Chooses the engine that the candidate is tried on.
        alias: Alias of the version to deploy, unless `version` is given.
        version: Registered version.
        label: Label that the version gets; None for the one that it has earned.
        budget: Milliseconds that the median of a golden request may take.
        unverified: Whether a version without golden requests may be deployed.
        force: Whether a version may be deployed that the gate of its run refused.
        allowed_ops: Unsafe ops that the version may have.

    Raises:
        UserError: There is no such version, or it may not be deployed with these options.
        RolloutError: Its files are not those that were registered, or the candidate does not pass
            its golden requests.
        ServingError: A running server refuses it.
    """
    found = registry.find(name, alias=alias, version=version)
    number = found.version
    if found.refused and not force:
        raise UserError(
            f"the gate refused {name} version {number}, as it does not beat the baseline; "
            "--force deploys it all the same"
        )
    files = target.repository
    with files.locked():
        before = models_config.entry(files.config(), name)
        label = label or _earned(found, before)
        if label != STABLE and STABLE not in before.labels:
            raise UserError(
                f"{name} has no stable version yet, and callers ask for that, so version {number} "
                f"cannot be its {label}; deploy the champion first: python -m serving deploy "
                f"{name}, or make this one stable: --now"
            )
        with target.connected() as live:
            fresh = not files.version(name, number).exists()
            validation = None
            if fresh:
                try:
                    with files.candidate() as hidden:
                        candidate = _download(registry, found, hidden, allowed_ops)
                        validation = _admit(
                            files, found, candidate, engine, budget, unverified, target.wait
                        )
                except OSError as error:
                    raise RolloutError(
                        f"{name} version {number} cannot be deployed: {error}"
                    ) from error
            else:
                _check(files, name, number, unverified)
            kept = {k: n for k, n in before.labels.items() if k != CANARY or n != number}
            after = Entry.of({**kept, label: number})
            live.apply(name, after, fresh=number if fresh else None)
            loaded = live.wait_until_unloaded(name, before.versions - after.versions)
        unblessed = ""
        try:
            _bless(files, registry, found)
        except UserError as error:  # The version is served all the same.
            unblessed = str(error)
    return Rollout(
        name,
        number,
        files.version(name, number),
        before,
        after,
        len(live.servers),
        label,
        loaded,
        validation,
        unblessed,
    )


def _earned(found: Registered, before: Entry) -> str:
    """Returns the label of a version for which none was chosen."""
    stable = before.labels.get(STABLE)
    if stable is None:
        return CANARY if ALIASES[CANARY] in found.aliases and not found.is_champion else STABLE
    return STABLE if stable == found.version else CANARY


def _download(
    registry: Registry, found: Registered, hidden: Path, allowed_ops: Collection[str]
) -> Path:
    """Downloads a version into a hidden folder, and returns where it is in a repository there."""
    name, number = found.name, found.version
    candidate = hidden / "repository" / name / str(number)
    candidate.parent.mkdir(parents=True)
    (hidden / "download").mkdir()
    registry.download(found, hidden / "download").rename(candidate)
    admission.admit(
        candidate,
        f"{name} version {number}",
        digest=found.digest,
        allowed_ops=allowed_ops,
    )
    return candidate


def _admit(
    files: Repository,
    found: Registered,
    candidate: Path,
    engine: Callable[[], Engine],
    budget: float,
    unverified: bool,
    wait: float,
) -> Validation:
    """Validates a version in a repository of its own, and publishes it."""
    name, number = found.name, found.version
    goldens = golden.read(candidate)
    if not goldens and not unverified:
        raise UserError(
            f"{name} version {number} carries no golden requests, so nothing shows that it answers "
            "as it did at its export; train it again, or give --unverified"
        )
    chosen = engine()
    checksum = model_repository.digest(candidate)
    validation = trial.validate(
        chosen, candidate.parent.parent, name, number, goldens, budget=budget, wait=wait
    )
    if model_repository.digest(candidate) != checksum:
        raise RolloutError(f"the files of {name} version {number} changed while it was tried")
    record = _record(found, checksum, goldens, chosen.name, validation, budget)
    model_repository.write_record(candidate, record)
    files.publish(candidate, name, number)
    return validation


def _record(
    found: Registered,
    checksum: str,
    goldens: Sequence[Golden],
    engine: str,
    validation: Validation,
    budget: float,
) -> dict[str, Any]:
    """Returns the content of `deployment.json`: a version's origin and its validation."""
    return {
        "model": found.name,
        "version": found.version,
        "run_id": found.run_id,
        "model_uri": found.uri,
        "source": found.source,
        "code_commit": found.commit,
        "digest": checksum,
        "signatures": validation.signatures,
        "verified": bool(goldens),
        "golden": {
            "engine": engine,
            "requests": validation.requests,
            "largest_differences": validation.differences,
            "latency_p50_ms": validation.latency,
            "latency_budget_ms": budget,
        },
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _check(files: Repository, name: str, number: int, unverified: bool) -> None:
    """Raises an error unless a version that is in the repository already may be served."""
    if fault := files.fault(name, number):
        raise UserError(
            f"{files.version(name, number)} cannot be served, as {fault}; remove it: "
            f"python -m serving undeploy {name} --version {number} --force"
        )
    record = files.record(name, number) or {}
    if not record.get("verified") and not unverified:
        raise UserError(
            f"{name} version {number} was deployed unverified; give --unverified again to serve it"
        )


def _bless(files: Repository, registry: Registry, found: Registered) -> None:
    record = files.record(found.name, found.version) or {}
    if not record.get("verified") or found.refused:
        return
    latency = record["golden"]["latency_p50_ms"]
    registry.bless(
        found,
        {
            "engine": record["golden"]["engine"],
            "time": record["time"],
            "latency_p50_ms": f"{max(latency.values(), default=0.0):.3f}",
            "digest": record["digest"],
        },
    )
