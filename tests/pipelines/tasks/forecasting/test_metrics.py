"""Quantile forecasts: losses and scores worked out by hand, and references that never peek."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.experimental.numpy as tnp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

import architectures
from pipelines.predictions import Predictions
from pipelines.tasks.forecasting import metrics as forecasting
from pipelines.tasks.forecasting.metrics import LEVELS, network, pinball, references, scores
from tests.pipelines.series import series

NAMES = ["seasonal naive", "seasonal mean", "exponential smoothing"]


def test_the_loss_weighs_errors_by_the_level():
    quantiles = np.zeros((1, 2, 5), np.float32)
    target = np.array([[4.0, -2.0]], np.float32)
    above = 4.0 * np.array(LEVELS)
    below = 2.0 * (1 - np.array(LEVELS))
    loss = pinball(scale=2.0)(target, quantiles)
    np.testing.assert_allclose(loss, [(above + below).mean() / 2 / 2], rtol=1e-6)


def test_the_loss_is_lowest_at_the_quantiles():
    values = np.random.default_rng(0).exponential(size=20_001).astype(np.float32)
    right = np.quantile(values, LEVELS).astype(np.float32)

    def cost(quantiles: np.ndarray) -> float:
        every = np.broadcast_to(quantiles, (len(values), 1, 5))
        return float(np.mean(pinball(1.0)(values[:, None], every)))

    for index in range(5):
        for step in (-0.05, 0.05):
            wrong = right.copy()
            wrong[index] += step
            assert cost(right) < cost(wrong)


HISTORIES = arrays.arrays(
    np.float32, (3, 8), elements=st.floats(-100, 100, width=16, allow_subnormal=False)
)


@pytest.fixture(scope="module")
def core() -> keras.Model:
    keras.utils.set_random_seed(0)
    return architectures.build("gru", input_size=1, outputs=15, units=[4])


@pytest.mark.parametrize("scaling", ["series", "window"])
def test_quantiles_never_cross(core, scaling):
    model = network(core, series(), scaling)

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
    np.testing.assert_allclose(network(core, data, scaling)(history), expected, rtol=1e-5)


def test_scaled_by_the_window_forecasts_move_with_level_and_unit(core):
    model = network(core, series(), "window")
    history = np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)
    moved = model(history * 50 + 1000)
    np.testing.assert_allclose(moved, model(history).numpy() * 50 + 1000, rtol=1e-5)


def test_scaled_by_the_series_nothing_depends_on_what_train_did_not_hold(core):
    data = series()
    later = data.values.copy()
    later[84:] += 100
    history = data.histories("train")
    same = network(core, series(later), "series")
    np.testing.assert_array_equal(network(core, data, "series")(history), same(history))


def test_answers_are_the_same_of_arrays_and_tensors():
    quantiles = np.sort(np.random.default_rng(0).normal(size=(2, 3, 5)), -1).astype(np.float32)
    one = forecasting.answers(quantiles, np)
    other = forecasting.answers(tf.constant(quantiles), tnp)
    assert one.keys() == other.keys() == {"forecast", "quantiles", "levels"}
    for name, value in one.items():
        assert value.dtype == other[name].numpy().dtype == np.float32
        np.testing.assert_array_equal(value, other[name])
    np.testing.assert_array_equal(one["forecast"], quantiles[..., 2])
    np.testing.assert_allclose(one["levels"], [LEVELS] * 2)


def predicted(target, forecast, quantiles, scale: float) -> Predictions:
    return Predictions(
        {"target": np.array(target), "scale": np.full(len(target), scale)},
        {"forecast": np.array(forecast), "quantiles": np.array(quantiles)},
    )


def test_scores_worked_out_by_hand():
    quantiles = [[[1, 2, 3, 4, 5]] * 2] * 2
    got = scores(predicted([[3.0, 6.0], [1.0, 0.0]], [[3.0, 3.0], [3.0, 3.0]], quantiles, 4.0))
    assert got["mae"] == pytest.approx((0 + 3 + 2 + 3) / 4)
    assert got["mase"] == pytest.approx(got["mae"] / 4)
    assert got["smape"] == pytest.approx((0 + 6 / 9 + 4 / 4 + 6 / 3) / 4)
    assert got["coverage"] == pytest.approx(2 / 4)
    costs = [
        level * max(y - q, 0) + (1 - level) * max(q - y, 0)
        for y in (3, 6, 1, 0)
        for q, level in enumerate(LEVELS, 1)
    ]
    assert got["pinball"] == pytest.approx(np.mean(costs))


def test_nothing_said_of_nothing_is_no_error():
    zeros = np.zeros((2, 3))
    got = scores(predicted(zeros, zeros, np.zeros((2, 3, 5)), 1.0))
    assert got == {"mase": 0, "mae": 0, "smape": 0, "pinball": 0, "coverage": 1}


def test_the_seasonal_naive_forecast_of_a_pure_season_is_right():
    """Behind noise in the first half, which makes the scale, the series repeats itself."""
    values = np.tile([1.0, 5.0, 2.0, 8.0], 30)
    values[:40] += np.random.default_rng(0).normal(size=40)
    forecast = references(series(values, horizon=6))["seasonal naive"]
    for split in ("validation", "test"):
        assert scores(forecast(split))["mase"] == pytest.approx(0, abs=1e-6)


def test_without_a_season_the_naive_forecast_is_the_last_value():
    data = series(season=1)
    forecast = references(data)["seasonal naive"]("test").predicted["forecast"]
    np.testing.assert_allclose(forecast, np.repeat(data.histories("test")[:, -1:], 3, 1), rtol=1e-6)


def test_the_seasonal_mean_is_that_of_train():
    values = np.tile([1.0, 5.0, 2.0, 8.0], 30)
    values[:84:4] += np.tile([1.0, 2.0, 3.0], 7)
    values[84:] = 99
    forecast = references(series(values))["seasonal mean"]("validation").predicted["forecast"]
    np.testing.assert_allclose(forecast[0], [3, 5, 2])
    np.testing.assert_allclose(forecast[3], [8, 3, 5])


@pytest.mark.parametrize("season", [1, 4])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_exponential_smoothing_forecasts_as_statsmodels_from_each_origin(season, slope):
    random = np.random.default_rng(3)
    walk = np.cumsum(random.normal(size=120) * 0.3 + slope)
    values = 10 + 3 * np.sin(np.arange(120) * np.pi / 2) * (season > 1) + walk
    data = series(values, season=season, horizon=6)
    forecast = references(data)["exponential smoothing"]("test").predicted["forecast"]
    seasonal = {"seasonal": "add", "seasonal_periods": 4} if season > 1 else {}
    train = values[: data.ends["train"]]
    fits = []
    for trend in ({}, {"trend": "add"}, {"trend": "add", "damped_trend": True}):
        options = {"initialization_method": "heuristic", **trend, **seasonal}
        fits.append((ETSModel(train, **options).fit(disp=False), options))
    best, options = min(fits, key=lambda fit: fit[0].aic)
    assert ("trend" in options) == (slope > 0)
    for row in (0, 5, len(forecast) - 1):
        known = values[: data.origins("test")[row]]
        theirs = ETSModel(known, **options).smooth(best.params).forecast(6)
        np.testing.assert_allclose(forecast[row], theirs, rtol=1e-6)


@settings(max_examples=3)
@given(later=st.floats(-50, 50, width=16))
def test_no_reference_knows_what_comes_after_an_origin(later):
    data = series()
    changed = data.values.copy()
    changed[data.origins("test")[4] :] = later
    before, after = references(data), references(series(changed))
    for name in NAMES:
        one, other = before[name]("test"), after[name]("test")
        for answer in ("forecast", "quantiles"):
            np.testing.assert_allclose(one.predicted[answer][:5], other.predicted[answer][:5])
        assert np.any(one.examples["target"][4] != other.examples["target"][4])


def test_quantiles_of_references_cover_what_they_say():
    random = np.random.default_rng(5)
    values = 10 + 3 * np.sin(np.arange(2000) * np.pi / 2) + random.normal(size=2000)
    found = references(series(values))
    assert list(found) == NAMES
    for forecaster in found.values():
        answer = forecaster("test")
        assert np.all(np.diff(answer.predicted["quantiles"], axis=-1) >= 0)
        below = answer.examples["target"][..., None] <= answer.predicted["quantiles"]
        np.testing.assert_allclose(below.mean((0, 1)), LEVELS, atol=0.05)
