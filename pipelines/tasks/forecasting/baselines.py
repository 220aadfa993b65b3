"""Baselines of forecasting: seasonal naive and mean, exponential smoothing, linear regression."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from pipelines.predictions import Predictions
from pipelines.tasks.forecasting.data import SeriesData
from pipelines.tasks.forecasting.metrics import LEVELS
from pipelines.tasks.forecasting.scaling import standardized
from pipelines.tasks.forecasting.series import Series

Forecaster = Callable[[str], Predictions]
Points = Callable[[np.ndarray], np.ndarray]  # Origins, int [n], to forecasts, [n, horizon].
Method = Callable[[Series, SeriesData], Points]  # Of a series of a data set.

_TRENDS: tuple[dict[str, Any], ...] = ({}, {"trend": "add"}, {"trend": "add", "damped_trend": True})
# Fitting smoothing to more steps takes minutes and changes little.
_STEPS_FITTED = 10_000
_WINDOWS_FITTED = 5000
_PENALTIES = np.logspace(-2, 4, 7)


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
        "linear autoregression": _linear_autoregression,
    }
    return {name: _with_quantiles(data, method) for name, method in methods.items()}


def _with_quantiles(data: SeriesData, method: Method) -> Forecaster:
    fitted = []
    for series in data.series:
        points = method(series, data)
        first = max(data.season, data.history if method is _linear_autoregression else 0)
        before = np.arange(first, series.ends["train"] - data.horizon + 1)
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


def _seasonal_naive(series: Series, data: SeriesData) -> Points:
    """Each step repeats that of the season before; without a season, the last one."""
    lag = data.season - np.arange(data.horizon) % data.season
    return lambda origins: series.values[origins[:, None] - lag]


def _seasonal_mean(series: Series, data: SeriesData) -> Points:
    """Each step is the mean of the training steps at the same place in a season."""
    season, horizon = data.season, data.horizon
    means = np.array([series.known()[place::season].mean() for place in range(season)])
    return lambda origins: means[(origins[:, None] + np.arange(horizon)) % season]


def _exponential_smoothing(series: Series, data: SeriesData) -> Points:
    """Additive exponential smoothing (Holt 1957, Winters 1960) with the trend that fits best.

    Hyndman et al., "Forecasting with Exponential Smoothing", 2008: the parameters have the
    greatest likelihood on train, and Akaike's criterion chooses between no trend, a linear and a
    damped one. With these parameters one pass over the whole series gives the state after each
    step, from steps up to it alone. The search depends on the unit, so that it is done in
    standard units.
    """
    season, horizon = data.season, data.horizon
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


def _linear_autoregression(series: Series, data: SeriesData) -> Points:
    """Each step ahead is a linear function of the history, and of the covariates around the step.

    Ridge regression (Hoerl & Kennard 1970) on windows of train, standardized as the network's; of
    several penalties, the one with the lowest error of windows that are left out.
    """
    history, horizon, scaling = data.history, data.horizon, data.scaling
    covariates = data.covariates.of(series)
    # Before the first step and behind the last one, nothing is known.
    padded = np.pad(covariates, [(1, 1), (0, 0)])
    around = np.concatenate([padded[:-2], padded[1:-1], padded[2:]], axis=1)

    def inputs(origins: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        histories = series.windows(origins - history, history)
        level, deviation = scaling.of(histories, np)
        return standardized(histories, level, deviation), level, deviation

    every = np.arange(history, series.ends["train"] - horizon + 1)
    fitted = every[np.unique(np.linspace(0, len(every) - 1, _WINDOWS_FITTED).astype(int))]
    known, level, deviation = inputs(fitted)
    futures = standardized(series.windows(fitted, horizon), level, deviation)
    if not data.covariates.width:
        whole = RidgeCV(_PENALTIES, alpha_per_target=True).fit(known, futures)
    models = []
    for step in range(horizon) if data.covariates.width else ():
        both = np.concatenate([known, around[fitted + step]], axis=1)
        models.append(RidgeCV(_PENALTIES).fit(both, futures[:, step]))

    def points(origins: np.ndarray) -> np.ndarray:
        known, level, deviation = inputs(origins)
        steps = [
            model.predict(np.concatenate([known, around[origins + step]], axis=1))
            for step, model in enumerate(models)
        ]
        forecast = np.stack(steps, axis=1) if models else whole.predict(known)
        return forecast.reshape(-1, horizon) * deviation[:, None] + level[:, None]

    return points
