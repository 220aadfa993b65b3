"""The forecasting network: quantiles in order, in the unit of the history."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.experimental.numpy as tnp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import architectures
from pipelines.tasks.forecasting.metrics import LEVELS
from pipelines.tasks.forecasting.network import forecast_network, predictions
from tests.pipelines.tasks.forecasting.examples import series

HISTORIES = arrays.arrays(
    np.float32, (3, 8), elements=st.floats(-100, 100, width=16, allow_subnormal=False)
)


@pytest.fixture(scope="module")
def core() -> keras.Model:
    keras.utils.set_random_seed(0)
    return architectures.build("gru", input_size=1, outputs=15, units=[4])


@pytest.mark.parametrize("scaling", ["series", "window"])
def test_quantiles_never_cross(core, scaling):
    model = forecast_network(core, series(), scaling)

    @settings(max_examples=10)
    @given(HISTORIES)
    def check(history):
        quantiles = model(history).numpy()
        assert quantiles.shape == (3, 3, 5)
        assert np.all(np.diff(quantiles, axis=-1) >= 0)
        assert np.all(np.isfinite(quantiles))

    check()


@pytest.mark.parametrize("scaling", ["series", "window"])
def test_the_network_reads_and_answers_without_level_and_unit(core, scaling):
    data = series()
    history = data.histories("train")[:4]
    if scaling == "series":
        known = data.values[:84]
        level, deviation = np.full(4, known.mean()), np.full(4, known.std())
    else:
        level, deviation = history.mean(1), history.std(1)
    x = ((history - level[:, None]) / deviation[:, None])[..., None].astype(np.float32)
    outputs = core({"features": x, "padding_mask": np.ones((4, 8), np.int32)}).numpy()
    expected = np.sort(outputs.reshape(4, 3, 5), -1)
    expected = expected * deviation[:, None, None] + level[:, None, None]
    np.testing.assert_allclose(forecast_network(core, data, scaling)(history), expected, rtol=1e-5)


def test_scaled_by_the_window_forecasts_move_with_level_and_unit(core):
    model = forecast_network(core, series(), "window")
    history = np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)
    moved = model(history * 50 + 1000)
    np.testing.assert_allclose(moved, model(history).numpy() * 50 + 1000, rtol=1e-5)


def test_scaled_by_the_series_nothing_depends_on_what_train_did_not_hold(core):
    data = series()
    later = data.values.copy()
    later[84:] += 100
    history = data.histories("train")
    same = forecast_network(core, series(later), "series")
    np.testing.assert_array_equal(forecast_network(core, data, "series")(history), same(history))


def test_answers_are_the_same_of_arrays_and_tensors():
    quantiles = np.sort(np.random.default_rng(0).normal(size=(2, 3, 5)), -1).astype(np.float32)
    one = predictions(quantiles, np)
    other = predictions(tf.constant(quantiles), tnp)
    assert one.keys() == other.keys() == {"forecast", "quantiles", "levels"}
    for name, value in one.items():
        assert value.dtype == other[name].numpy().dtype == np.float32
        np.testing.assert_array_equal(value, other[name])
    np.testing.assert_array_equal(one["forecast"], quantiles[..., 2])
    np.testing.assert_allclose(one["levels"], [LEVELS] * 2)
