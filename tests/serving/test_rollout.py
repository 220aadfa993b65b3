"""Rollouts against a server in this process: what answers to whom, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mlflow
import numpy as np
import pytest

from serving import deploy as deploying
from serving import models_config, rollout, telling
from serving.client import Client
from serving.errors import ServingError
from serving.models_config import Entry
from serving.registry import Registry
from serving.repository import Repository
from serving.rollout import Place, Rollout
from tests.serving import rollouts, saved_models
from tests.serving.rollouts import NAME, InProcess

pytestmark = pytest.mark.xdist_group("registry")  # Creating the database takes seconds.

X = {"x": np.array([2.0], np.float32)}
# What each version of the model answers to X: 2 * half + two.
ANSWERS = {1: 3.0, 2: 4.0, 3: 5.0}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """`digits` versions 1 to 3 with golden requests, and 4 without; 1 is champion."""
    folder = tmp_path_factory.mktemp("store")
    uri = rollouts.store_of(folder)
    for number, answer in ANSWERS.items():
        saved = saved_models.half_plus_two(folder / f"made{number}", 0.5, answer - 1)
        rollouts.record_golden(saved, 0.5, answer - 1)
        rollouts.register(uri, folder, saved)
    bare = saved_models.half_plus_two(folder / "bare", 0.5, 5.0)
    rollouts.register(uri, folder, bare)
    wrong = saved_models.half_plus_two(folder / "wrong", 0.5, 5.0)
    rollouts.record_golden(wrong, 0.5, 5.1)
    rollouts.register(uri, folder, wrong)
    return uri


@pytest.fixture(autouse=True)
def workplace(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@dataclass
class Site:
    """A repository with a server that serves it, and one engine for all candidates."""

    place: Place
    client: Client
    engine: InProcess

    @property
    def files(self) -> Repository:
        return self.place.repository

    def deploy(self, version: int, label: str = "stable", **options) -> Rollout:
        return deploying.deploy(
            self.place,
            Registry(),
            NAME,
            lambda: self.engine,
            version=version,
            label=label,
            **options,
        )

    def answer(self, **options) -> float:
        return float(self.client.predict(NAME, X, **options)["y"].item())

    def who(self, **options) -> int:
        """Returns the version that answers."""
        return next(n for n, answer in ANSWERS.items() if answer == self.answer(**options))

    def entry(self) -> Entry:
        return models_config.entry(self.files.config(), NAME)

    def available(self) -> set[int]:
        states = telling.states(self.client, NAME)
        return {entry.version for entry in states if entry.state == "AVAILABLE"}


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    (tmp_path / "models").mkdir()
    with rollouts.running(tmp_path / "models") as address, Client(address, timeout=20) as client:
        place = Place(Repository(tmp_path / "models"), address, wait=20.0)
        yield Site(place, client, InProcess())


def test_who_answers_in_each_state(site):
    """The table of docs/rollout.md: callers without labels get the highest version."""

    def seen() -> dict[str, int | str]:
        found: dict[str, int | str] = {"by default": site.who(), "no label": site.who(label="")}
        for label in ("stable", "canary"):
            try:
                found[label] = site.who(label=label)
            except ServingError as error:
                found[label] = error.message
        return found

    unknown = "Unrecognized servable version label: canary"
    site.deploy(1)
    assert seen() == {"by default": 1, "no label": 1, "stable": 1, "canary": unknown}
    site.deploy(2, "canary")
    assert seen() == {"by default": 1, "no label": 2, "stable": 1, "canary": 2}
    rollout.promote(site.place, NAME)
    assert seen() == {"by default": 2, "no label": 2, "stable": 2, "canary": unknown}
    assert site.available() == {2}
    rollout.rollback(site.place, NAME)
    assert seen() == {"by default": 1, "no label": 1, "stable": 1, "canary": unknown}
    assert site.available() == {1}
