"""Small series that tests of forecasting work on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.recipe import Recipe
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.data import SeriesData, cut
from pipelines.tasks.forecasting.scaling import Scaling, by_series, by_window
from pipelines.tasks.forecasting.series import Series


def noise(count: int = 120, seed: int = 0) -> np.ndarray:
    """Noise around a season of four steps."""
    random = np.random.default_rng(seed)
    return 10 + 3 * np.sin(np.arange(count) * np.pi / 2) + random.normal(size=count)


def months(
    values: Sequence[float] | np.ndarray, name: str = "", ends: dict[str, int] | None = None
) -> Series:
    """A series of months."""
    count = len(values)
    return Series(
        name,
        np.asarray(values, np.float64),
        np.datetime64("2000-01", "M") + np.arange(count),
        ends or {"train": round(0.7 * count), "validation": round(0.85 * count), "test": count},
    )


def windows(
    *series: Series, season: int = 4, history: int = 8, horizon: int = 3, scaling: Any = None
) -> SeriesData:
    """Series in windows, by default standardized by themselves if there is one."""
    if not isinstance(scaling, Scaling):
        by_itself = scaling == "series" or (scaling is None and len(series) == 1)
        least = min(one.scale(season) for one in series)
        scaling = by_series(series[0].known()) if by_itself else by_window(least)
    return cut(
        {"name": "months", "version": "1.0.0", "digest": "0123456789ab"},
        series,
        season=season,
        history=history,
        horizon=horizon,
        scaling=scaling,
    )


def series(
    values: Sequence[float] | np.ndarray | None = None,
    ends: dict[str, int] | None = None,
    **options: Any,
) -> SeriesData:
    """One series of months in windows; noise unless told otherwise."""
    return windows(months(noise() if values is None else values, ends=ends), **options)


def config(architecture: str = "gru", scaling: Any = "auto", **model: Any) -> ForecastingConfig:
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
