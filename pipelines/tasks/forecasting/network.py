"""The forecasting network: a sequence model between two standardizations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from pipelines.tasks.forecasting.data import SeriesData
from pipelines.tasks.forecasting.metrics import LEVELS, MEDIAN


def forecast_network(core: keras.Model, data: SeriesData, scaling: str) -> keras.Model:
    """Wraps a network on features into one from raw histories to quantiles in the same unit.

    Its inputs and outputs are standardized, by a mean and a standard deviation:

    - "series": those of the training split. The network sees the level: high values will come down.
    - "window": those of each history (Kim et al., "Reversible Instance Normalization for Accurate
      Time-Series Forecasting against Distribution Shift", 2022, without its learned affine map).
      Where level or spread drift beyond the range of the training split, windows still look alike.

    Args:
        core: From "features", [batch, time, 1], and "padding_mask", [batch, time], to
            [batch, horizon x levels].
        data: Has history, horizon, and the mean and deviation of train.
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


def predictions(quantiles: Any, xp: Any) -> dict[str, Any]:
    """Returns what a served model responds.

    Args:
        quantiles: float32 [batch, horizon, levels], ascending along the levels.
        xp: The array library they belong to, `numpy` or `tf.experimental.numpy`.

    Returns:
        "forecast", the median, [batch, horizon]; "quantiles"; and "levels", [batch, levels].
    """
    levels = xp.asarray(LEVELS, dtype=quantiles.dtype)
    return {
        "forecast": quantiles[..., MEDIAN],
        "quantiles": quantiles,
        "levels": xp.zeros_like(quantiles[:, 0]) + levels,
    }
