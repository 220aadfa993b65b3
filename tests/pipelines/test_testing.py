"""The test kit passes a sound task, and each of its checks finds the fault that it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import testing
from pipelines.errors import ValidationError
from pipelines.predictions import Predictions, Scores
from pipelines.recipe import Optimizer, Recipe
from pipelines.task import Network
from pipelines.testing import CHECKS, Trained, train
from tests.pipelines import samples

RECIPE = Recipe(epochs=2, batch_size=8, optimizer=Optimizer(learning_rate=0.1))


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(samples.Doubles(samples.sequence_config(RECIPE)))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_task_passes(check, trained, tmp_path, at_once):
    check(trained, tmp_path)


def test_training_is_logged_in_memory(trained):
    assert list(trained.log.epochs) == [1, 2]
    assert trained.log.curves["loss"] == [
        pytest.approx(values["loss"]) for values in trained.log.epochs.values()
    ]
    assert trained.log.texts == {}
    trained.log.samples("a text", 3)
    assert trained.log.texts == {3: "a text"}
    trained.log.texts.clear()


class Counting(samples.Doubles):
    """Keeps what it has seen."""

    def scores(self, predictions: Predictions, data: samples.Sequences) -> Scores:
        self.calls = getattr(self, "calls", 0) + 1
        return {**super().scores(predictions, data), "largest": float(self.calls)}


class Relative(samples.Doubles):
    """Compares an example with those that are scored beside it."""

    def reduce(self, predictions: Predictions, data: samples.Sequences) -> Predictions:
        doubles = predictions.predicted["doubles"]
        return replace(predictions, predicted={"doubles": doubles / doubles.max()})


class Restless(samples.Doubles):
    """Builds another network every time, whatever the seed."""

    def network(self, data: samples.Sequences) -> Network:
        network = super().network(data)
        bias = np.random.default_rng().normal(size=1)
        network.model.layers[-1].bias.assign(bias)
        return network


class Repeating(samples.Doubles):
    """Two figures have one name."""

    def figures(self, network, data, test, baselines):
        yield "same", Figure()
        yield "same", Figure()


class Unfaithful(samples.Doubles):
    """Its signature answers three times the network's output."""

    def signatures(self, network, data):
        (signature,) = super().signatures(network, data)
        tripled = {name: 3 * value for name, value in signature.expected.items()}
        return [replace(signature, expected=tripled)]


def of(kind: type[samples.Doubles]) -> Callable[[Trained], Trained]:
    return lambda trained: replace(trained, task=kind(trained.task.config))


def short(trained: Trained) -> Trained:
    """States one test example more than there is."""
    data = trained.data
    return replace(trained, data=replace(data, sizes={**data.sizes, "test": 10}))


def without_a_baseline(trained: Trained) -> Trained:
    return replace(trained, baselines=[])


def with_a_lost_prediction(trained: Trained) -> Trained:
    return replace(trained, test=trained.test.take(np.arange(8)))


def diverged(trained: Trained) -> Trained:
    log = testing.MemoryLog()
    log.metrics({"loss": float("nan")}, step=1)
    return replace(trained, log=log)


def with_a_random_layer(trained: Trained) -> Trained:
    model = trained.network.model
    noise = keras.layers.Lambda(lambda x: x + tf.random.uniform([]) + 1.0, name="noise")
    noisy = keras.Model(model.inputs, noise(model.outputs[0]))
    return replace(trained, network=Network(noisy))


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (testing.splits_have_examples_of_one_structure, short),
        (testing.a_seed_decides_the_initial_weights, of(Restless)),
        (testing.training_logs_finite_metrics, diverged),
        (testing.every_test_example_is_predicted, with_a_lost_prediction),
        (testing.scores_are_those_of_a_task_without_state, of(Counting)),
        (testing.scores_do_not_depend_on_batches, of(Relative)),
        (testing.baselines_have_the_scores_of_the_network, without_a_baseline),
        (testing.figures_have_names_of_their_own, of(Repeating)),
        (testing.the_network_comes_back_from_a_file, with_a_random_layer),
        (testing.a_saved_model_answers_like_the_network, of(Unfaithful)),
    ],
    ids=lambda part: getattr(part, "__name__", "task"),
)
def test_each_check_finds_its_fault(check, broken, trained, tmp_path: Path, at_once):
    fault = broken(trained)
    if check is testing.scores_are_those_of_a_task_without_state:
        fault.task.scores(fault.test, fault.data)
    with pytest.raises((AssertionError, ValidationError, ValueError)):
        check(fault, tmp_path)


def test_every_check_is_tried_with_a_fault():
    tried = {
        mark.args[1][i][0]
        for mark in test_each_check_finds_its_fault.pytestmark
        for i in range(len(mark.args[1]))
    }
    assert tried == set(CHECKS)
