"""A run, from a config to a registered model, and how it ends when something fails."""

from __future__ import annotations

import io
import json
import math
import os
import re
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import mlflow
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from pipelines import outcome
from pipelines import run as pipeline
from pipelines.__main__ import main
from pipelines.config import Config
from pipelines.distiller import WITHOUT_TEACHER
from pipelines.image.config import ImageConfig
from pipelines.model_registry import Version
from pipelines.outcome import next_steps, show
from pipelines.recipe import Optimizer, Recipe
from pipelines.run import Result
from pipelines.task import Teacher
from pipelines.tasks.image_classification import data as images
from pipelines.training import callbacks
from tests.pipelines import samples

# A network that is trained in less than a second: one epoch, four filters, nothing random.
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
    (run,) = mlflow.search_runs(experiment_names=["image_classification"], output_format="list")
    assert isinstance(run, mlflow.entities.Run)
    return run


def leftovers(scratch: Path) -> list[str]:
    """Returns the files there, without those that TensorFlow keeps while its process lives."""
    return [path.name for path in scratch.iterdir() if "__autograph" not in path.name]


def assert_nothing_is_left(scratch: Path) -> None:
    client = mlflow.MlflowClient()
    assert client.search_registered_models() == []
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    assert client.search_logged_models(experiments) == []
    assert leftovers(scratch) == []
    assert mlflow.active_run() is None


def test_a_run_trains_validates_and_registers_a_model(
    store, scratch, at_once, results, digits_dir, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["image_classification", "--data_dir", str(digits_dir), *SMALL]) == 0
    (result,), run = results, only_run()
    shown = capsys.readouterr().out

    # Both splits of the model and of its baseline are in the result and in the run.
    logged = run.data.metrics
    assert logged | result.metrics == logged
    names = {"accuracy", "macro_f1", "auc", "log_loss", "calibration_error"}
    assert set(result.metrics) == {
        f"{split}/{n}" for split in ("validation", "test") for n in names
    }
    assert set(result.intervals) == names
    assert all(low < high for low, high in result.intervals.values())
    splits, ends = ("validation", "test"), ("low", "high")
    low, high = (logged[f"test/interval/accuracy_{end}"] for end in ends)
    assert (low, high) == result.intervals["accuracy"]
    assert {name for name in logged if name.count("/") > 1} == {
        *(f"{split}/{part}/accuracy" for split in splits for part in ("baseline", "margin")),
        *(f"test/{part}/accuracy_{end}" for part in ("interval", "margin") for end in ends),
    }
    assert result.metric == "accuracy"
    assert result.baseline.name == "support vector machine"
    assert result.baseline.validation["accuracy"] == pytest.approx(0.9712, abs=5e-5)
    for split, scores in (
        ("validation", result.baseline.validation),
        ("test", result.baseline.test),
    ):
        assert logged[f"{split}/baseline/accuracy"] == scores["accuracy"] > 0.9
    assert run.info.status == "FINISHED"
    assert run.data.params["data.train"] == "1157"

    # The version is the run's, and its model lies in the run's experiment.
    version = mlflow.MlflowClient().get_model_version("digits", str(result.version.number))
    assert (result.version.name, result.version.number) == ("digits", 1)
    assert version.run_id == run.info.run_id == result.run.id
    (logged_model,) = mlflow.search_logged_models([run.info.experiment_id], output_format="list")
    assert logged_model.source_run_id == run.info.run_id
    assert float(version.tags["validation_accuracy"]) == result.metrics["validation/accuracy"]
    beaten = logged["validation/margin/accuracy"] > 0
    assert result.version.alias == ("champion" if beaten else "")

    # What is registered computes the logged metric.
    saved = tf.saved_model.load(result.version.saved_model)
    data = images.load(ImageConfig(dataset="digits", data_dir=str(digits_dir)))
    ((batch, labels),) = data.test.batch(397).as_numpy_iterator()
    outputs = saved.signatures["serving_default"](images=tf.constant(batch))
    right = outputs["classes"].numpy().astype(int) == labels
    assert right.mean() == pytest.approx(result.metrics["test/accuracy"], abs=1e-6)

    # So does the network that the run keeps, which has no optimizer.
    kept = f"runs:/{run.info.run_id}/network/model.keras"
    network = keras.models.load_model(
        mlflow.artifacts.download_artifacts(kept, dst_path=str(tmp_path))
    )
    logits = network.predict(batch / np.float32(255), verbose=0)
    assert (logits.argmax(-1) == labels).mean() == right.mean()
    assert not network.compiled

    artifacts = mlflow.artifacts.list_artifacts(f"runs:/{run.info.run_id}/figures") or ()
    assert {Path(file.path).name for file in artifacts} == {
        "confusion_matrix.png",
        "learning_curves.png",
        "reliability.png",
        "worst_mistakes.png",
    }

    number, column = r"[+-]?\d\.\d{4}", "[ │]+"
    others = f"{column}{number}{column}{number}"
    low, high = result.intervals["accuracy"]
    own = result.metrics
    for line in (
        rf"validation accuracy{column}{own['validation/accuracy']:.4f}{others}",
        rf"test accuracy{column}{own['test/accuracy']:.4f}{others}{column}{low:.4f} … {high:.4f}",
        rf"test log_loss{column}{own['test/log_loss']:.4f}{column}.*",
        re.escape(result.version.reason),
        r"baseline +support vector machine; test accuracy less its own: .* \(95 % interval\)",
        rf"run +runs:/{run.info.run_id} in {store}",
        r"registered +models:/digits/1( @champion)?",
        rf"SavedModel +{result.version.saved_model}",
        r"next +.*python -m serving deploy digits.*",
    ):
        assert re.search(rf"^[ │]*{line}[ │]*$", shown, re.MULTILINE), line
    assert leftovers(scratch) == []


def test_a_run_of_sequences_registers_a_model_with_a_lower_error(
    store, scratch, at_once, make_task
):
    """Lower is better here; there are two baselines, weights, padding, and an artifact."""
    recipe = Recipe(epochs=6, batch_size=1, optimizer=Optimizer(learning_rate=0.2))
    make_task(samples.Doubles)
    config = samples.sequence_config(recipe)
    result = pipeline.run("image_classification", config)
    run = only_run()
    assert run.info.status == "FINISHED"
    assert result.metric == "error"
    logged = run.data.metrics
    assert logged | result.metrics == logged

    # In 8 validation sequences from 1 to 8 thousands, 10 is nearer to the doubles than 0.
    assert result.baseline.name == run.data.tags["baseline"] == "always 10"
    every = json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/baselines.json"))
    assert every == {
        baseline.name: {"validation": baseline.validation, "test": baseline.test}
        for baseline in samples.Doubles(config).baselines(samples.sequences())
    }
    assert every["always 10"]["validation"]["error"] < every["always 0"]["validation"]["error"]
    assert logged["validation/baseline/error"] == every["always 10"]["validation"]["error"]

    # A margin below zero is a smaller error, and beats the baseline.
    assert logged["validation/margin/error"] < 0
    assert result.version.alias == "champion"
    assert (
        f"beats the baseline's {logged['validation/baseline/error']:.4f}" in result.version.reason
    )
    low, high = result.intervals["error"]
    assert low <= result.metrics["test/error"] <= high
    ends = [logged[f"test/margin/error_{end}"] for end in ("low", "high")]
    assert ends == list(result.margins["error"])
    assert ends[0] <= logged["test/margin/error"] <= ends[1] < 0
    assert leftovers(scratch) == []

    # What is registered takes sequences of any length.
    saved = tf.saved_model.load(result.version.saved_model)
    outputs = saved.signatures["serving_default"](numbers=tf.constant([[1000, 2000], [4000, 0]]))
    assert outputs["doubles"].shape == (2, 2, 1)
    kernel = np.load(mlflow.artifacts.download_artifacts(f"{result.run.uri}/weights/kernel.npy"))
    doubled = outputs["doubles"][0, 1, 0] - outputs["doubles"][0, 0, 0]
    assert kernel[0, 0] == pytest.approx(float(doubled), rel=1e-5)


def test_the_table_shows_the_compared_score_on_validation_and_all_of_test(monkeypatch, capsys):
    """Scores that have no interval are shown without one."""
    monkeypatch.setenv("COLUMNS", "200")
    result = Result(
        run=SimpleNamespace(uri="runs:/7", store="the store"),  # type: ignore[arg-type]
        metric="error",
        metrics={
            "validation/error": 0.25,
            "validation/f1": 0.5,
            "test/error": 0.125,
            "test/f1": 0.75,
            "test/auc": math.nan,
        },
        intervals={"error": (0.0625, 0.1875), "auc": (math.nan, math.nan)},
        margins={"error": (-0.375, -0.125)},
        baseline=samples.baseline(
            "always 10", {"error": 0.5, "f1": 0.1}, {"error": 0.375, "f1": 0.8, "auc": 0.5}
        ),
        version=Version("numbers", 3, "challenger", "challenger: the reason", "/saved"),
    )
    show(Config(architecture="gru"), result)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    rows = [re.split(r"\s*[│┃]\s*", line.strip("│┃ ")) for line in lines if line[:1] in ("│", "┃")]
    assert rows == [
        ["gru", "baseline", "margin", "95 % interval"],
        ["validation error", "0.2500", "0.5000", "-0.2500"],
        ["test error", "0.1250", "0.3750", "-0.2500", "0.0625 … 0.1875"],
        ["test f1", "0.7500", "0.8000", "-0.0500"],
        ["test auc", "nan", "0.5000", "+nan"],
    ]
    assert lines[-6:] == [
        "challenger: the reason",
        "baseline   always 10; test error less its own: -0.3750 … -0.1250 (95 % interval)",
        "run        runs:/7 in the store",
        "registered models:/numbers/3 @challenger",
        "SavedModel /saved",
        "next       python -m serving deploy numbers --version 3    # a canary beside the champion",
    ]


@pytest.mark.parametrize(
    ("alias", "compared", "lines"),
    [
        ("champion", None, ["next       python -m serving deploy numbers"]),
        (
            "champion",
            2,
            [
                "next       python -m serving deploy numbers    # a canary beside the stable one",
                "then       python -m serving promote numbers",
            ],
        ),
        (
            "challenger",
            2,
            [
                "next       python -m serving deploy numbers --version 3    # a canary beside the "
                "champion"
            ],
        ),
        (
            "",
            2,
            [
                "next       train again with other options, as the baseline is better; this serves "
                "it all the same: python -m serving deploy numbers --version 3 --force"
            ],
        ),
    ],
)
def test_the_next_step_follows_from_the_gate_s_decision(alias, compared, lines):
    assert next_steps(Version("numbers", 3, alias, "the reason", "/saved", compared)) == lines


SCORES = ("root_mean_squared_error", "root_mean_squared_error_of_all", "f1")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_name_of_a_score_is_cut_in_the_table(columns, monkeypatch):
    file = io.StringIO()
    console = Console(width=columns, file=file)
    monkeypatch.setattr(outcome, "console", console)
    table = outcome._table("tapped_delay_line")
    for name in SCORES:
        table.add_row(f"test {name}", "-123.1234", "0.5000", "+123.1234", "0.1000 … 0.2000")
    console.print(table)
    shown = file.getvalue()
    assert all(len(line) <= columns for line in shown.splitlines())
    assert "…" not in shown.replace("0.1000 … 0.2000", "")
    cells = [re.split(r"[│┃]| {2,}", line.strip(" │┃"))[0].strip() for line in shown.splitlines()]
    names = "".join(cells).replace(" ", "")
    assert all(f"test{name}" in names for name in SCORES)
    assert shown.count("-123.1234") == len(SCORES)


class Shifted(samples.Doubles):
    """A task that expects other outputs of its SavedModel than the network has."""

    def signatures(self, network, data):
        (default,) = super().signatures(network, data)
        expected = {"doubles": default.expected["doubles"] + np.float32(1e-2)}
        return [replace(default, expected=expected)]


def test_a_model_with_other_outputs_is_not_registered(store, scratch, at_once, make_task, capsys):
    make_task(Shifted)
    assert main(["image_classification", *SMALL]) == 1
    assert re.fullmatch(
        r"error: the SavedModel is not the trained model: serving_default/doubles differs "
        r"by up to 0\.01, where .* is allowed; nothing was registered\n",
        capsys.readouterr().err,
    )
    run = only_run()
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"].startswith("ValidationError: the SavedModel is not")
    assert_nothing_is_left(scratch)


def in_an_epoch(monkeypatch) -> None:
    def end(callback, epoch, logs=None):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(callbacks.Epochs, "on_epoch_end", end)


def in_the_export(monkeypatch) -> None:
    archive: Any = type(keras.export.ExportArchive())
    whole = archive.write_out

    def write_out(*arguments, **options):
        whole(*arguments, **options)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(archive, "write_out", write_out)


@pytest.mark.parametrize("where", [in_an_epoch, in_the_export], ids=lambda part: part.__name__)
def test_an_interrupted_run_is_killed_and_leaves_nothing(
    where, store, scratch, make_task, monkeypatch, capsys
):
    """`mlflow run` sends SIGTERM where a terminal sends SIGINT."""
    make_task(samples.Doubles)
    where(monkeypatch)
    assert main(["image_classification", *SMALL]) == 130
    run = only_run()
    resume = f"python -m pipelines image_classification --resume {run.info.run_id}"
    message = "interrupted: the run was closed as KILLED, nothing was registered; go on with "
    assert capsys.readouterr().err == f"{message}{resume}\n"
    assert (run.info.status, run.data.tags["failure"]) == ("KILLED", "interrupted")
    assert run.data.tags["resume"] == resume
    assert_nothing_is_left(scratch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model.padding", "odd"), "convnet: padding must be .*'odd'"),
        (("--dataset", "./scratch"), "image_classification needs .*"),
    ],
)
def test_a_user_error_within_the_run_ends_it_with_code_2(
    options, message, store, scratch, digits_dir, capsys
):
    assert main(["image_classification", "--data_dir", str(digits_dir), *SMALL, *options]) == 2
    assert re.fullmatch(rf"error: {message}.*\n", capsys.readouterr().err)
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []
    assert_nothing_is_left(scratch)


class Hopeless(samples.Doubles):
    """A task whose loss is no number."""

    def loss(self, data):
        return lambda target, outputs: outputs * float("nan")


def test_a_loss_that_is_no_number_ends_the_run_with_code_1(store, scratch, make_task, capsys):
    make_task(Hopeless)
    assert main(["image_classification", *SMALL]) == 1
    message = "the loss became nan in epoch 1; try a lower --optimizer.learning_rate than 0.02 .*"
    error = capsys.readouterr().err
    assert re.fullmatch(rf"error: {message}; nothing was registered\n", error)
    run = only_run()
    assert run.info.status == "FAILED"
    assert re.fullmatch(f"DivergenceError: {message}", run.data.tags["failure"])
    assert_nothing_is_left(scratch)


class Failing(samples.Doubles):
    def baselines(self, data):
        raise ZeroDivisionError("an error in the code")


def test_an_error_in_the_code_is_raised_as_it_is(store, scratch, make_task):
    make_task(Failing)
    with pytest.raises(ZeroDivisionError, match="an error in the code"):
        main(["image_classification", *SMALL])
    assert only_run().info.status == "FAILED"
    assert_nothing_is_left(scratch)


def test_a_student_is_compared_with_its_teacher_and_with_itself_without_a_teacher(
    store, scratch, at_once, make_task
):
    """The student that is trained without a teacher is a run within the run, and a baseline."""
    config = samples.sequence_config(Recipe(epochs=1, batch_size=8))
    own = samples.Doubles(config)
    teacher = Teacher(
        "runs:/1",
        "forecasting",
        own,
        own.network(own.load()).model,
        temperature=2.0,
        alpha=0.5,
        inherit=False,
    )
    make_task(lambda config: samples.Doubles(config, teacher))
    result = pipeline.run("image_classification", config)
    run = only_run()
    assert run.data.tags["teacher"] == "runs:/1"
    names = json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/baselines.json"))
    assert list(names) == [WITHOUT_TEACHER, "always 0", "always 10"]
    (child,) = mlflow.search_runs(experiment_names=["forecasting"], output_format="list")
    assert isinstance(child, mlflow.entities.Run)
    assert child.data.tags["mlflow.parentRunId"] == result.run.id
    assert child.info.status == "FINISHED"
    for split in ("validation", "test"):
        assert child.data.metrics[f"{split}/error"] == names[WITHOUT_TEACHER][split]["error"]
    artifacts = mlflow.artifacts.list_artifacts(f"runs:/{run.info.run_id}/figures") or ()
    assert "figures/teacher_and_student.png" in {file.path for file in artifacts}


def test_a_range_test_suggests_an_option_and_registers_nothing(workplace, capsys):
    assert main(["image_classification", *SMALL, "--find_learning_rate", "true"]) == 0
    shown = capsys.readouterr().out
    (option,) = re.findall(r"^suggested  (--optimizer.learning_rate \S+)$", shown, re.MULTILINE)
    run = only_run()
    assert run.info.status == "FINISHED"
    assert run.data.tags["range_test"] == f"suggests {option}"
    assert run.data.metrics["range_test/learning_rate"] > 0
    paths = [file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "figures")]
    assert paths == ["figures/range_test.png"]
    assert mlflow.search_registered_models() == []
