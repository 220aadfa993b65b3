"""The command: variants are judged on test, and registered or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mlflow
import pytest

from pipelines.__main__ import main
from pipelines.export import measurement
from pipelines.export.signature import Signature
from pipelines.task import Network
from pipelines.tasks.image_classification.data import LabeledImages
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.variants import export, variant
from tests.pipelines import samples
from tests.pipelines.test_run import SMALL


class Striped(ImageClassification):
    """Striped images, whatever the data set's name is, and one signature."""

    digest = "0123456789ab"

    def load(self) -> LabeledImages:
        return replace(samples.striped(), digest=self.digest)

    def signatures(self, network: Network, data: LabeledImages) -> list[Signature]:
        return super().signatures(network, data)[:1]


@pytest.fixture
def in_process(at_once, make_task, monkeypatch) -> None:
    make_task(Striped)
    monkeypatch.setattr(export, "measure", measurement.measured)
    monkeypatch.setattr(measurement, "_REQUESTS", 2)


def children(run_id: str | None) -> dict[str, mlflow.entities.Run]:
    """The runs of variants by name."""
    found = mlflow.search_runs(
        experiment_names=["image_classification"],
        filter_string=f"tags.`mlflow.parentRunId` = '{run_id}'",
        output_format="list",
    )
    return {run.data.params["variant"]: run for run in found}


def test_an_interrupted_export_says_what_it_has_registered(store, in_process, monkeypatch, capsys):
    assert main(["image_classification", "--dataset", "digits", "--figures", "false", *SMALL]) == 0
    (version,) = mlflow.MlflowClient().search_model_versions()

    def interrupt(build: Any, weights: Any) -> variant.Variant:
        raise KeyboardInterrupt

    monkeypatch.setitem(export.VARIANTS, "int8", interrupt)
    capsys.readouterr()
    arguments = ["export", str(version.run_id), "--variants", "frozen", "int8"]
    assert main([*arguments, "--max_loss", "1"]) == 130
    assert capsys.readouterr().err == "interrupted: of the variants, registered before: frozen\n"
    assert len(mlflow.MlflowClient().search_model_versions()) == 2


def test_variants_are_registered_or_refused(store, in_process, monkeypatch, capsys):
    assert main(["image_classification", "--dataset", "digits", "--figures", "false", *SMALL]) == 0
    (version,) = mlflow.MlflowClient().search_model_versions()

    def worse(build: Any, weights: Any) -> variant.Variant:
        return variant.frozen(build, [0 * each for each in weights])

    monkeypatch.setitem(export.VARIANTS, "bfloat16", worse)
    monkeypatch.setenv("COLUMNS", "100")
    capsys.readouterr()
    command = ["export", f"models:/{version.name}/1", "--variants", "int8", "bfloat16", "int8"]
    assert main([*command, "--max_loss", "0.2"]) == 1
    shown = capsys.readouterr().out

    runs = children(version.run_id)
    (parent,) = mlflow.search_runs(
        experiment_names=["image_classification"],
        filter_string="tags.baseline != ''",
        output_format="list",
    )
    assert parent.info.run_id == version.run_id
    assert {name: run.info.status for name, run in runs.items()} == {
        "int8": "FINISHED",
        "bfloat16": "FAILED",
    }
    kept = runs["int8"].data.metrics
    gap = kept["test/accuracy"] - parent.data.metrics["test/accuracy"]
    assert kept["test/difference/accuracy"] == pytest.approx(gap)
    low, high = (kept[f"test/difference/accuracy_{end}"] for end in ("low", "high"))
    assert low <= gap <= high
    assert min(kept[name] for name in ("megabytes", "load_seconds", "milliseconds")) > 0

    # It is a further version of the same model, and the gate has judged it.
    second = mlflow.MlflowClient().get_model_version(version.name, "2")
    assert (second.run_id, second.tags["variant"]) == (runs["int8"].info.run_id, "int8")
    assert float(second.tags["validation_accuracy"]) == kept["validation/accuracy"]
    assert "gate" in second.tags
    assert f"python -m serving deploy {version.name} --version 2" in shown

    assert "by more than --max_loss 0.2 of it" in runs["bfloat16"].data.tags["failure"]
    assert "bfloat16   refused: test accuracy" in shown
    assert len(mlflow.MlflowClient().search_model_versions()) == 2

    # What is no longer there, or has changed, is one sentence.
    monkeypatch.setattr(Striped, "digest", "other")
    assert main([*command]) == 2
    assert "has changed since run" in capsys.readouterr().err
    assert main(["export", runs["bfloat16"].info.run_id, "--variants", "int8"]) == 2
    assert "has not trained a network to its end" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["RUN", "--variants", "int8", "--max_loss", "2"], "--max_loss must be between 0 and 1"),
        (["RUN", "--variants", "int4"], "invalid choice: 'int4'"),
        (["RUN"], "required: --variants"),
        (["no_run", "--variants", "xla"], "there is no run 'no_run'"),
    ],
)
def test_wrong_options_are_one_sentence(options, message, store, capsys):
    assert main(["export", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
