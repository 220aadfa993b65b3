"""What the tests of whole roads deploy, each version proven by its golden requests first."""

from __future__ import annotations

from pathlib import Path

from serving.engines import engine as engines
from serving.rollout import deploy as module
from serving.rollout.model_registry import Registry
from serving.rollout.model_repository import Repository
from serving.rollout.promote import Place, Rollout


def deploy(name: str, repository: Path, *, version: int = 1) -> Rollout:
    place = Place(Repository(repository))
    done = module.deploy(
        place, Registry(), name, lambda: engines.choose("embedded"), version=version, budget=30_000
    )
    assert done.proof is not None
    assert done.proof.requests > 0
    return done
