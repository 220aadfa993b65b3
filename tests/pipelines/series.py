"""Small series that tests of forecasting work on."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.config import Recipe
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.data import SeriesData


def series(values: np.ndarray | None = None, **choices: Any) -> SeriesData:
    """A series of months in windows; noise around a season of four steps unless told otherwise."""
    if values is None:
        random = np.random.default_rng(0)
        values = 10 + 3 * np.sin(np.arange(120) * np.pi / 2) + random.normal(size=120)
    count = len(values)
    given: dict[str, Any] = {
        "name": "months",
        "version": "1.0.0",
        "digest": "0123456789ab",
        "times": np.datetime64("2000-01", "M") + np.arange(count),
        "ends": {
            "train": round(0.7 * count),
            "validation": round(0.85 * count),
            "test": count,
        },
        "season": 4,
        "history": 8,
        "horizon": 3,
    }
    return SeriesData(values=np.asarray(values, np.float64), **given | choices)


def config(architecture: str = "gru", scaling: Any = "series", **model: Any) -> ForecastingConfig:
    """A network for it that trains in a moment."""
    return ForecastingConfig(
        dataset="months",
        architecture=architecture,
        model={"units": [4], **model},
        history=8,
        horizon=3,
        scaling=scaling,
        recipe=Recipe(epochs=1, batch_size=16),
    )
