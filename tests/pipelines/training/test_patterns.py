"""Patterns: each is recognized well beyond its threshold, and none in a sound training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import Config
from pipelines.recipe import Optimizer, Recipe
from pipelines.training import patterns
from pipelines.training.patterns import Series

EPOCHS = 10


@dataclass(frozen=True)
class Histories:
    """Draws histories of trainings from a seed, in units that a loss may have."""

    random: np.random.Generator
    probes: int
    layers: int
    scale: float

    def series(self, **values: Any) -> Series:
        """Returns what probes of a sound training measure, but for some values."""
        names = [f"layer{number}" for number in range(self.layers)]
        loss = self.scale * np.linspace(1.0, 0.3, EPOCHS)
        usual: dict[str, Any] = {
            "steps": 50 * np.arange(self.probes),
            "layers": names,
            "gradient_norm": self.scale * self.noise(self.probes, self.layers),
            "weight_norm": 5.0 * self.noise(self.probes, self.layers),
            "activations": dict.fromkeys(names, "tanh"),
            "saturation": self.random.uniform(0, 0.4, (self.probes, self.layers)),
            "lasting_dead": self.random.uniform(0, 0.4, self.layers),
            "over_time": {"lstm": self.noise(self.probes, 30)},
            "epochs": epochs(loss, loss * 1.05),
        }
        return Series(**usual | values)

    def noise(self, *shape: int) -> np.ndarray:
        """Returns factors around 1, most of them between a third and 3."""
        return np.exp(self.random.normal(0, 0.5, shape))


histories = st.builds(
    Histories,
    random=st.integers(0, 2**32 - 1).map(np.random.default_rng),
    probes=st.integers(3, 12),
    layers=st.integers(4, 24),
    scale=st.floats(1e-3, 1e1),
)


def epochs(
    loss: Sequence[float] | np.ndarray,
    validation: Sequence[float] | np.ndarray,
    rate: float | np.ndarray = 0.001,
) -> dict[str, list[float]]:
    rates = np.broadcast_to(rate, len(loss))
    return {"loss": [*loss], "val_loss": [*validation], "learning_rate": [*rates]}


def recognized(
    series: Series, recipe: Recipe | None = None, **hyperparameters: Any
) -> Mapping[str, patterns.Finding]:
    """Returns what is recognized, by the pattern's name."""
    recipe = recipe or Recipe(epochs=EPOCHS, optimizer=Optimizer(learning_rate=0.001))
    config = replace(Config(architecture="net"), recipe=recipe)
    return {one.pattern: one for one in patterns.recognize(series, config, hyperparameters)}


@given(histories, st.integers(1, EPOCHS))
def test_a_sound_training_has_no_pattern_at_any_time(history, done):
    whole = history.series()
    probes = max(1, history.probes * done // EPOCHS)
    part = replace(
        whole,
        steps=whole.steps[:probes],
        gradient_norm=whole.gradient_norm[:probes],
        weight_norm=whole.weight_norm[:probes],
        saturation=whole.saturation[:probes],
        over_time={name: rows[:probes] for name, rows in whole.over_time.items()},
        epochs={name: values[:done] for name, values in whole.epochs.items()},
    )
    assert recognized(part) == {}


@given(histories, st.integers(5, 20))
def test_gradients_that_shrink_from_layer_to_layer_vanish(history, powers):
    depth = np.logspace(-powers - 4, 0, history.layers)
    vanishing = depth * history.noise(history.probes, history.layers)
    found = recognized(history.series(gradient_norm=vanishing))
    assert list(found) == ["vanishing gradients"]
    assert "as layer0" in found["vanishing gradients"].sentence


@given(histories)
def test_a_pattern_of_probes_has_to_last(history):
    gradients = history.noise(history.probes, history.layers)
    gradients[-1] *= np.logspace(-12, 0, history.layers)
    saturation = np.full((history.probes, history.layers), 0.1)
    saturation[-2:] = 1.0
    assert recognized(history.series(gradient_norm=gradients, saturation=saturation)) == {}


flat = np.full(EPOCHS, 2.3)


@given(histories)
def test_gradients_that_grow_from_layer_to_layer_explode_where_nothing_is_learned(history):
    depth = np.logspace(5, 0, history.layers) * np.ones((history.probes, 1))
    depth /= np.sqrt((depth**2).sum(1, keepdims=True))  # Small as a whole.
    growing = history.series(gradient_norm=depth)
    assert recognized(growing) == {}
    stuck = replace(growing, epochs=epochs(flat, flat))
    assert "exploding gradients" in recognized(stuck)
    after_one = replace(growing, epochs=epochs([2.3], [2.3]))
    assert recognized(after_one) == {}
    assert "exploding gradients" in recognized(after_one, Recipe(epochs=1))


@given(histories)
def test_a_gradient_of_many_times_the_weights_or_of_no_number_explodes(history):
    series = history.series()
    huge = replace(series, gradient_norm=1e3 * series.weight_norm)
    assert "times as large" in recognized(huge)["exploding gradients"].sentence
    broken = series.gradient_norm.copy()
    broken[-1, 2] = np.inf
    found = recognized(replace(series, gradient_norm=broken))
    assert "is no number" in found["exploding gradients"].sentence


@pytest.mark.parametrize(("start", "expected"), [(1.0, True), (1e-6, False)])
def test_a_gradient_that_wakes_up_does_not_explode(start, expected):
    """From next to nothing to a usual size is what a plateau ends with."""
    history = Histories(np.random.default_rng(0), 12, 8, 1.0)
    gradients = np.full((12, 8), start)
    gradients[-3:] *= 1e4
    found = recognized(history.series(gradient_norm=gradients, weight_norm=np.full((12, 8), 500.0)))
    assert ("exploding gradients" in found) == expected


@given(histories, st.sampled_from([50, 200]))
def test_gradients_that_fade_over_time_matter_where_nothing_is_learned(history, steps):
    fading = {"rnn": np.logspace(-12, 0, steps) * history.noise(history.probes, 1)}
    series = history.series(over_time=fading)
    assert recognized(series) == {}
    found = recognized(replace(series, epochs=epochs(flat, flat)), cell="simple")
    finding = found["gradients vanish over time"]
    assert f"in rnn, the gradient at the first of {steps} steps" in finding.sentence
    assert "--architecture gru" in finding.cures


def test_padding_has_no_gradient_and_does_not_count():
    rows = np.ones((3, 40))
    rows[:, :25] = 0
    assert patterns.time_ratios(rows) == pytest.approx(np.ones(3))
    assert np.isnan(patterns.time_ratios(np.zeros((3, 40)))).all()


@given(histories, st.integers(0, 3), st.floats(0.6, 0.8))
def test_dead_or_saturated_units_are_most_of_a_layer_or_many_where_nothing_is_learned(
    history, place, many
):
    saturation, dead = np.full((history.probes, history.layers), 0.1), np.full(history.layers, 0.1)
    for fraction, learning in ((many, False), (0.95, True)):
        curves = {} if learning else {"epochs": epochs(flat, flat)}
        saturation[:, place] = dead[place] = fraction
        found = recognized(history.series(saturation=saturation, lasting_dead=dead, **curves))
        assert f"{fraction:.0%} of the units of layer{place} " in found["dead units"].sentence
        assert f"of the outputs of layer{place} " in found["saturated units"].sentence
    saturation[:, place] = dead[place] = many
    assert recognized(history.series(saturation=saturation, lasting_dead=dead)) == {}


@given(histories, st.floats(0, 0.004))
def test_a_loss_that_stays_is_a_plateau(history, noise):
    stays = history.scale * (1 + noise * history.random.uniform(-1, 1, EPOCHS))
    found = recognized(history.series(epochs=epochs(stays, stays)))
    assert list(found) == ["plateau"]
    assert "--find_learning_rate true" in found["plateau"].cures
    # Not in the first epochs, and not at the end of a schedule.
    early = history.series(epochs=epochs(stays[:3], stays[:3]))
    assert recognized(early) == {}
    decayed = history.series(epochs=epochs(stays, stays, np.logspace(-3, -7, EPOCHS)))
    assert recognized(decayed) == {}


@given(histories, st.floats(0.2, 0.85))
def test_a_loss_that_has_come_down_to_its_floor_is_no_plateau(history, floor):
    """As with noisy targets, smoothed labels, or a language."""
    loss = history.scale * (floor + (1 - floor) * np.exp(-np.arange(EPOCHS) * 1.5))
    assert recognized(history.series(epochs=epochs(loss, loss * 1.02))) == {}


@given(histories, st.floats(0.25, 2), st.integers(0, 3))
def test_a_validation_loss_that_rises_while_the_other_falls_is_overfitting(history, rise, best):
    loss = history.scale * np.logspace(0, -2, EPOCHS)
    away = np.abs(np.arange(EPOCHS) - best) / (EPOCHS - best)
    validation = history.scale * (0.5 + 0.5 * rise * away)
    validation[:best] = history.scale * (0.5 + 0.2 * away[:best])
    found = recognized(history.series(epochs=epochs(loss, validation)), dropout=0.1)
    assert list(found) == ["overfitting"]
    assert f"in epoch {best + 1} to" in found["overfitting"].sentence
    assert "--model.dropout 0.3" in found["overfitting"].cures
    # Where the training loss rises as well, it is something else.
    assert "overfitting" not in recognized(history.series(epochs=epochs(validation, validation)))


@given(histories)
def test_a_validation_loss_that_moves_near_zero_is_no_overfitting(history):
    loss = history.scale * np.logspace(0, -4, EPOCHS)
    validation = history.scale * np.array([1.0, 0.2, 0.05, 0.03, 0.02, *[0.03] * 5])
    assert recognized(history.series(epochs=epochs(loss, validation))) == {}
