"""Quantile forecasts: levels, loss, scores, and the references that a network has to beat."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from sklearn.metrics import mean_absolute_error, mean_pinball_loss
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from pipelines.predictions import Predictions, Scores
from pipelines.tasks.forecasting.data import SeriesData

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
MEDIAN = LEVELS.index(0.5)

Forecaster = Callable[[str], Predictions]
Points = Callable[[np.ndarray], np.ndarray]  # Origins, int [n], to forecasts, [n, horizon].

_TRENDS: tuple[dict[str, Any], ...] = ({}, {"trend": "add"}, {"trend": "add", "damped_trend": True})


def pinball(scale: float) -> Callable:
    """Returns the pinball loss over `scale`, the mean over steps and `LEVELS`.

    Koenker & Bassett, "Regression Quantiles", 1978: an error e = y - q at level a costs a e above
    and (a - 1) e below, so that the quantile of level a has the lowest expected cost.

    Args:
        scale: What the errors are divided by; keeps the loss free of the series' unit.

    Returns:
        A loss of targets [batch, horizon] and quantiles [batch, horizon, levels].
    """
    levels = np.array(LEVELS, np.float32)

    def loss(target, quantiles):
        error = (target[..., None] - quantiles) / scale
        return ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=(1, 2))

    return loss


def network(core: keras.Model, data: SeriesData, scaling: str) -> keras.Model:
    """Wraps a network of features into one from raw histories to quantiles in the same unit.

    What it reads and answers has a mean taken out and is divided by a deviation:

    - "series": both of the training split. The level counts: what is high will come down.
    - "window": both of each history (Kim et al., "Reversible Instance Normalization for Accurate
      Time-Series Forecasting against Distribution Shift", 2022, without its learned affine map).
      Where level or spread drift away from all that training has seen, windows still look familiar.

    Args:
        core: From "features", [batch, time, 1], and "padding_mask", [batch, time], to
            [batch, horizon x levels].
        data: Says history, horizon and what the scaling takes from train.
        scaling: One of the above.

    Returns:
        A model from float32 [batch, history] to float32 [batch, horizon, levels]. Sorting keeps
        the quantiles from crossing and never raises the loss (Chernozhukov et al., "Quantile and
        Probability Curves without Crossing", 2010).
    """
    history = keras.Input((data.history,), dtype="float32", name="history")
    if scaling == "series":
        known = data.values[: data.ends["train"]]
        level, deviation = np.float32(known.mean()), np.float32(known.std())
    else:
        level = ops.mean(history, axis=1, keepdims=True)
        # A history may be constant.
        deviation = ops.maximum(ops.std(history, axis=1, keepdims=True), 1e-3 * data.scale)
    x = ((history - level) / deviation)[..., None]
    mask = ops.cast(ops.ones_like(x[..., 0]), "int32")
    outputs = core({"features": x, "padding_mask": mask}) * deviation + level
    quantiles = ops.sort(ops.reshape(outputs, (-1, data.horizon, len(LEVELS))), axis=-1)
    return keras.Model(history, quantiles, name="forecast")


def answers(quantiles, xp) -> dict:
    """Returns what a served model says, given quantiles [batch, horizon, levels].

    Args:
        quantiles: float32, sorted along the levels.
        xp: The array library they belong to, `numpy` or `tf.experimental.numpy`.
    """
    levels = xp.asarray(LEVELS, dtype=quantiles.dtype)
    return {
        "forecast": quantiles[..., MEDIAN],
        "quantiles": quantiles,
        "levels": xp.zeros_like(quantiles[:, 0]) + levels,
    }


def scores(predictions: Predictions) -> Scores:
    """Returns the scores of forecasts of all windows and steps together.

    - mase: mean absolute error over that of the one-season-ahead naive forecast within train
      (Hyndman & Koehler, "Another look at measures of forecast accuracy", 2006). At longer
      horizons than a season values above 1 are no sign of failure.
    - mae: mean absolute error in the series' unit.
    - smape: mean of 2 |y - f| / (|y| + |f|), between 0 and 2 (Makridakis 1993).
    - pinball: mean over the levels, in the series' unit.
    - coverage: share of the truth between the outermost quantiles; 0.90 would be right.
    """
    target, forecast = predictions.examples["target"], predictions.predicted["forecast"]
    quantiles, scale = predictions.predicted["quantiles"], predictions.examples["scale"]
    error = np.abs(target - forecast)
    size = np.abs(target) + np.abs(forecast)
    inside = (target >= quantiles[..., 0]) & (target <= quantiles[..., -1])
    losses = [
        mean_pinball_loss(target, quantiles[..., index], alpha=level)
        for index, level in enumerate(LEVELS)
    ]
    return {
        "mase": float((error / scale[:, None]).mean()),
        "mae": float(mean_absolute_error(target, forecast)),
        "smape": float(np.divide(2 * error, size, out=np.zeros_like(error), where=size > 0).mean()),
        "pinball": float(np.mean(losses)),
        "coverage": float(inside.mean()),
    }


def references(data: SeriesData) -> dict[str, Forecaster]:
    """Returns forecasters by name, each from a split's name to predictions for its windows.

    They know what the network knows: parameters come from train, states from the steps before each
    origin. Their quantiles add those of the errors that they make in train at each step ahead.
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
    """Additive exponential smoothing (Holt 1957, Winters 1960) with the trend that suits it.

    Hyndman et al., "Forecasting with Exponential Smoothing", 2008: the parameters have the
    greatest likelihood on train, and Akaike's criterion chooses between no trend, a linear and a
    damped one. With these parameters one pass over the whole series gives the state after each
    step, from steps up to it alone.
    """
    train = data.values[: data.ends["train"]]
    seasonal = {"seasonal": "add", "seasonal_periods": data.season} if data.season > 1 else {}
    fits = []
    for trend in _TRENDS:
        with warnings.catch_warnings():  # Of searches that end early; the best of three is taken.
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
