"""Tracking: what runs record, and how they end."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import git
import keras
import mlflow
import pytest
import tensorflow as tf
import yaml
from matplotlib.figure import Figure

from pipelines import environment, outbox, tracking
from pipelines.config import Config
from pipelines.datasets.checks import Checks
from pipelines.errors import TrainingError, UserError
from pipelines.task import Network
from tests.pipelines import samples

CONFIG = samples.config()


def text(run_id: str, path: str) -> str:
    return mlflow.artifacts.load_text(f"runs:/{run_id}/{path}")


def only_run(experiment: str = "image_classification") -> mlflow.entities.Run:
    (run,) = mlflow.search_runs(experiment_names=[experiment], output_format="list")
    assert isinstance(run, mlflow.entities.Run)
    return run


def test_a_run_records_its_config(store):
    with tracking.run("image_classification", CONFIG) as tracked:
        assert tracked.store == store
    run = only_run()
    assert tracked.uri == f"runs:/{run.info.run_id}"
    assert str(run.info.run_name).startswith("convnet on striped, seed 0, ")
    expected = {"pipeline": "image_classification", **CONFIG.hyperparameters()}
    expected["learning_rate"] = CONFIG.recipe.optimizer.learning_rate  # As `mlflow run` names it.
    assert run.data.params == {name: str(value) for name, value in expected.items()}
    tags = {key: run.data.tags[key] for key in ("pipeline", "dataset", "architecture")}
    assert tags == {
        "pipeline": "image_classification",
        "dataset": "striped",
        "architecture": "convnet",
    }
    assert yaml.safe_load(text(run.info.run_id, "config.yaml")) == CONFIG.options()


def test_a_run_records_its_environment(store):
    with tracking.run("image_classification", CONFIG) as tracked:
        pass
    recorded = json.loads(text(tracked.id, "environment.json"))
    assert recorded["python"] == sys.version
    assert recorded["cpus"] == os.cpu_count()
    assert recorded["memory_gib"] > 0
    packages = recorded["packages"]
    assert packages["tensorflow"] == metadata.version("tensorflow")
    assert list(packages) == sorted(packages, key=str.lower)


def test_a_run_records_the_code_version(store):
    with tracking.run("image_classification", CONFIG) as tracked:
        pass
    commit, changes = environment.code_version()
    tags = mlflow.get_run(tracked.id).data.tags
    assert tags["code.commit"] == commit
    assert tags["code.changed"] == str(bool(changes))
    if changes:
        assert text(tracked.id, "uncommitted.diff") == changes


def test_the_code_version_is_the_commit_with_the_changes_since(tmp_path, monkeypatch):
    module = tmp_path / "pipelines" / "tracking.py"
    module.parent.mkdir()
    monkeypatch.setattr(environment, "__file__", str(module))
    assert environment.code_version() == ("unknown", "")

    repository = git.Repo.init(tmp_path)
    assert environment.code_version() == ("unknown", "")

    module.write_text("first = 1\n")
    repository.index.add([str(module)])
    author = git.Actor("Somebody", "somebody@example.org")
    commit = repository.index.commit("First", author=author, committer=author)
    assert environment.code_version() == (commit.hexsha, "")

    module.write_text("second = 2\n")
    found, changes = environment.code_version()
    assert found == commit.hexsha
    assert "-first = 1" in changes
    assert "+second = 2" in changes

    for folder in (tmp_path, module.parent):
        (folder / ".env").write_text("POSTGRES_PASSWORD=planted\n")
        repository.index.add([str(folder / ".env")])
    assert environment.code_version() == (found, changes)


def test_the_code_version_is_not_that_of_a_project_around_the_environment(tmp_path, monkeypatch):
    repository = git.Repo.init(tmp_path)
    (tmp_path / "theirs.py").write_text("first = 1\n")
    repository.index.add(["theirs.py"])
    author = git.Actor("Somebody", "somebody@example.org")
    repository.index.commit("First", author=author, committer=author)
    (tmp_path / "theirs.py").write_text("second = 2\n")
    module = tmp_path / ".venv" / "pipelines" / "environment.py"
    module.parent.mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(module))
    assert environment.code_version() == ("unknown", "")


@pytest.mark.parametrize(
    ("gpus", "variable", "logged"), [(1, "false", True), (0, "true", True), (0, "", False)]
)
def test_the_load_is_logged_with_a_gpu_or_if_mlflow_is_told_to(
    gpus, variable, logged, store, monkeypatch
):
    if variable:
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", variable)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"] * gpus)
    monitors = mlflow.tracking.fluent.run_id_to_system_metrics_monitor
    with tracking.run("image_classification", CONFIG) as tracked:
        assert (tracked.id in monitors) == logged


def test_a_run_records_data_network_and_results(store, workplace):
    vocabulary = workplace / "vocabulary"
    (vocabulary / "deep").mkdir(parents=True)
    (vocabulary / "deep" / "words.txt").write_text("one\ntwo\n")
    baseline = samples.baseline("random", {"accuracy": 0.5}, {"accuracy": 0.4})
    weaker = samples.baseline("always 0", {"accuracy": 0.1}, {"accuracy": 0.2})
    metrics = {"validation/accuracy": 0.75, "test/accuracy": 0.7, "test/loss": 1.0}
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="the_layer")])
    report = {"failure": "", "ops": ["MatMul"], "differences": {"serve": {"y": 1e-7}}}
    with tracking.run("image_classification", CONFIG) as tracked:
        tracked.data(samples.striped(), Checks([("examples", ("3", "2", "1"))], ["all is well"]))
        tracked.model(Network(model, hyperparameters={"strides": (2,)}), device="CPU")
        tracked.metrics({"loss": 3.0}, step=1)
        tracked.metrics({"loss": 2.0}, step=2)
        tracked.history({"loss": [3.0, 2.0], "val_loss": [3.0, 2.5]})
        tracked.results("accuracy", metrics, (0.65, 0.8), baseline, [weaker, baseline])
        tracked.margin("accuracy", (0.1, 0.4))
        tracked.figure("empty", Figure())
        tracked.folder(vocabulary)
        tracked.validation(report)
    run = only_run()

    inputs: Any = run.inputs
    assert {
        next(tag.value for tag in used.tags if tag.key == "mlflow.data.context"): (
            used.dataset.digest,
            used.dataset.name.split("/")[0],
        )
        for used in inputs.dataset_inputs
    } == dict.fromkeys(("train", "validation", "test"), ("0123456789ab", "striped"))
    for used in inputs.dataset_inputs:
        assert "striped:1.0.0" in used.dataset.source
    assert run.data.params["data.digest"] == "0123456789ab"
    assert run.data.params["data.version"] == "1.0.0"
    assert run.data.params["data.train"] == "50"
    checks = text(run.info.run_id, "data_checks.md")
    assert "| examples | 3 | 2 | 1 |" in checks
    assert "- all is well" in checks
    assert run.data.params["data.test"] == "30"

    assert run.data.params["model_parameters"] == "8"
    assert run.data.params["device"] == "CPU"
    assert run.data.params["model.strides"] == "(2,)"
    assert "the_layer" in text(tracked.id, "model_summary.txt")

    logged = {key: value for key, value in run.data.metrics.items() if "system/" not in key}
    assert logged == pytest.approx(
        {
            **metrics,
            "test/interval/accuracy_low": 0.65,
            "test/interval/accuracy_high": 0.8,
            "train/loss": 2.0,
            "validation/baseline/accuracy": 0.5,
            "test/baseline/accuracy": 0.4,
            "validation/margin/accuracy": 0.25,
            "test/margin/accuracy": 0.3,
            "test/margin/accuracy_low": 0.1,
            "test/margin/accuracy_high": 0.4,
        }
    )
    history = mlflow.MlflowClient().get_metric_history(tracked.id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0)]
    assert run.data.tags["baseline"] == "random"
    assert json.loads(text(tracked.id, "baselines.json")) == {
        "always 0": {"validation": {"accuracy": 0.1}, "test": {"accuracy": 0.2}},
        "random": {"validation": {"accuracy": 0.5}, "test": {"accuracy": 0.4}},
    }
    assert text(tracked.id, "vocabulary/deep/words.txt") == "one\ntwo\n"
    assert json.loads(text(tracked.id, "validation.json")) == report
    files = mlflow.artifacts.list_artifacts(f"runs:/{tracked.id}/figures")
    assert {file.path for file in files or ()} == {
        "figures/learning_curves.png",
        "figures/empty.png",
    }


@pytest.mark.parametrize(
    ("error", "status", "failure"),
    [
        (ValueError("the disk is full"), "FAILED", "ValueError: the disk is full"),
        (TrainingError("no number"), "FAILED", "TrainingError: no number"),
        (MemoryError("x" * 10_000), "FAILED", f"MemoryError: {'x' * 4987}"),
        (SystemExit(3), "FAILED", "SystemExit: 3"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, BaseException) else "",
)
def test_a_failed_run_is_closed_with_the_reason(store, error, status, failure):
    with pytest.raises(type(error)) as caught, tracking.run("image_classification", CONFIG):
        raise error
    assert caught.value is error
    run = only_run()
    assert (run.info.status, run.data.tags["failure"]) == (status, failure)
    assert mlflow.active_run() is None


def test_a_run_that_ends_with_a_wrong_choice_before_training_is_not_kept(store):
    with (
        pytest.raises(UserError, match="no such set"),
        tracking.run("image_classification", CONFIG) as tracked,
    ):
        raise UserError("no such set")
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []
    deleted = mlflow.get_run(tracked.id)
    assert (deleted.info.lifecycle_stage, deleted.info.status) == ("deleted", "FAILED")


def test_a_run_that_ends_with_a_wrong_choice_after_training_is_kept(store):
    def train():
        with tracking.run("image_classification", CONFIG) as tracked:
            tracked.metrics({"loss": 3.0}, step=1)
            raise UserError("no such name")

    with pytest.raises(UserError, match="no such name"):
        train()
    assert only_run().data.tags["failure"] == "UserError: no such name"


def test_a_run_has_the_chosen_name_tags_and_note_and_no_figures(store):
    config = replace(CONFIG, run_name="mine", tag=["a=b", "c=d=e"], note="Why.", figures=False)
    with tracking.run("image_classification", config) as tracked:
        tracked.history({"loss": [3.0, 2.0], "val_loss": [3.0, 2.5]})
    run = only_run()
    assert run.info.run_name == "mine"
    tags = run.data.tags
    assert (tags["a"], tags["c"], tags["mlflow.note.content"]) == ("b", "d=e", "Why.")
    assert not mlflow.artifacts.list_artifacts(f"runs:/{tracked.id}/figures")


def test_a_run_whose_config_cannot_be_logged_is_closed_as_failed(store, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no space left")

    monkeypatch.setattr(outbox.Outbox, "files", fail)
    with pytest.raises(OSError, match="no space"), tracking.run("image_classification", CONFIG):
        pytest.fail("the body must not run")
    assert only_run().info.status == "FAILED"


def test_a_finished_run_has_no_failure(store):
    with tracking.run("image_classification", CONFIG):
        assert only_run().info.status == "RUNNING"
    run = only_run()
    assert run.info.status == "FINISHED"
    assert "failure" not in run.data.tags


def test_a_run_joins_the_one_that_was_started_for_it(store, monkeypatch):
    """`mlflow run` has logged its parameters as they were typed."""
    client = mlflow.MlflowClient()
    experiment = mlflow.get_experiment_by_name("image_classification")
    assert experiment is not None
    started = client.create_run(experiment.experiment_id)
    typed = {"optimizer.learning_rate": "1e-3", "epochs": "02", "own": "parameter"}
    for name, value in typed.items():
        client.log_param(started.info.run_id, name, value)
    monkeypatch.setenv("MLFLOW_RUN_ID", started.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment.experiment_id)
    with tracking.run("image_classification", CONFIG) as tracked:
        pass
    assert tracked.id == started.info.run_id
    run = only_run()
    assert run.info.status == "FINISHED"
    expected = {"pipeline": "image_classification", **CONFIG.hyperparameters()}
    expected["learning_rate"] = CONFIG.recipe.optimizer.learning_rate  # As `mlflow run` names it.
    assert run.data.params == {name: str(value) for name, value in expected.items()} | typed


def test_a_run_goes_into_the_experiment_that_the_environment_names(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", mlflow.create_experiment("mine"))
    with tracking.run("image_classification", CONFIG) as tracked:
        pass
    assert only_run("mine").info.run_id == tracked.id


def test_each_pipeline_of_one_process_has_its_own_experiment(store):
    for pipeline in ("image_classification", "another", "image_classification"):
        with tracking.run(pipeline, CONFIG) as tracked:
            pass
        assert mlflow.get_experiment(tracked.experiment_id).name == pipeline


def unknown_scheme(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://store")


def a_file_for_a_folder(monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    Path("mlruns").write_text("")


def no_database(monkeypatch) -> None:
    Path("store.db").write_text("not a database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path('store.db').resolve()}")


def a_deleted_experiment(monkeypatch) -> None:
    experiment = mlflow.get_experiment_by_name("image_classification")
    assert experiment is not None
    mlflow.delete_experiment(experiment.experiment_id)


@pytest.mark.parametrize(
    "fault",
    [unknown_scheme, a_file_for_a_folder, no_database, a_deleted_experiment],
    ids=lambda fault: fault.__name__,
)
def test_a_store_that_cannot_be_used_is_a_user_error(fault, store, monkeypatch):
    fault(monkeypatch)
    message = "^the tracking store .* cannot be used: ."
    with (
        pytest.raises(UserError, match=message) as caught,
        tracking.run("image_classification", Config()),
    ):
        pytest.fail("the body must not run")
    assert "\n" not in str(caught.value)
