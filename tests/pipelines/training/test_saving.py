"""Saving: an interrupted or diverged training goes on as if nothing had happened."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipelines.errors import DivergenceError, UserError
from pipelines.image.config import Augmentation
from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.testing import MemoryLog
from pipelines.training import saving, trainer
from pipelines.training.checkpoints import Checkpoints
from tests.pipelines import samples

RECIPE = Recipe(
    epochs=3,
    batch_size=10,
    seed=3,
    patience=2,
    optimizer=Optimizer(learning_rate=0.01, average=0.5),
)
STEPS = 5  # In an epoch of 50 examples.


class At(keras.callbacks.Callback):
    """Does something at a batch of training, or of validation, of an epoch; once."""

    def __init__(self, epoch: int, batch: int, what: Any, *, validation: bool = False) -> None:
        super().__init__()
        self._place, self._what, self._validation = (epoch, batch), what, validation
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._check(batch, False)

    def on_test_batch_end(self, batch, logs=None):
        self._check(batch, True)

    def _check(self, batch: int, validation: bool) -> None:
        if (self._epoch, batch, validation) == (*self._place, self._validation):
            self._place = (-1, -1)
            self._what(self.model)


def preempt(model: keras.Model) -> None:
    signal.raise_signal(signal.SIGTERM)


def spoil(model: keras.Model) -> None:
    variable = model.trainable_variables[0]
    variable.assign(np.full(variable.shape, np.nan))


def classification(recipe: Recipe = RECIPE, **model: Any) -> ImageClassification:
    config = samples.config(recipe, Augmentation(shift=0.1, flip=True), dropout=0.3, **model)
    return ImageClassification(config)


def fit(
    folder: Path | None,
    *watchers: keras.callbacks.Callback,
    recipe: Recipe = RECIPE,
    devices: int = 0,
) -> tuple[list[np.ndarray], MemoryLog]:
    """Builds and trains a network; returns its weights and what was logged."""
    data, log = samples.striped(), MemoryLog()
    task = ImageClassification(replace(classification(recipe).config, devices=devices))
    checkpoints = Checkpoints(folder) if folder else None
    network = trainer.build(task, data)
    trainer.fit(task, network, data, log, checkpoints, watchers=watchers)
    return network.model.get_weights(), log


@pytest.fixture(autouse=True)
def no_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves nothing because a slow machine took a minute for a batch."""
    if "bounded" not in request.node.name:
        monkeypatch.setattr(saving, "_SECONDS", 1e9)


@pytest.fixture(scope="module")
def whole() -> tuple[list[np.ndarray], MemoryLog]:
    """A training without checkpoints."""
    return fit(None)


def assert_same(one: tuple[list[np.ndarray], MemoryLog], weights: list[np.ndarray]) -> None:
    for expected, found in zip(one[0], weights, strict=True):
        np.testing.assert_array_equal(expected, found)


def test_checkpoints_change_nothing_in_a_training(whole, tmp_path):
    weights, log = fit(tmp_path, recipe=replace(RECIPE, checkpoint_every=1))
    assert_same(whole, weights)
    assert log.curves == whole[1].curves


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(At(0, 2, preempt), id="in an epoch"),
        pytest.param(At(1, STEPS - 1, preempt), id="after its last batch", marks=pytest.mark.slow),
        pytest.param(At(1, 0, preempt, validation=True), id="in validation"),
    ],
)
def test_a_preempted_training_goes_on_where_it_was(place, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, place)
    found = Checkpoints(tmp_path).newest()
    assert found is not None
    epoch, step = (0, 3) if found.state.epoch == 0 else (1, STEPS)
    assert (found.state.epoch, found.state.step) == (epoch, step)
    weights, log = fit(tmp_path)
    assert_same(whole, weights)
    assert log.curves == whole[1].curves
    # Epochs that were logged before are not logged again.
    assert list(log.epochs) == list(range(epoch + 1, 4))
    for name, value in log.epochs[epoch + 1].items():
        if name != "examples_per_second":
            assert value == whole[1].epochs[epoch + 1][name]


def test_a_preempted_training_on_two_devices_goes_on_where_it_was(tmp_path):
    recipe = replace(RECIPE, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, At(0, 2, preempt), recipe=recipe, devices=2)
    weights, log = fit(tmp_path, recipe=recipe, devices=2)
    expected, whole = fit(None, recipe=recipe, devices=2)
    for one, other in zip(expected, weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert log.curves.keys() == whole.curves.keys()


def test_a_trained_network_is_not_trained_again(whole, tmp_path):
    fit(tmp_path)
    history = keras.callbacks.History()
    weights, log = fit(tmp_path, At(0, 0, lambda model: pytest.fail("it trains")), history)
    assert_same(whole, weights)
    assert log.epochs == {}
    assert log.curves == whole[1].curves == history.history


def test_another_network_does_not_go_on(tmp_path):
    fit(tmp_path)
    data, task = samples.striped(), classification(filters=[4, 4])
    with pytest.raises(UserError, match="the run's checkpoint is of another network than its op"):
        trainer.fit(task, trainer.build(task, data), data, MemoryLog(), Checkpoints(tmp_path))


def test_a_divergence_goes_back_at_half_the_learning_rate(whole, tmp_path, capsys):
    recipe = replace(RECIPE, on_nan="restore")
    weights, log = fit(tmp_path, At(1, 2, spoil), recipe=recipe)
    assert all(np.isfinite(array).all() for array in weights)
    rate = {epoch: values["learning_rate"] for epoch, values in log.epochs.items()}
    expected = {epoch: values["learning_rate"] for epoch, values in whole[1].epochs.items()}
    assert list(rate) == [1, 2, 3]
    assert rate[1] == expected[1]
    assert rate[2] == pytest.approx(expected[2] / 2)
    assert "restores" not in log.epochs[1]
    assert log.epochs[2]["restores"] == log.epochs[3]["restores"] == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "note: the loss became nan in epoch 2; training goes back to epoch 2, batch 1" in shown
    assert "at 0.5 times the learning rate" in shown


def test_going_back_ends_after_some_times(tmp_path):
    class Again(At):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch, logs)
            self._place = (1, 1)

    with pytest.raises(DivergenceError, match=r"clip_norm 1, after 3 times --on_nan restore$"):
        fit(tmp_path, Again(1, 1, spoil), recipe=replace(RECIPE, on_nan="restore"))
    found = Checkpoints(tmp_path).newest()
    assert found is not None
    assert (found.state.epoch, found.state.step, found.state.restores) == (1, 0, 0)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    recipe = replace(RECIPE, checkpoint_every=1)
    with pytest.raises(DivergenceError, match="a weight became infinite or no number in epoch 1"):
        fit(tmp_path, At(0, 2, spoil), recipe=recipe)
    found = Checkpoints(tmp_path).newest()
    assert found is not None
    assert (found.state.epoch, found.state.step) == (0, 2)


def test_checkpoints_take_a_bounded_part_of_the_time(tmp_path, monkeypatch):
    """Each takes a second of a clock that the batches do not move; the first is written."""
    written = []

    class Slow(Checkpoints):
        def write(self, checkpoint):
            written.append(checkpoint.state)
            clock[0] += 1.0

    clock = [0.0]
    monkeypatch.setattr(saving.time, "monotonic", lambda: clock[0])

    class Tick(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            clock[0] += 5.0

    data, task = samples.striped(), classification(replace(RECIPE, epochs=9, patience=0))
    slow = Slow(tmp_path)
    trainer.fit(task, trainer.build(task, data), data, MemoryLog(), slow, watchers=[Tick()])
    # 25 seconds for an epoch: its end is saved 50 seconds after the last time, or later, and a
    # batch within it after 60.
    assert [(state.epoch, state.step) for state in written if not state.trained] == [
        (1, 0),
        (3, 3),
        (6, 0),
        (8, 3),
    ]
