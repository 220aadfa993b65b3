"""The road from a choice to a registered model, walked through the command line."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import mlflow
import numpy as np
import pytest
import tensorflow as tf

from pipelines import pipeline, training
from pipelines.__main__ import main
from pipelines.classify_images import ClassifyImages
from pipelines.datasets import images
from pipelines.pipeline import Result
from pipelines.recipe import Config
from tests.pipelines import samples

# A network that is trained in a moment: one epoch, four filters, nothing random.
SMALL = (
    *("--epochs", "1", "--batch_size", "8", "--optimizer.learning_rate", "0.02"),
    *("--model.filters", "[4]", "--model.convolutions", "1", "--model.units", "[]"),
    *("--model.dropout", "0", "--model.stage_dropout", "0"),
    *("--augmentation.shift", "0", "--augmentation.rotation", "0", "--augmentation.zoom", "0"),
)


@pytest.fixture
def scratch(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary files are made."""
    folder = workplace / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the pipeline learn from stripes, which takes a moment, whatever set it is told."""
    monkeypatch.setattr(ClassifyImages, "load", lambda task, config: samples.striped())


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """What runs return."""
    returned: list[Result] = []
    run = pipeline.run

    def kept(*arguments) -> Result:
        returned.append(run(*arguments))
        return returned[-1]

    monkeypatch.setattr(pipeline, "run", kept)
    return returned


def only_run() -> mlflow.entities.Run:
    (run,) = mlflow.search_runs(experiment_names=["classify_images"], output_format="list")
    assert isinstance(run, mlflow.entities.Run)
    return run


def left(scratch: Path) -> list[str]:
    """Returns the files there, without those that TensorFlow keeps while its process lives."""
    return [path.name for path in scratch.iterdir() if "__autograph" not in path.name]


def nothing_is_left(scratch: Path) -> None:
    client = mlflow.MlflowClient()
    assert client.search_registered_models() == []
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    assert client.search_logged_models(experiments) == []
    assert left(scratch) == []
    assert mlflow.active_run() is None


def test_a_run_trains_proves_and_registers_a_model(
    store, scratch, results, digits_dir, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["classify_images", "--data_dir", str(digits_dir), *SMALL]) == 0
    (result,), run = results, only_run()
    shown = capsys.readouterr().out

    # Both splits of the model and of its baseline are in the result and in the run.
    logged = run.data.metrics
    assert logged | result.metrics == logged
    assert {"validation_accuracy", "test_accuracy", "validation_loss", "test_loss"} == set(
        result.metrics
    )
    assert result.baseline.name == "logistic regression"
    for split, scores in (
        ("validation", result.baseline.validation),
        ("test", result.baseline.test),
    ):
        assert logged[f"baseline_{split}_accuracy"] == scores["accuracy"] > 0.8
    assert run.info.status == "FINISHED"
    assert run.data.params["data.train"] == "1157"

    # The version is the run's, and its model lies in the run's experiment.
    version = mlflow.MlflowClient().get_model_version("digits", str(result.version.number))
    assert (result.version.name, result.version.number) == ("digits", 1)
    assert version.run_id == run.info.run_id == result.run.id
    (logged_model,) = mlflow.search_logged_models([run.info.experiment_id], output_format="list")
    assert logged_model.source_run_id == run.info.run_id
    assert float(version.tags["validation_accuracy"]) == result.metrics["validation_accuracy"]
    beaten = logged["margin_validation_accuracy"] > 0
    assert result.version.alias == ("champion" if beaten else "")

    # What is registered computes the logged metric.
    saved = tf.saved_model.load(result.version.saved_model)
    data = images.load(Config(dataset="digits", data_dir=str(digits_dir)))
    ((batch, labels),) = data.test.batch(397).as_numpy_iterator()
    answer = saved.signatures["serving_default"](images=tf.constant(batch))
    right = answer["classes"].numpy().astype(int) == labels
    assert right.mean() == pytest.approx(result.metrics["test_accuracy"], abs=1e-6)

    artifacts = mlflow.artifacts.list_artifacts(f"runs:/{run.info.run_id}/figures") or ()
    assert {Path(file.path).name for file in artifacts} == {
        "confusion_matrix.png",
        "learning_curves.png",
        "worst_mistakes.png",
    }

    number = r"[+-]?\d\.\d{4}"
    for line in (
        rf"test accuracy[ │]+{result.metrics['test_accuracy']:.4f}[ │]+{number}[ │]+{number}",
        re.escape(result.version.reason),
        rf"run +runs:/{run.info.run_id} in {store}",
        r"registered +models:/digits/1( @champion)?",
        rf"SavedModel +{result.version.saved_model}",
        r"next +python -m serving deploy digits( --version 1)?",
    ):
        assert re.search(rf"^[ │]*{line}[ │]*$", shown, re.MULTILINE), line
    assert left(scratch) == []


def test_a_model_that_answers_otherwise_is_not_registered(
    store, scratch, stripes, monkeypatch, capsys
):
    """The answers to prove are those of a network that is a little more certain."""
    own = ClassifyImages.signatures

    def signatures(task, model, data):
        default, *others = own(task, model, data)
        expected = {
            **default.expected,
            "probabilities": default.expected["probabilities"] + np.float32(1e-3),
        }
        return [replace(default, expected=expected), *others]

    monkeypatch.setattr(ClassifyImages, "signatures", signatures)
    assert main(["classify_images", *SMALL]) == 1
    message = capsys.readouterr().err
    assert re.fullmatch(
        r"error: the SavedModel is not the trained model: serving_default/probabilities differs "
        r"by up to 0\.001, where .* is allowed; nothing was registered\n",
        message,
    )
    run = only_run()
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"].startswith("ValidationError: the SavedModel is not")
    nothing_is_left(scratch)


def in_an_epoch(monkeypatch) -> None:
    def end(callback, epoch, logs=None):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(training._Epochs, "on_epoch_end", end)


def in_the_export(monkeypatch) -> None:
    archive: Any = type(keras.export.ExportArchive())
    whole = archive.write_out

    def write_out(*arguments, **options):
        whole(*arguments, **options)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(archive, "write_out", write_out)


@pytest.mark.parametrize("where", [in_an_epoch, in_the_export], ids=lambda part: part.__name__)
def test_an_interrupted_run_is_killed_and_leaves_nothing(
    where, store, scratch, stripes, monkeypatch, capsys
):
    """`mlflow run` sends SIGTERM where a terminal sends SIGINT."""
    where(monkeypatch)
    assert main(["classify_images", *SMALL]) == 130
    message = "interrupted: the run was closed as KILLED, nothing was registered\n"
    assert capsys.readouterr().err == message
    run = only_run()
    assert (run.info.status, run.data.tags["failure"]) == ("KILLED", "interrupted")
    nothing_is_left(scratch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset", "nonsense"), "unknown data set 'nonsense'; embedded here are: .*digits"),
        (("--model.depth", "3"), "convnet has no hyperparameter 'depth'; it has: .*filters"),
    ],
)
def test_a_choice_that_shows_as_wrong_in_the_run_ends_it_with_code_2(
    options, message, store, scratch, digits_dir, capsys
):
    assert main(["classify_images", "--data_dir", str(digits_dir), *SMALL, *options]) == 2
    assert re.fullmatch(rf"error: {message}.*\n", capsys.readouterr().err)
    run = only_run()
    assert run.info.status == "FAILED"
    assert re.match(f"UserError: {message}", run.data.tags["failure"])
    nothing_is_left(scratch)


def test_a_fault_that_is_nobodys_choice_is_shown_as_it_is(store, scratch, stripes, monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError("a fault in the code")

    monkeypatch.setattr(ClassifyImages, "baseline", fail)
    with pytest.raises(ZeroDivisionError, match="a fault in the code"):
        main(["classify_images", *SMALL])
    assert only_run().info.status == "FAILED"
    nothing_is_left(scratch)
