"""Baselines of forecasting: each as defined, and none knows the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from pipelines.tasks.forecasting.baselines import forecasters
from pipelines.tasks.forecasting.metrics import LEVELS, reduce, scores
from tests.pipelines.tasks.forecasting.examples import months, noise, series, windows

NAMES = [
    *("seasonal naive", "seasonal mean", "exponential smoothing", "linear autoregression"),
]


def test_the_seasonal_naive_forecast_of_a_pure_season_is_right():
    """Behind noise in the first half, which makes the scale, the series repeats itself."""
    values = np.tile([1.0, 5.0, 2.0, 8.0], 30)
    values[:40] += np.random.default_rng(0).normal(size=40)
    forecast = forecasters(series(values, horizon=6))["seasonal naive"]
    for split in ("validation", "test"):
        assert scores(reduce(forecast(split)))["mase"] == pytest.approx(0, abs=1e-6)


def test_without_a_season_the_naive_forecast_is_the_last_value():
    data = series(season=1)
    forecast = forecasters(data)["seasonal naive"]("test").predicted["forecast"]
    np.testing.assert_allclose(forecast, np.repeat(data.histories("test")[:, -1:], 3, 1), rtol=1e-6)


def test_the_seasonal_mean_is_that_of_train():
    values = np.tile([1.0, 5.0, 2.0, 8.0], 30)
    values[:84:4] += np.tile([1.0, 2.0, 3.0], 7)
    values[84:] = 99
    forecast = forecasters(series(values))["seasonal mean"]("validation").predicted["forecast"]
    np.testing.assert_allclose(forecast[0], [3, 5, 2])
    np.testing.assert_allclose(forecast[3], [8, 3, 5])


@pytest.mark.parametrize("season", [1, 4])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_exponential_smoothing_forecasts_as_statsmodels_from_each_origin(season, slope):
    random = np.random.default_rng(3)
    walk = np.cumsum(random.normal(size=120) * 0.3 + slope)
    values = 10 + 3 * np.sin(np.arange(120) * np.pi / 2) * (season > 1) + walk
    data = series(values, season=season, horizon=6)
    forecast = forecasters(data)["exponential smoothing"]("test").predicted["forecast"]
    seasonal = {"seasonal": "add", "seasonal_periods": 4} if season > 1 else {}
    train = data.series[0].known()
    center, unit = train.mean(), train.std()
    train, standard = (train - center) / unit, (values - center) / unit
    fits = []
    for trend in ({}, {"trend": "add"}, {"trend": "add", "damped_trend": True}):
        options = {"initialization_method": "heuristic", **trend, **seasonal}
        fits.append((ETSModel(train, **options).fit(disp=False), options))
    best, options = min(fits, key=lambda fit: fit[0].aic)
    assert ("trend" in options) == (slope > 0)
    for row in (0, 5, len(forecast) - 1):
        known = standard[: data.origins("test")[0][row]]
        theirs = ETSModel(known, **options).smooth(best.params).forecast(6) * unit + center
        np.testing.assert_allclose(forecast[row], theirs, rtol=1e-6)


@settings(max_examples=3)
@given(later=st.floats(-50, 50, width=16))
def test_no_reference_knows_what_comes_after_an_origin(later):
    data = series()
    changed = data.series[0].values.copy()
    changed[data.origins("test")[0][4] :] = later
    before, after = forecasters(data), forecasters(series(changed))
    for name in NAMES:
        one, other = before[name]("test"), after[name]("test")
        for answer in ("forecast", "quantiles"):
            np.testing.assert_allclose(one.predicted[answer][:5], other.predicted[answer][:5])
        assert np.any(one.examples["target"][4] != other.examples["target"][4])


def test_quantiles_of_references_cover_what_they_say():
    random = np.random.default_rng(5)
    values = 10 + 3 * np.sin(np.arange(2000) * np.pi / 2) + random.normal(size=2000)
    found = forecasters(series(values))
    assert list(found) == NAMES
    for forecaster in found.values():
        answer = forecaster("test")
        assert np.all(np.diff(answer.predicted["quantiles"], axis=-1) >= 0)
        below = answer.examples["target"][..., None] <= answer.predicted["quantiles"]
        np.testing.assert_allclose(below.mean((0, 1)), LEVELS, atol=0.05)


@pytest.mark.parametrize(("factor", "offset"), [(1.0, 1e9), (1e-12, 0.0), (-1e-7, 100.0), (1e9, 5)])
def test_scores_do_not_depend_on_unit_and_level(factor, offset):
    plain, moved = (forecasters(series(values)) for values in (noise(), noise() * factor + offset))
    for name in NAMES:
        mase = scores(reduce(plain[name]("test")))["mase"]
        assert scores(reduce(moved[name]("test")))["mase"] == pytest.approx(mase, rel=1e-3)
        assert mase > 0.3


def test_several_series_are_forecast_each_by_itself():
    one, other = months(noise(), "one"), months(1e6 * noise(200, seed=1), "other")
    # Several are standardized by window, and so the linear model is.
    alone = [forecasters(windows(each, scaling="window")) for each in (one, other)]
    both = forecasters(windows(one, other))
    for name in NAMES:
        parts = [each[name]("test") for each in alone]
        whole = both[name]("test")
        for answer in ("forecast", "quantiles"):
            expected = np.concatenate([part.predicted[answer] for part in parts])
            np.testing.assert_allclose(whole.predicted[answer], expected)
        target = np.concatenate([part.examples["target"] for part in parts])
        np.testing.assert_array_equal(whole.examples["target"], target)
