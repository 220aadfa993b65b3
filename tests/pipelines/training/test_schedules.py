"""Learning-rate schedules, against their formulas."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.recipe import Optimizer
from pipelines.training.schedules import schedule


def rates(config: Optimizer, steps: int, epochs: int = 1) -> list[float]:
    """Returns the learning rate of each step and of the one after the last."""
    own = schedule(config, steps, epochs)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(own))
    assert float(again(3)) == float(own(3))
    return [float(own(step)) for step in range(steps + 1)]


def test_the_learning_rate_rises_linearly_and_falls_like_a_cosine():
    values = rates(Optimizer(learning_rate=0.4, warmup=0.2), 100)
    np.testing.assert_allclose(values[:21], np.linspace(0, 0.4, 21), rtol=1e-5)
    falling = 0.2 * (1 + np.cos(np.pi * np.arange(81) / 80))
    np.testing.assert_allclose(values[20:], falling, rtol=1e-5, atol=1e-7)


@settings(max_examples=15)
@given(st.integers(1, 40), st.floats(0, 0.9), st.floats(1e-5, 1))
def test_the_learning_rate_peaks_after_the_warmup_and_ends_at_zero(steps, warmup, peak):
    values = rates(Optimizer(learning_rate=peak, warmup=warmup), steps)
    top = int(warmup * steps)
    assert max(values) == values[top] == pytest.approx(peak)
    assert values[:top] == sorted(values[:top])
    assert values[top:] == sorted(values[top:], reverse=True)
    assert values[-1] == pytest.approx(0, abs=1e-6 * peak)


def test_the_learning_rate_rises_linearly_and_falls_with_the_root_of_the_step():
    values = rates(Optimizer(learning_rate=0.4, schedule="inverse_sqrt", warmup=0.2), 100)
    steps = np.arange(1, 102)
    # Equation 3 of the paper, for the width whose peak this is.
    expected = 0.4 * 20**0.5 * np.minimum(steps**-0.5, steps * 20**-1.5)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


FALLING = 1 - np.arange(81) / 80


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "constant"}, np.ones(81)),
        ({"schedule": "linear"}, FALLING),
        ({"schedule": "polynomial"}, FALLING**2),
        ({"schedule": "polynomial", "power": 0.5}, FALLING**0.5),
    ],
)
def test_after_the_warmup_the_learning_rate_falls_as_its_formula(options, expected):
    values = rates(Optimizer(learning_rate=0.4, warmup=0.2, **options), 100)
    np.testing.assert_allclose(values[:21], np.linspace(0, 0.4, 21), rtol=1e-5)
    np.testing.assert_allclose(values[20:], 0.4 * expected, rtol=1e-4, atol=1e-6)
    unwarmed = rates(Optimizer(learning_rate=0.4, warmup=0.0, **options), 80)
    np.testing.assert_allclose(unwarmed, 0.4 * expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("warmup", [0.0, 0.05])
def test_a_step_schedule_falls_after_whole_epochs(warmup):
    config = Optimizer(
        learning_rate=0.4, schedule="step", milestones=[3, 6], step_factor=0.5, warmup=warmup
    )
    values = rates(config, 90, epochs=9)
    top = int(warmup * 90)
    np.testing.assert_allclose(values[top:30], 0.4)
    np.testing.assert_allclose(values[30:60], 0.2)
    np.testing.assert_allclose(values[60:], 0.1)


def test_one_cycle_rises_from_a_fraction_of_its_peak_and_falls_to_almost_nothing():
    values = rates(Optimizer(learning_rate=0.5, schedule="one_cycle", warmup=0.3), 100)
    np.testing.assert_allclose(values[:31], np.linspace(0.02, 0.5, 31), rtol=1e-4)
    assert values[30:] == sorted(values[30:], reverse=True)
    assert values[-1] == pytest.approx(0.5 / 25e4, rel=1e-2)
