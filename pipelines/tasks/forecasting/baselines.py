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

Forecaster = Callable[[str], Predictions]
Points = Callable[[np.ndarray], np.ndarray]  # Origins, int [n], to forecasts, [n, horizon].

_TRENDS: tuple[dict[str, Any], ...] = ({}, {"trend": "add"}, {"trend": "add", "damped_trend": True})


def forecasters(data: SeriesData) -> dict[str, Forecaster]:
    """Returns forecasters by name, each from a split's name to predictions for its windows.

    They use what the network may use: parameters come from train, states from the steps before each
    origin. Their quantiles add to the forecast those of its errors in train at each step ahead.
    """
    forecasts = {
        "seasonal naive": _seasonal_naive(data),
        "seasonal mean": _seasonal_mean(data),
        "exponential smoothing": _exponential_smoothing(data),
    }
    return {name: _with_quantiles(data, forecast) for name, forecast in forecasts.items()}


def _with_quantiles(data: SeriesData, points: Points) -> Forecaster:
    before = np.arange(data.season, data.ends["train"] - data.horizon + 1)
    futures = data.values[before[:, None] + np.arange(data.horizon)]
    errors = np.quantile(futures - points(before), LEVELS, axis=0).T  # [horizon, levels]

    def predict(split: str) -> Predictions:
        forecast = points(data.origins(split))
        return Predictions(
            {"target": data.futures(split), **data.raw(split)},
            {"forecast": forecast, "quantiles": forecast[..., None] + errors},
        )

    return predict


def _seasonal_naive(data: SeriesData) -> Points:
    """Each step repeats that of the season before; without a season, the last one."""
    lag = data.season - np.arange(data.horizon) % data.season
    return lambda origins: data.values[origins[:, None] - lag]


def _seasonal_mean(data: SeriesData) -> Points:
    """Each step is the mean of the training steps at the same place in a season."""
    known = data.values[: data.ends["train"]]
    means = np.array([known[place :: data.season].mean() for place in range(data.season)])
    return lambda origins: means[(origins[:, None] + np.arange(data.horizon)) % data.season]


def _exponential_smoothing(data: SeriesData) -> Points:
    """Additive exponential smoothing (Holt 1957, Winters 1960) with the trend that fits best.

    Hyndman et al., "Forecasting with Exponential Smoothing", 2008: the parameters have the
    greatest likelihood on train, and Akaike's criterion chooses between no trend, a linear and a
    damped one. With these parameters one pass over the whole series gives the state after each
    step, from steps up to it alone.
    """
    train = data.values[: data.ends["train"]]
    seasonal = {"seasonal": "add", "seasonal_periods": data.season} if data.season > 1 else {}
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
    whole = ETSModel(data.values, initialization_method="known", **start, **options)
    states = whole.smooth(best.params)
    level = np.asarray(states.level)
    slope = np.asarray(states.slope) if "trend" in options else np.zeros_like(level)
    season = np.asarray(states.season) if seasonal else np.zeros_like(level)
    damping = dict(zip(best.param_names, best.params, strict=True)).get("damping_trend", 1.0)
    steps = np.arange(data.horizon)
    ahead = np.cumsum(damping ** (1 + steps))
    lag = data.season - steps % data.season

    def points(origins: np.ndarray) -> np.ndarray:
        last = origins[:, None] - 1
        return level[last] + slope[last] * ahead + season[origins[:, None] - lag]

    return points
