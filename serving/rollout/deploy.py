"""From the registry to a version that answers, which nobody sees before it has proven itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.client.traffic import STABLE
from serving.errors import RolloutError, UserError
from serving.rollout import golden, model_repository, models_config, trial
from serving.rollout import servers as telling
from serving.rollout.golden import Golden, Proof
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import Entry
from serving.rollout.promote import Place, Rollout, move, unload
from serving.rollout.trial import Engine

if TYPE_CHECKING:
    from serving.rollout.model_registry import Registered, Registry

LATENCY_BUDGET = 5000.0


def deploy(
    place: Place,
    registry: Registry,
    name: str,
    engine: Callable[[], Engine],
    *,
    alias: str = "champion",
    version: int | None = None,
    label: str = STABLE,
    budget: float = LATENCY_BUDGET,
    unverified: bool = False,
) -> Rollout:
    """Makes a registered version answer to a label.

    Args:
        place: The repository and its servers.
        registry: Where the version comes from.
        name: Registered name, which is also the served name.
        engine: Chooses what the candidate is tried on.
        alias: Which version to take, unless `version` says it.
        version: Registered version.
        label: What it is to answer to.
        budget: Milliseconds that the median of a golden request may take.
        unverified: Whether a version without golden requests may be deployed.

    Raises:
        UserError: There is no such version, or it may not be deployed so.
        RolloutError: The candidate does not answer as it must.
        ServingError: A running server refuses it.
    """
    found = registry.find(name, alias=alias, version=version)
    number = found.version
    files = place.repository
    with files.locked():
        config = files.config()
        before = models_config.entry(config, name)
        if label != STABLE and STABLE not in before.labels:
            raise UserError(
                f"{name} has no stable version yet, and callers ask for that; deploy one with "
                f"--label stable before a {label}"
            )
        with telling.servers(place.address, models_config.names(config), place.tls) as servers:
            fresh = not files.version(name, number).exists()
            proof = None
            if fresh:
                try:
                    with files.candidate() as hidden:
                        proof = _admit(
                            files, registry, found, hidden, engine, budget, unverified, place.wait
                        )
                except OSError as error:
                    raise RolloutError(
                        f"{name} version {number} cannot be deployed: {error}"
                    ) from error
            else:
                _check(files, name, number, unverified)
            try:
                after = Entry.of({**before.labels, label: number})
                move(place, servers, name, after)
            except (Exception, KeyboardInterrupt):
                if fresh:
                    with contextlib.suppress(OSError):
                        files.remove(name, number)
                        files.write_history(name, files.history(name))
                raise
            left = unload(place, servers, name, before.versions - after.versions)
        unblessed = ""
        try:
            _bless(files, registry, found)
        except UserError as error:  # It is served all the same.
            unblessed = str(error)
    path = files.version(name, number)
    return Rollout(
        *(name, number, path, before, after, len(servers), label, left, proof, unblessed)
    )


def _admit(
    files: Repository,
    registry: Registry,
    found: Registered,
    hidden: Path,
    engine: Callable[[], Engine],
    budget: float,
    unverified: bool,
    wait: float,
) -> Proof:
    """Downloads a version into a hidden folder, has it prove itself, and publishes it."""
    name, number = found.name, found.version
    candidate = hidden / "repository" / name / str(number)
    candidate.parent.mkdir(parents=True)
    (hidden / "download").mkdir()
    registry.download(found, hidden / "download").rename(candidate)
    goldens = golden.read(candidate)
    if not goldens and not unverified:
        raise UserError(
            f"{name} version {number} carries no golden requests, so nothing shows that it answers "
            "as it did at its export; train it again, or give --unverified"
        )
    chosen = engine()
    checksum = model_repository.digest(candidate)
    proof = trial.prove(
        chosen, hidden / "repository", name, number, goldens, budget=budget, wait=wait
    )
    if model_repository.digest(candidate) != checksum:
        raise RolloutError(f"the files of {name} version {number} changed while it was tried")
    record = _record(found, checksum, goldens, chosen.name, proof, budget)
    model_repository.write_record(candidate, record)
    files.publish(candidate, name, number)
    return proof


def _record(
    found: Registered,
    checksum: str,
    goldens: Sequence[Golden],
    engine: str,
    proof: Proof,
    budget: float,
) -> dict[str, Any]:
    """Returns what `deployment.json` says: where a version comes from and how it answered."""
    return {
        "model": found.name,
        "version": found.version,
        "run_id": found.run_id,
        "model_uri": found.uri,
        "source": found.source,
        "code_commit": found.commit,
        "digest": checksum,
        "signatures": proof.signatures,
        "verified": bool(goldens),
        "golden": {
            "engine": engine,
            "requests": proof.requests,
            "largest_differences": proof.differences,
            "latency_p50_ms": proof.latency,
            "latency_budget_ms": budget,
        },
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _check(files: Repository, name: str, number: int, unverified: bool) -> None:
    """Raises unless a version that is there already may be served."""
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
    if not record.get("verified"):
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
