"""The forecasting network: quantiles in order, in the units that it reads."""

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

HISTORIES = arrays.arrays(
    np.float32, (3, 8), elements=st.floats(-100, 100, width=16, allow_subnormal=False)
)


@pytest.fixture(scope="module")
def core() -> keras.Model:
    keras.utils.set_random_seed(0)
    return architectures.build("gru", input_size=1, outputs=15, units=[4])


@pytest.fixture(scope="module")
def model(core) -> keras.Model:
    return forecast_network(core, 8, 3)


def test_quantiles_never_cross(model):
    @settings(max_examples=10)
    @given(HISTORIES)
    def check(history):
        quantiles = model(history).numpy()
        assert quantiles.shape == (3, 3, 5)
        assert np.all(np.diff(quantiles, axis=-1) >= 0)
        assert np.all(np.isfinite(quantiles))

    check()


def test_the_network_reads_the_history_as_it_is_and_sorts_its_outputs(core, model):
    history = np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)
    features = {"features": history[..., None], "padding_mask": np.ones((4, 8), np.int32)}
    expected = np.sort(core(features).numpy().reshape(4, 3, 5), -1)
    np.testing.assert_allclose(model(history), expected, rtol=1e-5)


def test_answers_are_the_same_of_arrays_and_tensors():
    quantiles = np.sort(np.random.default_rng(0).normal(size=(2, 3, 5)), -1)
    one = predictions(quantiles, np)
    other = predictions(tf.constant(quantiles), tnp)
    assert one.keys() == other.keys() == {"forecast", "quantiles", "levels"}
    for name, value in one.items():
        assert value.dtype == other[name].numpy().dtype == np.float64
        np.testing.assert_array_equal(value, other[name])
    np.testing.assert_array_equal(one["forecast"], quantiles[..., 2])
    np.testing.assert_allclose(one["levels"], [LEVELS] * 2)
