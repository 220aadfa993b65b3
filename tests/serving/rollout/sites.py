"""A repository with a server in this process that serves it, for tests of rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.client import Client
from serving.rollout import models_config, servers
from serving.rollout.deploy import deploy
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import Entry
from serving.rollout.promote import Rollout
from serving.rollout.target import RolloutTarget
from tests.serving.rollouts import NAME, InProcess

X = {"x": np.array([2.0], np.float32)}
# What each version of the model answers to X: 2 * half + two.
ANSWERS = {1: 3.0, 2: 4.0, 3: 5.0}


@dataclass
class Site:
    """A repository with a server that serves it, and one engine for all candidates."""

    target: RolloutTarget
    client: Client
    engine: InProcess
    registry: Any

    @property
    def files(self) -> Repository:
        return self.target.repository

    def deploy(self, version: int, label: str | None = "stable", **options) -> Rollout:
        return deploy(
            self.target,
            self.registry,
            NAME,
            lambda: self.engine,
            version=version,
            label=label,
            **options,
        )

    def answer(self, **options) -> float:
        return float(self.client.predict(NAME, X, **options)["y"].item())

    def version(self, **options) -> int:
        """Returns the version that answers."""
        return next(n for n, answer in ANSWERS.items() if answer == self.answer(**options))

    def entry(self) -> Entry:
        return models_config.entry(self.files.config(), NAME)

    def available(self) -> set[int]:
        states = servers.states(self.client, NAME)
        return {entry.version for entry in states if entry.state == "AVAILABLE"}


def snapshot(site: Site) -> tuple[set[str], str, set[int], float]:
    """What is in the repository, what is configured, loaded and answered."""
    paths = {p.relative_to(site.files.path).as_posix() for p in site.files.path.rglob("*")}
    config = site.files.config_file
    text = config.read_text() if config.exists() else ""
    return paths - {".lock"}, text, site.available(), site.answer() if text else 0.0


@contextmanager
def nth_call(monkeypatch, owner, name: str, number: int, failure: BaseException) -> Iterator[None]:
    """Has the call of that number fail, before anything is done."""
    original, calls = getattr(owner, name), 0

    def called(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == number:
            raise failure
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, called)
        yield
