"""The store: created whole and once, found again where it was moved, without runs left open."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import mlflow.models
import psutil
import pytest

from pipelines import model_registry, tracking
from pipelines.catalog import PIPELINES
from pipelines.errors import UserError
from pipelines.store import experiment, open_store, process_tags, tracking_uri
from pipelines.store_errors import shown as shown_address
from tests.pipelines import samples

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = samples.config()
FILL = "pipelines.store._fill"
CREATE = """
import json, sys, time
from pathlib import Path
import mlflow
from pipelines import store

number, processes = map(int, sys.argv[1:])
Path(f"ready{number}").touch()
while len(list(Path().glob("ready*"))) < processes:
    time.sleep(0.01)
uri = store.open_store()
with mlflow.start_run(experiment_id=store.experiment("image_classification", uri)):
    mlflow.log_text("kept", "note.txt")
with mlflow.start_run(experiment_id=store.experiment("another", uri)) as run:
    pass
print(json.dumps([uri, run.info.artifact_uri]))
"""


@pytest.fixture
def prepared(
    workplace: Path, make_store: Callable[[Path, Path], str], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working directory in which creating a store takes no time."""

    def fill(database: Path, artifacts: Path) -> None:
        artifacts.mkdir(exist_ok=True)
        make_store(database, artifacts)

    monkeypatch.setattr(FILL, fill)
    folder = workplace / "my project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def runs() -> list[mlflow.entities.Run]:
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert isinstance(found, list)
    return found


def test_first_runs_at_once_create_one_store_whole_and_lose_nothing(workplace):
    """In processes, as a store that another process replaces cannot be written any more."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, str(number), "3"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    printed = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], printed

    place = workplace.resolve() / "mlruns"
    for out, _ in printed:
        uri, artifacts = json.loads(out.splitlines()[-1])
        assert uri == f"sqlite:///{place}/mlflow.db"
        assert artifacts.startswith(f"{place}/artifacts/another/")
    assert sorted(file.name for file in place.iterdir()) == ["artifacts", "mlflow.db"]
    assert sorted(file.name for file in workplace.glob("[!r]*")) == ["mlruns"]

    assert open_store() == f"sqlite:///{place}/mlflow.db"
    assert {run.info.status for run in runs()} == {"FINISHED"}
    assert len(runs()) == 6
    kept = {e.name: e.artifact_location for e in mlflow.search_experiments()}
    assert kept.pop("Default") == f"{place}/artifacts/0"
    assert kept == {name: f"{place}/artifacts/{name}" for name in (*PIPELINES, "another")}
    assert len(list((place / "artifacts/image_classification").glob("*/artifacts/note.txt"))) == 3


def test_a_store_that_could_not_be_created_is_created_by_the_next_command(prepared, monkeypatch):
    def fail(database: Path, artifacts: Path) -> None:
        database.write_text("half")
        database.with_name(f"{database.name}-journal").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(FILL, fail)
        with pytest.raises(KeyboardInterrupt):
            open_store()
    assert list(Path("mlruns").glob("[!.]*")) == []
    # And what a killed process leaves.
    Path("mlruns/.mlflow.db.partial").write_text("half")
    Path("mlruns/.mlflow.db.partial-journal").write_text("half")
    open_store()
    assert {file.name for file in Path("mlruns").iterdir()} == {"artifacts", "mlflow.db"}
    assert mlflow.get_experiment_by_name("image_classification")


def test_no_other_folder_is_created_than_that_of_the_store(prepared, monkeypatch):
    folder = prepared / "Zoë's 5 % (ü)"
    folder.mkdir()
    monkeypatch.chdir(folder)
    open_store()
    assert mlflow.get_experiment_by_name("image_classification")
    assert [*prepared.iterdir()] == [folder]
    assert {file.name for file in Path("mlruns").iterdir()} == {"artifacts", "mlflow.db"}


def test_an_experiment_that_another_process_creates_meanwhile_is_found(store, monkeypatch):
    find = mlflow.get_experiment_by_name

    def before_another(name):
        monkeypatch.setattr(mlflow, "get_experiment_by_name", find)
        mlflow.create_experiment(name)

    monkeypatch.setattr(mlflow, "get_experiment_by_name", before_another)
    found = experiment("another", store)
    created = mlflow.get_experiment_by_name("another")
    assert created is not None
    assert found == created.experiment_id


def test_another_store_is_used_if_the_environment_names_it(store, workplace):
    with tracking.run("image_classification", CONFIG):
        pass
    assert not Path("mlruns").exists()
    assert runs()[0].info.artifact_uri.startswith(str(workplace / "artifacts"))


@pytest.mark.parametrize(
    ("variable", "uri"),
    [
        ("", "sqlite:///{here}/my project/mlruns/mlflow.db"),
        ("sqlite:///20%25/what%3F.db", "sqlite:///{here}/my project/20%/what%3F.db"),
        ("sqlite:///20%2541.db", "sqlite:///{here}/my project/20%2541.db"),
        ("sqlite:///../x.db?timeout=9", "sqlite:///{here}/x.db?timeout=9"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("./folder", "./folder"),
        ("nonsense://store", "nonsense://store"),
    ],
)
def test_the_path_of_a_database_is_absolute(prepared, monkeypatch, variable, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    assert tracking_uri() == uri.format(here=prepared.parent.resolve())


def test_a_run_of_a_store_in_another_folder_is_refused_in_a_sentence(prepared, monkeypatch):
    """As in the clone that `mlflow run` makes of a Git URI."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlruns/mlflow.db")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123")
    with pytest.raises(UserError) as raised, tracking.run("image_classification", CONFIG):
        pytest.fail("the body must not run")
    assert str(raised.value) == (
        "MLFLOW_RUN_ID names a run, but its store sqlite:///mlruns/mlflow.db is not in "
        f"{prepared}; before `mlflow run`, set MLFLOW_TRACKING_URI with an absolute path, such as "
        "sqlite:///$PWD/mlruns/mlflow.db"
    )
    assert list(prepared.iterdir()) == []


def train(linear_model: Path) -> mlflow.entities.Run:
    """Runs a pipeline with an artifact and a registered model, and returns its run."""
    with tracking.run("image_classification", CONFIG) as tracked:
        logged = mlflow.models.Model.log(
            artifact_path=None, name="model", flavor=model_registry, saved_model=linear_model
        )
        mlflow.register_model(logged.model_uri, "linear")
    return mlflow.get_run(tracked.id)


def loads(run: mlflow.entities.Run, version: int) -> bool:
    mlflow.pyfunc.load_model(f"models:/linear/{version}")
    return "architecture: convnet" in mlflow.artifacts.load_text(
        f"runs:/{run.info.run_id}/config.yaml"
    )


def move(before: Path, after: Path) -> None:
    before.rename(after)


def copy(before: Path, after: Path) -> None:
    shutil.copytree(before, after)


@pytest.mark.parametrize("take", [move, copy])
def test_a_store_that_was_moved_or_copied_is_whole(prepared, linear_model, monkeypatch, take):
    open_store()
    first = train(linear_model)
    after = prepared.parent / "new place" / "renamed"
    after.parent.mkdir()
    take(prepared, after)
    before = sorted(prepared.rglob("*"))

    monkeypatch.chdir(after)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert open_store() == f"sqlite:///{after.resolve()}/mlruns/mlflow.db"
    assert loads(first, 1)
    second = train(linear_model)
    assert loads(second, 2)
    for version in ("1", "2"):
        uri = mlflow.MlflowClient().get_model_version_download_uri("linear", version)
        assert uri.startswith(f"{after.resolve()}/mlruns/artifacts/image_classification/models/")
    for run in runs():
        assert Path(run.info.artifact_uri).is_relative_to(after.resolve() / "mlruns")
    assert sorted(prepared.rglob("*")) == before


@pytest.mark.parametrize(
    ("artifacts", "beside"),
    [("../elsewhere/artifacts", "data"), ("mlruns", "data"), ("mlruns", "artifacts")],
)
def test_a_store_of_somebody_else_is_left_as_it_is(
    prepared, make_store, monkeypatch, artifacts, beside
):
    place = (prepared / artifacts).resolve()
    make_store(prepared / "mlflow.db", place)
    (prepared / beside).mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    with tracking.run("image_classification", CONFIG):
        pass
    (run,) = runs()
    assert Path(run.info.artifact_uri).is_relative_to(place)


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def start(**tags: str) -> str:
    """Starts a run in the name of another process, which never ends it."""
    experiment = mlflow.get_experiment_by_name("image_classification")
    assert experiment is not None
    changed = {f"mlflow.{tag.replace('_', '.')}": value for tag, value in tags.items()}
    return _start(experiment.experiment_id, {**process_tags(), **changed})


def _start(experiment: str, tags: dict[str, str]) -> str:
    run = mlflow.MlflowClient().create_run(experiment, tags=tags)
    return run.info.run_id


def test_runs_whose_process_was_killed_are_closed_by_the_next_command(store, ended):
    killed = start(process_id=str(ended))
    # Its number is another process's by now.
    reused = start(process_started=f"{psutil.Process().create_time() - 3600:.2f}")
    # By an earlier version, which called its tags otherwise.
    tags = {**process_tags(), "mlflow.process.id": str(ended)}
    earlier = _start("0", {tag.removeprefix("mlflow."): value for tag, value in tags.items()})
    left = {
        start(),
        start(process_id=str(ended), process_host="another"),
        start(process_id=str(ended), process_namespace="pid:[7]"),
        mlflow.MlflowClient().create_run("0").info.run_id,  # Not of a pipeline.
    }
    with tracking.run("image_classification", CONFIG) as tracked:
        assert {run.info.run_id for run in runs() if run.info.status == "RUNNING"} == {
            *left,
            tracked.id,
        }
    for run_id, pid in ((killed, ended), (earlier, ended), (reused, os.getpid())):
        run = mlflow.get_run(run_id)
        assert run.info.status == "FAILED"
        assert run.info.end_time is not None
        assert run.data.tags["failure"] == (
            f"process {pid} on {socket.gethostname()} ended without closing the run"
        )


def test_a_process_that_was_killed_but_not_waited_for_has_ended(store):
    process = subprocess.Popen(["sleep", "600"])
    started = f"{psutil.Process(process.pid).create_time():.2f}"
    run_id = start(process_id=str(process.pid), process_started=started)
    try:
        open_store()
        assert mlflow.get_run(run_id).info.status == "RUNNING"
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        open_store()
        assert mlflow.get_run(run_id).info.status == "FAILED"
    finally:
        process.kill()
        process.wait()


def test_a_run_that_ended_since_it_was_found_stays_finished(store, ended, monkeypatch):
    run_id = start(process_id=str(ended))
    found = runs()
    mlflow.MlflowClient().set_terminated(run_id)
    monkeypatch.setattr(mlflow, "search_runs", lambda **options: found)
    open_store()
    run = mlflow.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert "failure" not in run.data.tags


def test_a_run_has_the_tags_of_its_process(store):
    with tracking.run("image_classification", CONFIG) as tracked:
        tags = mlflow.get_run(tracked.id).data.tags
    assert tags.items() >= process_tags().items()
    assert tags["mlflow.process.id"] == str(os.getpid())


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://mlflow:s3cret@db:5432/mlflow", "postgresql://mlflow:***@db:5432/mlflow"),
        ("postgresql+psycopg2://u:a%40b@db/x", "postgresql+psycopg2://u:***@db/x"),
        ("https://me:token@mlflow.example.org/a:b@c", "https://me:***@mlflow.example.org/a:b@c"),
        ("https://mlflow.example.org:5000", "https://mlflow.example.org:5000"),
        ("sqlite:////data/a:b@c/mlflow.db", "sqlite:////data/a:b@c/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_its_password(uri, shown):
    assert shown_address(uri) == shown
