"""The value that tells which epoch is best: its name, its direction, and early stopping by it."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from pipelines.errors import UserError
from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.testing import MemoryLog
from pipelines.training import trainer
from pipelines.training.monitor import Monitor, kept_epoch, monitor
from tests.pipelines import samples


class Several(samples.Doubles):
    """A task with two outputs, as training logs them."""

    def loss(self, data: Any) -> Any:
        return {"masked_lm": keras.losses.MeanSquaredError(), "other": keras.losses.Hinge()}

    def metrics(self, data: Any) -> Any:
        own = keras.metrics.AUC(name="area")
        return {"masked_lm": [keras.metrics.Mean(name="accuracy")], "other": [own]}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 4),
        ({"keep": "best"}, 2),
        ({"patience": 1}, 2),
        ({"patience": 1, "keep": "last"}, 4),
        ({"patience": 1, "monitor": "accuracy"}, 3),
    ],
)
def test_the_kept_epoch_is_the_best_or_the_last(options, expected):
    task = ImageClassification(samples.config(recipe=Recipe(**options)))
    history = {"val_loss": [3.0, 1.0, float("nan"), 2.0], "val_accuracy": [0.1, 0.2, 0.5, 0.5]}
    data: Any = None
    assert kept_epoch(task, data, history) == expected


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("", Monitor("val_loss", False)),
        ("loss", Monitor("val_loss", False)),
        ("other_loss", Monitor("val_other_loss", False)),
        ("masked_lm_accuracy", Monitor("val_masked_lm_accuracy", True)),
        ("val_other_area", Monitor("val_other_area", True)),
    ],
)
def test_any_value_that_training_logs_can_be_chosen_and_has_a_direction(chosen, expected):
    own = Several(samples.sequence_config(Recipe(monitor=chosen)))
    assert monitor(own, own.load()) == expected


def test_an_unknown_value_is_one_sentence_with_those_that_there_are():
    own = Several(samples.sequence_config(Recipe(monitor="other_lass")))
    message = (
        "--monitor must be one of loss, masked_lm_loss, other_loss, masked_lm_accuracy, "
        "other_area, not 'other_lass'; the nearest is other_loss"
    )
    with pytest.raises(UserError, match=f"^{message}$"):
        trainer.build(own, own.load())


def test_training_keeps_the_weights_of_the_epoch_with_the_best_metric():
    recipe = Recipe(
        epochs=8, batch_size=10, patience=2, monitor="accuracy", optimizer=Optimizer(0.03)
    )
    own, data = ImageClassification(samples.config(recipe)), samples.striped()
    log: Any = MemoryLog()
    network = trainer.fit(own, trainer.build(own, data), data, log)
    best = max(values["val_accuracy"] for values in log.epochs.values())
    batch = next(iter(data.validation.batch(20)))
    outputs = network.model(own.preprocess(batch[0]), training=False)
    kept = keras.metrics.SparseCategoricalAccuracy()
    kept.update_state(batch[1], outputs)
    assert float(kept.result()) == pytest.approx(best)
