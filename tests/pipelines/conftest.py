"""Fixtures of the pipelines' tests: MLflow stores, tiny data, a tiny SavedModel."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh MLflow database; creating one takes seconds, copying it none."""
    return _store_template(tmp_path_factory.getbasetemp() / "store")


@functools.cache  # Each package that has the fixture would create one.
def _store_template(folder: Path) -> Path:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder.mkdir()
    database = folder / "mlflow.db"
    store = SqlAlchemyStore(f"sqlite:///{database}", str(folder / "ARTIFACTS"))
    store.create_experiment(
        "image_classification", str(folder / "ARTIFACTS" / "image_classification")
    )
    store.engine.dispose()
    return database


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, and MLflow as in a new process afterwards."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.setenv(variable, "")  # So that it is restored afterwards.
        monkeypatch.delenv(variable)
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    sigterm = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, sigterm)
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture
def make_store(store_template: Path) -> Callable[[Path, Path], str]:
    """A function from a database and a folder of artifacts to a new store's URI."""

    def make(database: Path, artifacts: Path) -> str:
        shutil.copy(store_template, database)
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(
                "UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)",
                (str(store_template.parent / "ARTIFACTS"), str(artifacts)),
            )
        return f"sqlite:///{database}"

    return make


@pytest.fixture
def store(
    workplace: Path, make_store: Callable[[Path, Path], str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """The URI of an MLflow store of the test's own, which MLFLOW_TRACKING_URI names."""
    import mlflow

    uri = make_store(workplace / "mlflow.db", workplace / "artifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return uri


@pytest.fixture
def make_task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that replaces the task of every pipeline, as `make_task(samples.Doubles)`.

    Its argument is called with the run's config.
    """
    from pipelines import run

    def use(task: Callable[..., Any]) -> None:
        monkeypatch.setattr(run, "make_task", lambda pipeline, config: task(config))

    return use


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFDS folder with the bundled digits."""
    from pipelines.datasets import loading

    folder = tmp_path_factory.mktemp("tfds")
    loading.prepared("digits", data_dir=str(folder))
    return folder


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A function that returns the TFDS builder of a bundled data set.

    Each is prepared once, for all processes of pytest-xdist.
    """
    from pipelines.datasets import loading

    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "bundled"
    folder.mkdir(exist_ok=True)

    @functools.cache
    def prepared(name: str) -> Any:
        with folder.with_name(f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return loading.prepared(name, data_dir=str(folder))

    return prepared


@pytest.fixture(scope="session")
def linear_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SavedModel of `samples.linear()`."""
    from pipelines.export import saved_model
    from tests.pipelines import samples

    model = samples.linear()
    folder = tmp_path_factory.mktemp("linear") / "saved_model"
    examples = {"left/0.txt": b"1 2 3", "right/1.txt": b"4 5 6"}
    return saved_model.saved_model(
        model, samples.linear_signatures(model), folder, examples=examples
    )


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validates in this process; a fresh one takes seconds to import TensorFlow."""
    from pipelines.export import comparison, fresh

    def run(module: str, saved: Path, records: Path, contract: Path, *others: Path) -> Any:
        assert module == comparison.__name__
        return comparison.report(saved, records, json.loads(contract.read_text()), *others)

    monkeypatch.setattr(fresh, "run", run)
