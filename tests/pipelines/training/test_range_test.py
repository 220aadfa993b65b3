"""The range test: a suggestion where it should be, and no trace on the network."""

from __future__ import annotations

import re
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import TrainingError
from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.training import range_test, trainer
from tests.pipelines import samples

RATES = np.geomspace(1e-6, 10, 140)


def losses(falls: float, grows: float) -> np.ndarray:
    """A loss that falls from 2 to 1 around one rate, and grows from another on."""
    return 1 + 1 / (1 + RATES / falls) + (RATES / grows) ** 2


@settings(max_examples=30)
@given(st.floats(1e-4, 1e-2), st.floats(10, 100))
def test_the_suggestion_lies_where_the_loss_has_fallen_and_does_not_grow(falls, ratio):
    test = range_test.suggested(RATES, losses(falls, falls * ratio))
    assert 0.1 * falls < test.suggestion < falls * ratio
    assert test.suggestion <= 1.001 * 0.1 * test.rates[test.smoothed.argmin()]
    assert test.option == f"--optimizer.learning_rate {test.suggestion:.1e}"


def test_where_a_loss_never_grows_the_steepest_fall_counts():
    test = range_test.suggested(RATES, losses(1e-3, 1e9))
    assert test.smoothed.argmin() == len(RATES) - 1
    assert 1e-4 < test.suggestion < 1e-2


def test_losses_are_smoothed_without_a_bias_to_zero():
    np.testing.assert_allclose(range_test.smooth(np.full(5, 3.0)), np.full(5, 3.0))
    expected = (0.9 * 0.1 * 4 + 0.1 * 2) / (1 - 0.9**2)
    assert range_test.smooth(np.array([4.0, 2.0]))[1] == pytest.approx(expected)


def test_values_from_the_first_that_is_no_number_on_do_not_count():
    broken = losses(1e-3, 1e-2)
    broken[100:] = np.nan
    assert len(range_test.suggested(RATES, broken).losses) == 100


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full(140, np.nan), "no number from the start"),
        (1 + RATES, "falls at no learning rate between 1e-06 and 1e+01"),
    ],
)
def test_without_a_fall_there_is_no_suggestion(values, message):
    with pytest.raises(TrainingError, match=re.escape(message)):
        range_test.suggested(RATES, values)


def test_a_network_is_afterwards_as_it_was():
    recipe = Recipe(
        epochs=2, batch_size=10, steps_per_execution=5, optimizer=Optimizer(learning_rate=0.02)
    )
    task, data = ImageClassification(samples.config(recipe, dropout=0.1)), samples.striped()
    network = trainer.build(task, data)
    model = network.model
    before, rate = [v.numpy() for v in model.variables], model.optimizer._learning_rate
    test = range_test.find(task, network, data)
    assert 1e-4 < test.suggestion < 1
    assert test.rates[0] == pytest.approx(range_test.LOWEST)
    assert (np.diff(np.log(test.rates)) > 0).all()
    assert test.losses[0] > test.smoothed.min()
    assert test.metrics()[0]["range_test/loss"] == test.losses[0]
    assert test.figure().axes[0].get_xscale() == "log"
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert int(model.optimizer.iterations) == 0
    assert model.optimizer._learning_rate is rate
    assert model.steps_per_execution == 5


def test_the_loss_at_a_rate_is_that_of_its_batch_alone(monkeypatch):
    """At rates that change nothing, each loss is that of the untrained network."""
    monkeypatch.setattr(range_test, "LOWEST", 1e-12)
    monkeypatch.setattr(range_test, "HIGHEST", 1e-11)
    monkeypatch.setattr(range_test, "_UPDATES", 12)
    found: list[np.ndarray] = []
    monkeypatch.setattr(range_test, "suggested", lambda rates, losses: found.append(losses))
    config = samples.config(Recipe(batch_size=50), dropout=0.0, stage_dropout=0.0)
    task, data = ImageClassification(replace(config, split_seed=1)), samples.striped()
    network = trainer.build(task, data)
    range_test.find(task, network, data)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ((images, labels),) = data.train.batch(50)
    expected = loss(labels, network.model(task.preprocess(images), training=True))
    np.testing.assert_allclose(found[0], float(expected), rtol=1e-3)
