"""What the tests of whole roads deploy, each version proven by its golden requests first."""

from __future__ import annotations

from pathlib import Path

from serving import deploy as module
from serving import engines
from serving.registry import Registry
from serving.repository import Repository
from serving.rollout import Place, Rollout


def deploy(name: str, repository: Path, *, version: int = 1) -> Rollout:
    place = Place(Repository(repository))
    done = module.deploy(
        place, Registry(), name, lambda: engines.choose("embedded"), version=version, budget=30_000
    )
    assert done.proof is not None
    assert done.proof.requests > 0
    return done
