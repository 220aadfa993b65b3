"""Optimizers: learning-rate schedules, weight decay, clipping and averaging."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.recipe import Optimizer
from pipelines.training.optimizers import optimizer


def rates(config: Optimizer, steps: int) -> list[float]:
    """Returns the learning rate of each step and of the one after the last."""
    adamw = optimizer(config, steps)
    values = []
    for step in range(steps + 1):
        adamw.iterations.assign(step)
        values.append(float(adamw.learning_rate))
    return values


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


@pytest.mark.parametrize(("steps", "momentum"), [(100, 0.96), (10_000, 0.999), (3, 0.0)])
def test_an_average_spans_a_quarter_of_the_run_at_most(steps, momentum):
    assert optimizer(Optimizer(average=0.999), steps).ema_momentum == momentum


def stepped(config: Optimizer, names: list[str], gradient: float) -> dict[str, float]:
    """Returns variables that were 1 after one step with the same gradient each."""
    adamw = optimizer(config, 100)
    variables = [keras.Variable(np.ones(1, "float32"), name=name) for name in names]
    adamw.apply([tf.constant([gradient]) for _ in names], variables)
    return {v.name: float(v.numpy()[0]) for v in variables}


def test_weights_decay_and_biases_and_normalizations_do_not():
    config = Optimizer(learning_rate=0.5, weight_decay=0.1, warmup=0.0)
    values = stepped(config, ["kernel", "bias", "gamma", "beta"], gradient=0.0)
    assert values.pop("kernel") == pytest.approx(0.95)
    assert values == {"bias": 1, "gamma": 1, "beta": 1}


def test_the_gradient_is_clipped_by_its_whole_norm():
    """Adam divides by the gradient, so clipping shows only where epsilon is larger."""
    unclipped = Optimizer(learning_rate=0.5, weight_decay=0.0, warmup=0.0)
    assert stepped(unclipped, ["kernel"], gradient=3.0)["kernel"] == pytest.approx(0.5, rel=1e-3)
    clipped = replace(unclipped, clip_norm=1e-9)
    assert stepped(clipped, ["kernel"], gradient=3.0)["kernel"] > 0.99
