"""The forecasting network: from standardized histories to standardized quantiles."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipelines.tasks.forecasting.metrics import LEVELS, MEDIAN


def forecast_network(core: keras.Model, history: int, horizon: int) -> keras.Model:
    """Wraps a network on features into one from histories to quantiles.

    Args:
        core: From "features", [batch, time, 1], and "padding_mask", [batch, time], to
            [batch, horizon x levels].
        history: Length of the input window.
        horizon: Forecast horizon.

    Returns:
        A model from float32 [batch, history] to float32 [batch, horizon, levels], both
        standardized. Sorting keeps the quantiles from crossing and never raises the loss
        (Chernozhukov et al., "Quantile and Probability Curves without Crossing", 2010).
    """
    inputs = keras.Input((history,), dtype="float32", name="history")
    x = inputs[..., None]
    mask = ops.cast(ops.ones_like(x[..., 0]), "int32")
    outputs = core({"features": x, "padding_mask": mask})
    quantiles = ops.sort(ops.reshape(outputs, (-1, horizon, len(LEVELS))), axis=-1)
    return keras.Model(inputs, quantiles, name="forecast")


def predictions(quantiles: Any, xp: Any) -> dict[str, Any]:
    """Returns what a served model responds.

    Args:
        quantiles: float64 [batch, horizon, levels], ascending along the levels.
        xp: The array library they belong to, `numpy` or `tensorflow.experimental.numpy`.

    Returns:
        "forecast", the median, [batch, horizon]; "quantiles"; and "levels", [batch, levels].
    """
    levels = xp.asarray(LEVELS, dtype=quantiles.dtype)
    return {
        "forecast": quantiles[..., MEDIAN],
        "quantiles": quantiles,
        "levels": xp.zeros_like(quantiles[:, 0]) + levels,
    }
