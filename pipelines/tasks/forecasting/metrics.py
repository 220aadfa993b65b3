"""The quantiles that are forecast, their loss and their scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from pipelines.predictions import Predictions, Scores

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
MEDIAN = LEVELS.index(0.5)


def pinball(target: Any, quantiles: Any) -> Any:
    """Returns the pinball loss, [batch], the mean over steps and `LEVELS`.

    Koenker & Bassett, "Regression Quantiles", 1978: an error e = y - q at level a costs a e above
    and (a - 1) e below, so that the quantile of level a has the lowest expected cost.

    Args:
        target: [batch, horizon].
        quantiles: [batch, horizon, levels].
    """
    levels = np.array(LEVELS, np.float32)
    error = target[..., None] - quantiles
    return ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=(1, 2))


def reduce(predictions: Predictions) -> Predictions:
    """Reduces forecasts to the means over the steps of each window whose means are the scores."""
    target, forecast = predictions.examples["target"], predictions.predicted["forecast"]
    quantiles, scale = predictions.predicted["quantiles"], predictions.examples["scale"]
    error = np.abs(target - forecast)
    size = np.abs(target) + np.abs(forecast)
    inside = (target >= quantiles[..., 0]) & (target <= quantiles[..., -1])
    levels, gap = np.array(LEVELS), target[..., None] - quantiles
    return predictions.reduced(
        {
            "mase": (error / scale[:, None]).mean(1),
            "mae": error.mean(1),
            "smape": np.divide(2 * error, size, out=np.zeros_like(error), where=size > 0).mean(1),
            "pinball": np.maximum(levels * gap, (levels - 1) * gap).mean((1, 2)),
            "coverage": inside.mean(1),
        }
    )


def scores(predictions: Predictions) -> Scores:
    """Returns the scores of forecasts of all windows and steps together, which `reduce` returned.

    - mase: mean absolute error over that of the one-season-ahead naive forecast within train
      (Hyndman & Koehler, "Another look at measures of forecast accuracy", 2006). With a
      horizon longer than a season, values above 1 are no sign of failure.
    - mae: mean absolute error in the series' unit.
    - smape: mean of 2 |y - f| / (|y| + |f|), between 0 and 2 (Makridakis 1993).
    - pinball: mean over the levels, in the series' unit.
    - coverage: fraction of the truth between the outermost quantiles; 0.90 would be exact.
    """
    names = ("mase", "mae", "smape", "pinball", "coverage")
    return {name: predictions.mean(name) for name in names}
