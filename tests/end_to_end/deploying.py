"""Deploys of the end-to-end tests, each version validated with its golden requests first."""

from __future__ import annotations

from pathlib import Path

from serving.rollout import deploy as deploying
from serving.rollout.model_registry import Registry
from serving.rollout.model_repository import Repository
from serving.rollout.promote import Rollout
from serving.rollout.target import RolloutTarget
from tests.serving.rollouts import InProcess


def deploy(name: str, repository: Path, *, version: int = 1, force: bool = True) -> Rollout:
    """Deploys as the command does, but the candidate's server runs in this process.

    The test of image classification deploys with that command and its servers. What is trained
    briefly need not beat its baseline.
    """
    target = RolloutTarget(Repository(repository))
    done = deploying.deploy(
        target, Registry(), name, InProcess, version=version, budget=30_000, force=force
    )
    assert done.validation is not None
    assert done.validation.requests > 0
    return done
