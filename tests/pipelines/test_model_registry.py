"""The model registry: aliases by the gate, and registered versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE, UNAUTHENTICATED

from pipelines import model_registry
from pipelines.gate import gate
from pipelines.task import Task
from pipelines.tasks.image_classification.task import ImageClassification
from tests.pipelines import samples

GATE = [
    # value, baseline, champion, same data, alias, reason
    (0.9, 0.8, None, False, "champion", "0.9000 beats the baseline's 0.8000, and there was no cha"),
    (0.8, 0.8, None, False, "", "no alias: validation accuracy 0.8000 does not beat the baseli"),
    (0.7, 0.8, 0.6, True, "", "does not beat the baseline's 0.8000"),
    (0.716649615, 0.8, 0.6, True, "", "accuracy 0.7166 does not beat"),  # As in the table.
    (0.9, 0.8, 0.85, True, "champion", "0.8000 and the 0.8500 of champion version 4"),
    (0.9, 0.8, 0.9, True, "challenger", "and ties with the 0.9000 of champion version 4"),
    (0.9, 0.8, 0.95, True, "challenger", "but not the 0.9500 of champion version 4"),
    (0.9, 0.8, 0.5, False, "challenger", "champion version 4 was measured on other data"),
    (float("nan"), 0.8, None, False, "", "does not beat"),
    (float("nan"), 0.8, 0.5, True, "", "does not beat"),
]


@pytest.mark.parametrize(("value", "baseline", "champion", "same", "alias", "reason"), GATE)
def test_the_gate_decides_by_baseline_and_champion(value, baseline, champion, same, alias, reason):
    version = None if champion is None else 4
    decided, sentence = gate(
        "accuracy",
        value,
        baseline,
        champion_value=champion,
        champion_version=version,
        same_data=same,
    )
    assert decided == alias
    assert reason in sentence
    assert sentence.startswith(f"{alias or 'no alias'}: ")


TIES = [
    # value, champion, interval of the difference, greater is better, alias, reason
    (0.92, 0.9, (0.01, 0.03), True, "champion", "0.8000 and the 0.9000 of champion version 4 (dif"),
    (0.92, 0.9, (-0.01, 0.05), True, "challenger", "and ties with the 0.9000 of champion version"),
    (0.92, 0.9, (0.0, 0.05), True, "challenger", "and ties with"),
    (0.9, 0.9 + 4e-7, (-0.01, 0.02), True, "challenger", "(difference +0.0000, 95"),
    (0.88, 0.9, (-0.05, 0.01), True, "challenger", "and ties with"),
    (0.88, 0.9, (-0.03, -0.01), True, "challenger", "but not the 0.9000"),
    (0.9, 0.9, (4e-8, 4e-7), True, "challenger", "and ties with"),  # Noise of float32.
    (0.92, 0.9, (-0.03, -0.01), True, "challenger", "and ties with"),  # They contradict each other.
    (0.5, 0.6, (-0.2, -0.05), False, "champion", "0.8000 and the 0.6000 of champion version 4 (d"),
    (0.5, 0.6, (-0.2, 0.05), False, "challenger", "and ties with the 0.6000"),
    (0.7, 0.6, (0.05, 0.2), False, "challenger", "but not the 0.6000"),
]


@pytest.mark.parametrize(("value", "champion", "interval", "greater", "alias", "reason"), TIES)
def test_a_tie_does_not_replace_the_champion(value, champion, interval, greater, alias, reason):
    decided, sentence = gate(
        "score",
        value,
        0.8,
        champion_value=champion,
        champion_version=4,
        same_data=True,
        difference=interval,
        greater_is_better=greater,
    )
    assert decided == alias
    assert reason in sentence


SCORES = st.integers(0, 1000).map(lambda n: n / 1000)


@given(SCORES, SCORES, SCORES | st.none(), st.booleans(), st.booleans())
def test_no_champion_is_below_its_baseline_or_its_predecessor(
    value, baseline, champion, same, greater
):
    alias, _ = gate(
        "accuracy",
        value,
        baseline,
        champion_value=champion,
        champion_version=None if champion is None else 1,
        same_data=same,
        greater_is_better=greater,
    )
    beats = value > baseline if greater else value < baseline
    assert (alias == "") == (not beats)
    better = champion is not None and (value > champion if greater else value < champion)
    allowed = beats and (champion is None or (same and better))
    assert (alias == "champion") == allowed


@given(SCORES, SCORES, SCORES | st.none(), st.booleans())
def test_an_error_is_compared_as_its_negative_would_be_as_a_score(value, baseline, champion, same):
    known: Any = {"champion_version": None if champion is None else 1, "same_data": same}
    lower, _ = gate(
        "error", value, baseline, champion_value=champion, greater_is_better=False, **known
    )
    mirrored = None if champion is None else -champion
    higher, _ = gate("score", -value, -baseline, champion_value=mirrored, **known)
    assert lower == higher


def test_the_reason_gives_errors_with_their_sign():
    known: Any = {"champion_version": 4, "same_data": True, "greater_is_better": False}
    alias, reason = gate("error", 0.2, 0.5, champion_value=0.3, **known)
    assert alias == "champion"
    assert reason == (
        "champion: validation error 0.2000 beats the baseline's 0.5000 and the 0.3000 of champion "
        "version 4"
    )
    tied = gate("error", 0.2, 0.5, champion_value=0.21, difference=(-0.03, 0.01), **known)
    assert tied == (
        "challenger",
        "challenger: validation error 0.2000 beats the baseline's 0.5000 and ties with the 0.2100 "
        "of champion version 4 (difference -0.0100, 95 % interval -0.0300 … +0.0100)",
    )
    alias, reason = gate("error", 0.6, 0.5, champion_value=0.7, **known)
    assert (alias, reason) == (
        "",
        "no alias: validation error 0.6000 does not beat the baseline's 0.5000",
    )
    assert gate("error", float("nan"), 0.5, champion_value=0.7, **known)[0] == ""


CLASSIFIER = ImageClassification(samples.config())
DOUBLES = samples.Doubles(samples.sequence_config())


def register(
    saved_model: Path,
    value: float,
    digest: str = "abc",
    baseline: float = 0.5,
    task: Task = CLASSIFIER,
    resampled: Sequence[float] = (),
    deviation: float | None = None,
    seeds: int = 1,
    run_id: str | None = None,
):
    metric = task.metric
    with mlflow.start_run(run_id):
        return model_registry.register(
            saved_model,
            "linear",
            task,
            {f"validation/{metric}": value, f"test/{metric}": 0.1},
            baseline,
            digest,
            resampled=resampled,
            deviation=deviation,
            seeds=seeds,
        )


def test_a_run_that_died_before_its_alias_was_set_registers_no_second_version(
    store, linear_model, monkeypatch
):
    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "set_registered_model_alias", die)
        with pytest.raises(KeyboardInterrupt):
            register(linear_model, 0.7)
    assert aliases() == {}
    died = mlflow.MlflowClient().get_model_version("linear", "1")
    again = register(linear_model, 0.7, run_id=died.run_id)
    assert (again.number, again.alias) == (1, "champion")
    assert again.reason == "champion: " + died.tags["gate.reason"]
    assert Path(again.saved_model, "saved_model.pb").exists()
    assert aliases() == {"champion": 1}
    assert len(mlflow.MlflowClient().search_model_versions("name = 'linear'")) == 1

    # A later version keeps the alias that it has taken meanwhile.
    assert register(linear_model, 0.8).number == 2
    register(linear_model, 0.7, run_id=died.run_id)
    assert aliases() == {"champion": 2}


def test_a_version_that_another_run_registered_meanwhile_is_compared_with(
    store, linear_model, monkeypatch
):
    """Two runs at once: neither finds the model, and each would make its own version champion."""
    create = mlflow.MlflowClient.create_model_version

    def after_another(client, name, **options):
        monkeypatch.setattr(mlflow.MlflowClient, "create_model_version", create)
        mlflow.end_run()
        register(linear_model, 0.8)
        return create(client, name, **options)

    monkeypatch.setattr(mlflow.MlflowClient, "create_model_version", after_another)
    worse = register(linear_model, 0.7)
    assert (worse.number, worse.alias, worse.compared) == (2, "challenger", 1)
    assert aliases() == {"champion": 1, "challenger": 2}
    tags = mlflow.MlflowClient().get_model_version("linear", "2").tags
    assert tags["gate"] == "challenger"
    assert "0.8000 of champion version 1" in tags["gate.reason"]


def test_a_model_that_another_run_creates_meanwhile_is_no_error(store, linear_model, monkeypatch):
    mlflow.MlflowClient().create_registered_model("linear")
    monkeypatch.setattr(mlflow.MlflowClient, "search_registered_models", lambda *_: [])
    assert register(linear_model, 0.7).alias == "champion"


@pytest.mark.parametrize("code", [TEMPORARILY_UNAVAILABLE, UNAUTHENTICATED])
def test_a_server_that_fails_is_not_taken_for_one_without_a_champion(
    store, linear_model, monkeypatch, code
):
    register(linear_model, 0.8)

    def failing(*_):
        raise mlflow.MlflowException("wait", error_code=code)

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "get_model_version_by_alias", failing)
        with pytest.raises(mlflow.MlflowException, match="wait"):
            register(linear_model, 0.7)
    assert aliases() == {"champion": 1}


def aliases() -> dict[str, int]:
    found = mlflow.MlflowClient().get_registered_model("linear").aliases
    return {alias: int(version) for alias, version in found.items()}


def test_versions_get_their_aliases_in_turn(store, linear_model):
    first = register(linear_model, 0.7)
    assert (first.name, first.number, first.alias) == ("linear", 1, "champion")
    assert aliases() == {"champion": 1}

    assert register(linear_model, 0.8).alias == "champion"
    assert aliases() == {"champion": 2}

    worse = register(linear_model, 0.75)
    assert (worse.number, worse.alias) == (3, "challenger")
    assert "0.8000 of champion version 2" in worse.reason
    assert aliases() == {"champion": 2, "challenger": 3}

    assert register(linear_model, 0.99, digest="other").alias == "challenger"
    assert aliases() == {"champion": 2, "challenger": 4}

    assert register(linear_model, 0.4).alias == ""
    assert aliases() == {"champion": 2, "challenger": 4}

    version = mlflow.MlflowClient().get_model_version("linear", "4")
    assert float(version.tags["validation_accuracy"]) == 0.99
    assert version.tags["data.digest"] == "other"
    assert version.tags["gate"] == "challenger"
    assert "champion version 2 was measured on other data" in version.tags["gate.reason"]
    refused = mlflow.MlflowClient().get_model_version("linear", "5")
    assert refused.tags["gate"] == "refused"


def test_the_champion_s_resamples_decide_about_a_tie(store, linear_model, monkeypatch):
    first = register(linear_model, 0.7, resampled=[0.6, 0.7, 0.8])
    assert (first.alias, first.compared) == ("champion", None)
    tie = register(linear_model, 0.71, resampled=[0.63, 0.69, 0.82])
    assert (tie.alias, tie.compared) == ("challenger", 1)
    assert "ties with the 0.7000 of champion version 1 (difference +0.0100" in tie.reason
    assert aliases() == {"champion": 1, "challenger": 2}
    better = register(linear_model, 0.71, resampled=[0.61, 0.71, 0.81])
    assert (better.alias, better.compared) == ("champion", 1)
    assert "(difference +0.0100, 95 % interval +0.0100 … +0.0100)" in better.reason

    def lost(uri: str) -> dict:
        raise OSError("no such artifact")

    monkeypatch.setattr(mlflow.artifacts, "load_dict", lost)
    assert register(linear_model, 0.72, resampled=[0.5, 0.6, 0.7]).alias == "champion"


def test_means_of_seeds_and_single_values_are_compared(store, linear_model):
    """A version keeps the mean, by which later ones are judged, with its deviation."""
    assert register(linear_model, 0.7, resampled=[0.6, 0.7, 0.8]).alias == "champion"
    mean = register(linear_model, 0.75, resampled=[0.65, 0.75, 0.85], deviation=0.02, seeds=3)
    assert mean.alias == "champion"
    assert mean.reason.startswith(
        "champion: validation accuracy 0.7500 ± 0.0200 (mean of 3 seeds) beats the baseline's "
        "0.5000 and the 0.7000 of champion version 1"
    )
    tags = mlflow.MlflowClient().get_model_version("linear", "2").tags
    assert float(tags["validation_accuracy"]) == 0.75
    assert float(tags["validation_accuracy_deviation"]) == 0.02
    assert tags["seeds"] == "3"
    single = register(linear_model, 0.76, resampled=[0.64, 0.77, 0.86])
    assert single.alias == "challenger"
    assert "ties with the 0.7500 of champion version 2" in single.reason
    assert "seeds" not in mlflow.MlflowClient().get_model_version("linear", "3").tags


def test_where_less_is_better_the_champion_has_the_lowest_error(store, linear_model):
    task = DOUBLES
    assert register(linear_model, 0.4, task=task).alias == "champion"
    assert register(linear_model, 0.3, task=task).alias == "champion"
    worse = register(linear_model, 0.35, task=task)
    assert worse.alias == "challenger"
    assert "but not the 0.3000 of champion version 2" in worse.reason
    assert register(linear_model, 0.6, task=task).alias == ""
    assert aliases() == {"champion": 2, "challenger": 3}
    version = mlflow.MlflowClient().get_model_version("linear", "2")
    assert float(version.tags["validation_error"]) == 0.3


def test_a_registered_version_is_the_saved_model_as_it_was(store, linear_model):
    version = register(linear_model, 0.7)
    location = Path(version.saved_model)

    def files(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    assert files(location) == files(linear_model)
    assert {"variables/variables.index", "assets.extra/tf_serving_warmup_requests"} <= set(
        files(location)
    )
    # The registry names the same files, and the run that made them.
    client = mlflow.MlflowClient()
    champion = client.get_model_version_by_alias("linear", "champion")
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert isinstance(run, mlflow.entities.Run)
    assert champion.run_id == run.info.run_id
    downloaded = mlflow.artifacts.download_artifacts("models:/linear@champion")
    assert files(Path(downloaded, "saved_model")) == files(linear_model)


def test_mlflow_itself_loads_a_registered_version_and_predicts(store, linear_model, caplog):
    register(linear_model, 0.7)
    loaded = mlflow.pyfunc.load_model("models:/linear@champion")
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
    x = np.random.default_rng(3).normal(size=(4, 3)).astype("float32")
    outputs = loaded.predict({"x": x})
    assert set(outputs) == {"y", "larger"}
    np.testing.assert_allclose(
        outputs["y"], x @ samples.WEIGHTS + samples.BIAS, rtol=1e-5, atol=1e-6
    )


def test_the_signature_that_mlflow_shows_is_the_saved_models(store, linear_model):
    register(linear_model, 0.7)
    signature = mlflow.models.get_model_info("models:/linear@champion").signature
    default = tf.saved_model.load(linear_model).signatures["serving_default"]

    def shown(schema) -> dict[str, tuple]:
        return {
            tensor.name: (np.dtype(tensor.type).kind, tuple(tensor.shape))
            for tensor in schema.inputs
        }

    def own(specs) -> dict[str, tuple]:
        return {
            name: (
                "U" if spec.dtype == tf.string else spec.dtype.as_numpy_dtype().dtype.kind,
                tuple(-1 if size is None else size for size in spec.shape),
            )
            for name, spec in specs.items()
        }

    assert signature is not None
    assert shown(signature.inputs) == own(default.structured_input_signature[1])
    assert shown(signature.outputs) == own(default.structured_outputs)


def test_an_error_while_logging_leaves_no_version(store, linear_model, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no space left")

    monkeypatch.setattr(model_registry.shutil, "copytree", fail)
    with pytest.raises(OSError, match="no space left"):
        register(linear_model, 0.7)
    assert mlflow.MlflowClient().search_model_versions("name = 'linear'") == []
