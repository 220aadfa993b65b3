"""Deploys of the end-to-end tests, each version validated with its golden requests first."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import mlflow

from pipelines.cards.call import ADDRESS, FILE
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


def ask_as_the_card_says(name: str, address: str, repository: Path) -> None:
    """Runs the code on the model card of version 1 against a server that has it."""
    run_id = mlflow.MlflowClient().get_model_version(name, "1").run_id
    card = mlflow.artifacts.load_text(f"runs:/{run_id}/card.md")
    _, _, code = card.partition("```python\n")
    code = code.partition("```")[0].replace(ADDRESS, address)
    examples = repository / name / "1" / "assets.extra" / "examples"
    if FILE in code:
        code = code.replace(FILE, str(min(p for p in examples.rglob("*") if p.is_file())))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "card.md", "exec"), {})
    assert printed.getvalue().strip()
