"""Diagnosis: patterns are recognized in networks made to have them, and in no sound training."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipelines.errors import DivergenceError
from pipelines.recipe import Optimizer, Recipe
from pipelines.task import Network
from pipelines.tasks.image_classification.data import LabeledImages
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.testing import MemoryLog
from pipelines.training import diagnosis, trainer
from pipelines.training.checkpoints import Checkpoints
from tests.pipelines import samples
from tests.pipelines.training.test_saving import At, preempt, spoil

RECIPE = Recipe(epochs=3, batch_size=10, optimizer=Optimizer(learning_rate=0.01))


class Made(ImageClassification):
    """Classification of stripes by layers that the test has made."""

    made: Callable[[], list[keras.layers.Layer]]
    hyperparameters: dict[str, Any]

    def network(self, data: LabeledImages) -> Network:
        layers = [
            keras.Input(data.image_shape, name="images"),
            keras.layers.Flatten(),
            *self.made(),
        ]
        model = keras.Sequential([*layers, keras.layers.Dense(3, dtype="float32", name="logits")])
        return Network(model, hyperparameters=self.hyperparameters)


def diagnosed(
    made: Callable[[], list[keras.layers.Layer]] | None = None,
    recipe: Recipe = RECIPE,
    every: bool | int = 2,
    folder: Path | None = None,
    watchers: Sequence[keras.callbacks.Callback] = (),
    log: MemoryLog | None = None,
    **hyperparameters: Any,
) -> MemoryLog:
    """Trains a network, by default the small convnet, and returns what was logged.

    Checkpoints are in `folder`, if it is given.
    """
    config = replace(samples.config(recipe), diagnose=every)
    task = ImageClassification(config)
    if made:
        task = Made(config)
        task.made, task.hyperparameters = made, hyperparameters
    data, log = samples.striped(), log or MemoryLog()
    checkpoints = Checkpoints(folder) if folder else None
    trainer.fit(task, trainer.build(task, data), data, log, checkpoints, watchers=watchers)
    return log


@pytest.fixture(scope="module")
def sound() -> MemoryLog:
    return diagnosed()


def test_a_sound_training_has_no_findings(sound):
    assert sound.patterns == []
    assert "No pattern" in sound.files["diagnosis.md"]


def test_each_probe_is_logged_at_its_step(sound):
    assert list(sound.values) == list(range(0, 15, 2))
    for step, values in sound.values.items():
        assert values["diagnosis/gradient_norm"] > 0
        # The learning rate rises from 0.
        assert (values["diagnosis/logits/update_ratio"] > 0) == (step > 0)
        layers = {name.split("/")[1] for name in values if name.endswith("/deviation")}
        assert layers == {"conv1_1_relu", "logits"}


def test_the_table_has_the_values_of_the_metrics(sound):
    rows = list(csv.DictReader(io.StringIO(sound.files["values.csv"])))
    for row in rows:
        logged = sound.values[int(row["step"])][f"diagnosis/{row['layer']}/{row['value']}"]
        assert float(row["number"]) == pytest.approx(logged, rel=1e-4)
    assert len({row["value"] for row in rows}) == 7


def test_figures_show_layers_over_time(sound):
    assert list(sound.figures) == ["diagnosis_weights", "diagnosis_activations"]
    maps = sound.figures["diagnosis_weights"].axes
    assert [axes.get_title("left") for axes in maps[:3]] == [
        *("gradient norm", "weight norm", "update / weight"),
    ]
    assert maps[0].images[0].get_array().shape == (2, 8)


def dead() -> list[keras.layers.Layer]:
    bias = keras.initializers.Constant(-100.0)
    return [keras.layers.Dense(8, "relu", bias_initializer=bias, name="hidden")]


def saturated() -> list[keras.layers.Layer]:
    huge = keras.initializers.RandomNormal(stddev=50.0)
    return [keras.layers.Dense(8, "tanh", kernel_initializer=huge, name="hidden")]


def deep_sigmoids() -> list[keras.layers.Layer]:
    return [keras.layers.Dense(8, "sigmoid", name=f"dense{number}") for number in range(1, 10)]


def exploding() -> list[keras.layers.Layer]:
    large = keras.initializers.RandomNormal(stddev=8.0)
    return [
        keras.layers.Dense(16, kernel_initializer=large, name=f"dense{number}")
        for number in range(1, 6)
    ]


@pytest.mark.parametrize(
    ("made", "hyperparameters", "pattern", "where", "cure"),
    [
        (
            dead,
            {"normalize": False},
            "dead units",
            "100% of the units of hidden",
            "--model.normalize",
        ),
        pytest.param(
            saturated,
            {},
            "saturated units",
            "outputs of hidden",
            "--optimizer.learning_rate 0.001",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            deep_sigmoids,
            {"activation": "sigmoid"},
            "vanishing gradients",
            "first layers, as dense1",
            "--model.activation relu",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            exploding,
            {},
            "exploding gradients",
            "",
            "--optimizer.clip_norm 1",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_network_that_is_made_to_fail_is_recognized(
    made, hyperparameters, pattern, where, cure, capsys, monkeypatch
):
    recipe = replace(RECIPE, optimizer=Optimizer(learning_rate=0.01, warmup=0.0))
    log = diagnosed(made, recipe, **hyperparameters)
    assert pattern in log.patterns
    report = log.files["diagnosis.md"]
    assert f"- **{pattern}**: " in report
    assert where in report
    assert f"- `{cure}" in report
    assert f"warning: {pattern}: " in capsys.readouterr().out


def test_a_diagnosed_run_trains_as_one_without(sound):
    without = diagnosed(every=False)
    assert without.values == {}
    assert without.figures == {}
    assert sound.curves == without.curves


@pytest.mark.parametrize(
    ("chosen", "steps", "expected"),
    [(False, 1000, 0), (0, 1000, 0), (7, 1000, 7), (True, 1000, 50), (True, 100_000, 500)],
)
def test_the_interval_is_the_chosen_one_or_keeps_a_run_to_200_probes(chosen, steps, expected):
    assert diagnosis.interval(chosen, steps) == expected


def test_the_updates_of_accumulated_gradients_are_those_that_are_made():
    """Every other probe falls on a step that only adds to the gradient."""
    accumulating = {"gradient_accumulation_steps": 4}
    config = replace(samples.config(RECIPE), diagnose=2)
    task, data, log = ImageClassification(config), samples.striped(), MemoryLog()
    network = trainer.build(task, data)
    network.model.optimizer = keras.optimizers.Adam(0.01, **accumulating)
    trainer.fit(task, network, data, log)
    *complete, _ = log.values.values()
    ratios = [values["diagnosis/logits/update_ratio"] for values in complete]
    assert len(ratios) >= 3
    assert np.min(ratios) > 0


def test_a_resumed_training_has_the_values_and_findings_of_all_of_it(tmp_path, capsys):
    whole = diagnosed(dead)
    capsys.readouterr()
    with pytest.raises(KeyboardInterrupt):
        diagnosed(dead, folder=tmp_path, watchers=[At(2, 1, preempt)])
    assert "warning: dead units" in capsys.readouterr().out
    resumed = diagnosed(dead, folder=tmp_path)
    assert resumed.files == whole.files
    assert resumed.patterns == whole.patterns
    assert "warning: dead units" not in capsys.readouterr().out
    values = resumed.figures["diagnosis_weights"].axes[0].images[0].get_array()
    assert values is not None
    assert values.shape == (2, 8)


def test_a_training_that_diverges_is_diagnosed_before_it_ends():
    log = MemoryLog()
    with pytest.raises(DivergenceError):
        diagnosed(watchers=[At(1, 1, spoil)], log=log)
    assert log.patterns == ["exploding gradients"]
    assert "the gradient is no number at step" in log.files["diagnosis.md"]
    assert "diagnosis_weights" in log.figures


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_sound_trainings_of_other_networks_have_no_findings(seed):
    log = diagnosed(dense, replace(RECIPE, epochs=6, seed=seed), every=3)
    assert log.curves["loss"][-1] < 0.5 * log.curves["loss"][0]
    assert log.patterns == []


def dense() -> list[keras.layers.Layer]:
    return [keras.layers.Dense(16, "relu", name=f"dense{number}") for number in range(1, 5)]
