"""The model registry: aliases by the gate, and registered versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipelines import model_registry
from pipelines.baselines import Baseline
from pipelines.model_registry import gate
from pipelines.predictions import Predictions
from pipelines.task import Task
from pipelines.tasks.image_classification.task import ImageClassification
from tests.pipelines import samples

GATE = [
    # value, baseline, champion, same data, alias, reason
    (0.9, 0.8, None, False, "champion", "0.9000 beats the baseline's 0.8000, and there was no cha"),
    (0.8, 0.8, None, False, "", "no alias: validation accuracy 0.8000 does not beat the baseli"),
    (0.7, 0.8, 0.6, True, "", "does not beat the baseline's 0.8000"),
    (0.9, 0.8, 0.85, True, "champion", "is no worse than the 0.8500 of champion version 4"),
    (0.9, 0.8, 0.9, True, "champion", "is no worse than the 0.9000 of champion version 4"),
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
    keeps = champion is not None and (value >= champion if greater else value <= champion)
    allowed = beats and (champion is None or (same and keeps))
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
        "champion: validation error 0.2000 beats the baseline's 0.5000 and is no worse than the "
        "0.3000 of champion version 4"
    )
    alias, reason = gate("error", 0.6, 0.5, champion_value=0.7, **known)
    assert (alias, reason) == (
        "",
        "no alias: validation error 0.6000 does not beat the baseline's 0.5000",
    )
    assert gate("error", float("nan"), 0.5, champion_value=0.7, **known)[0] == ""


CLASSIFIER = ImageClassification(samples.config())
DOUBLES = samples.Doubles(samples.sequence_config())
NO_PREDICTIONS = Predictions({}, {})


def register(
    saved_model: Path,
    value: float,
    digest: str = "abc",
    baseline: float = 0.5,
    task: Task = CLASSIFIER,
):
    metric = task.metric
    with mlflow.start_run():
        return model_registry.register(
            saved_model,
            "linear",
            task,
            {f"validation_{metric}": value, f"test_{metric}": 0.1},
            Baseline("random", {metric: baseline}, {metric: 0.9}, NO_PREDICTIONS),
            digest,
        )


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


def test_mlflow_itself_loads_a_registered_version_and_predicts(store, linear_model):
    register(linear_model, 0.7)
    loaded = mlflow.pyfunc.load_model("models:/linear@champion")
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
