"""The forecasting network: from standardized histories to standardized quantiles."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipelines.tasks.forecasting.metrics import LEVELS, MEDIAN

# Steps around a step of the horizon whose covariates count for it, and units that read them.
_NEARBY, _UNITS = 3, 32


def forecast_network(
    core: keras.Model, history: int, horizon: int, covariates: int = 0
) -> keras.Model:
    """Wraps a network on features into one from histories to quantiles.

    With covariates, the network reads those of the history beside its values, and what it says of
    a step of the horizon meets the covariates around that step in a small network which all steps
    share: the temporal decoder of Das et al., "Long-term Forecasting with TiDE", 2023.

    Args:
        core: From "features", [batch, time, 1 + covariates], and "padding_mask", [batch, time], to
            [batch, horizon x levels].
        history: Length of the input window.
        horizon: Forecast horizon.
        covariates: Number of features of a step that are known in advance.

    Returns:
        A model from float32 [batch, history] to float32 [batch, horizon, levels], both
        standardized; with covariates from a dict of "history" and "covariates", float32
        [batch, history + horizon, covariates]. Sorting keeps the quantiles from crossing and never
        raises the loss (Chernozhukov et al., "Quantile and Probability Curves without Crossing",
        2010).
    """
    inputs = keras.Input((history,), dtype="float32", name="history")
    x = inputs[..., None]
    mask = ops.cast(ops.ones_like(x[..., 0]), "int32")
    if not covariates:
        outputs = core({"features": x, "padding_mask": mask})
        outputs = ops.reshape(outputs, (-1, horizon, len(LEVELS)))
        return keras.Model(inputs, ops.sort(outputs, axis=-1), name="forecast")
    known = keras.Input((history + horizon, covariates), dtype="float32", name="covariates")
    x = ops.concatenate([x, known[:, :history]], axis=-1)
    outputs = core({"features": x, "padding_mask": mask})
    outputs = ops.reshape(outputs, (-1, horizon, len(LEVELS)))
    nearby = keras.layers.Conv1D(_UNITS, _NEARBY, padding="same", activation="relu")(known)
    both = ops.concatenate([outputs, nearby[:, history:]], axis=-1)
    hidden = keras.layers.Dense(_UNITS, activation="relu")(both)
    outputs = outputs + keras.layers.Dense(len(LEVELS))(hidden)
    together = {"history": inputs, "covariates": known}
    return keras.Model(together, ops.sort(outputs, axis=-1), name="forecast")


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
