"""Baselines of forecasting: seasonal naive, seasonal mean and exponential smoothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from pipelines.predictions import Predictions
from pipelines.tasks.forecasting.data import SeriesData
from pipelines.tasks.forecasting.metrics import LEVELS
from pipelines.tasks.forecasting.series import Series

Forecaster = Callable[[str], Predictions]
Points = Callable[[np.ndarray], np.ndarray]  # Origins, int [n], to forecasts, [n, horizon].
Method = Callable[[Series, int, int], Points]  # Of a series, with season and horizon.

_TRENDS: tuple[dict[str, Any], ...] = ({}, {"trend": "add"}, {"trend": "add", "damped_trend": True})
# Fitting smoothing to more steps takes minutes and changes little.
_STEPS_FITTED = 10_000


def forecasters(data: SeriesData) -> dict[str, Forecaster]:
    """Returns forecasters by name, each from a split's name to predictions for its windows.

    They use what the network may use: parameters come from train, states from the steps before each
    origin. Their quantiles add to the forecast those of its errors in train at each step ahead.
    Several series are forecast each by itself.
    """
    methods: dict[str, Method] = {
        "seasonal naive": _seasonal_naive,
        "seasonal mean": _seasonal_mean,
        "exponential smoothing": _exponential_smoothing,
    }
    return {name: _with_quantiles(data, method) for name, method in methods.items()}


def _with_quantiles(data: SeriesData, method: Method) -> Forecaster:
    fitted = []
    for series in data.series:
        points = method(series, data.season, data.horizon)
        before = np.arange(data.season, series.ends["train"] - data.horizon + 1)
        futures = series.windows(before, data.horizon)
        errors = np.quantile(futures - points(before), LEVELS, axis=0).T  # [horizon, levels]
        fitted.append((points, errors))

    def predict(split: str) -> Predictions:
        forecasts, quantiles = [], []
        for (points, errors), origins in zip(fitted, data.origins(split), strict=True):
            forecasts.append(points(origins))
            quantiles.append(forecasts[-1][..., None] + errors)
        return Predictions(
            data.raw(split),
            {"forecast": np.concatenate(forecasts), "quantiles": np.concatenate(quantiles)},
        )

    return predict


def _seasonal_naive(series: Series, season: int, horizon: int) -> Points:
    """Each step repeats that of the season before; without a season, the last one."""
    lag = season - np.arange(horizon) % season
    return lambda origins: series.values[origins[:, None] - lag]


def _seasonal_mean(series: Series, season: int, horizon: int) -> Points:
    """Each step is the mean of the training steps at the same place in a season."""
    means = np.array([series.known()[place::season].mean() for place in range(season)])
    return lambda origins: means[(origins[:, None] + np.arange(horizon)) % season]


def _exponential_smoothing(series: Series, season: int, horizon: int) -> Points:
    """Additive exponential smoothing (Holt 1957, Winters 1960) with the trend that fits best.

    Hyndman et al., "Forecasting with Exponential Smoothing", 2008: the parameters have the
    greatest likelihood on train, and Akaike's criterion chooses between no trend, a linear and a
    damped one. With these parameters one pass over the whole series gives the state after each
    step, from steps up to it alone. The search depends on the unit, so that it is done in
    standard units.
    """
    known = series.known()
    center, unit = known.mean(), known.std()
    values = (series.values - center) / unit
    train = values[: len(known)][:_STEPS_FITTED]
    seasonal = {"seasonal": "add", "seasonal_periods": season} if season > 1 else {}
    fits = []
    for trend in _TRENDS:
        with warnings.catch_warnings():  # Some searches end early; the best of three counts.
            warnings.simplefilter("ignore")
            model = ETSModel(train, initialization_method="heuristic", **trend, **seasonal)
            fits.append((model.fit(disp=False), {**trend, **seasonal}))
    best, options = min(fits, key=lambda fit: fit[0].aic)
    start = {
        name: getattr(best, name)
        for name in ("initial_level", "initial_trend", "initial_seasonal")
        if getattr(best, name, None) is not None
    }
    whole = ETSModel(values, initialization_method="known", **start, **options)
    states = whole.smooth(best.params)
    level = np.asarray(states.level)
    slope = np.asarray(states.slope) if "trend" in options else np.zeros_like(level)
    seasons = np.asarray(states.season) if seasonal else np.zeros_like(level)
    damping = dict(zip(best.param_names, best.params, strict=True)).get("damping_trend", 1.0)
    steps = np.arange(horizon)
    ahead = np.cumsum(damping ** (1 + steps))
    lag = season - steps % season

    def points(origins: np.ndarray) -> np.ndarray:
        last = origins[:, None] - 1
        forecast = level[last] + slope[last] * ahead + seasons[origins[:, None] - lag]
        return forecast * unit + center

    return points
