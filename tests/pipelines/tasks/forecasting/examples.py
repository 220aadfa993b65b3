"""Small series that tests of forecasting work on."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.config import Recipe
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.data import SeriesData, cut


def series(
    values: np.ndarray | None = None,
    *,
    season: int = 4,
    history: int = 8,
    horizon: int = 3,
    ends: dict[str, int] | None = None,
) -> SeriesData:
    """A series of months in windows; noise around a season of four steps unless told otherwise."""
    if values is None:
        random = np.random.default_rng(0)
        values = 10 + 3 * np.sin(np.arange(120) * np.pi / 2) + random.normal(size=120)
    count = len(values)
    return cut(
        {"name": "months", "version": "1.0.0", "digest": "0123456789ab"},
        np.asarray(values, np.float64),
        np.datetime64("2000-01", "M") + np.arange(count),
        ends or {"train": round(0.7 * count), "validation": round(0.85 * count), "test": count},
        season=season,
        history=history,
        horizon=horizon,
    )


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
