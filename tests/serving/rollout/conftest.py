"""A registry of three versions, and a repository with a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from serving.client import Client
from serving.rollout.model_registry import Registry
from serving.rollout.model_repository import Repository
from serving.rollout.target import RolloutTarget
from tests.serving import rollouts, saved_models
from tests.serving.rollout.sites import ANSWERS, Site
from tests.serving.rollouts import FolderRegistry, InProcess


@pytest.fixture(scope="session")
def exports(tmp_path_factory) -> dict[int, Path]:
    """The SavedModels of the versions 1 to 3 with golden requests."""
    folder = tmp_path_factory.mktemp("exports")
    for number, answer in ANSWERS.items():
        saved = saved_models.half_plus_two(folder / str(number), 0.5, answer - 1)
        rollouts.record_golden(saved, 0.5, answer - 1)
    return {number: folder / str(number) for number in ANSWERS}


@pytest.fixture(scope="session")
def store(tmp_path_factory, exports) -> str:
    """`digits` versions 1 to 3, 4 without golden requests, and 5 with wrong ones."""
    folder = tmp_path_factory.mktemp("store")
    uri = rollouts.store_of(folder)
    for saved in exports.values():
        rollouts.register(uri, folder, saved)
    bare = saved_models.half_plus_two(folder / "bare", 0.5, 5.0)
    rollouts.register(uri, folder, bare)
    wrong = saved_models.half_plus_two(folder / "wrong", 0.5, 5.0)
    rollouts.record_golden(wrong, 0.5, 5.1)
    rollouts.register(uri, folder, wrong)
    return uri


@pytest.fixture
def workplace(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture
def folder_site(exports, tmp_path) -> Iterator[Site]:
    """A site without MLflow, whose database takes most of the time of a rollout."""
    (tmp_path / "models").mkdir()
    with rollouts.running(tmp_path / "models") as address, Client(address, timeout=20) as client:
        target = RolloutTarget(Repository(tmp_path / "models"), address, wait=20.0)
        yield Site(target, client, InProcess(), FolderRegistry(exports))


@pytest.fixture
def site(workplace, folder_site) -> Site:
    """A site with the registry of `store`."""
    return replace(folder_site, registry=Registry())
