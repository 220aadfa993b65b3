"""The pipeline `forecasting`: its options and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pipelines.config import Between, Config, Optimizer, Pipeline, Recipe


@dataclass(frozen=True)
class ForecastingConfig(Config):
    """Forecasting options."""

    column: str = ""
    """Column of a CSV or Parquet file to forecast; empty takes the only numeric one."""
    season: Annotated[int, Between(0, 100_000)] = 0
    """Season length in steps; 0 takes that of a bundled data set, else none."""
    history: Annotated[int, Between(1, 100_000)] = 60
    """Input window in steps."""
    horizon: Annotated[int, Between(1, 10_000)] = 12
    """Forecast horizon in steps."""
    scaling: Literal["series", "window"] = "series"
    """Standardize with mean and deviation of the training split, or of each input window."""


PIPELINE = Pipeline(
    summary="Probabilistic forecasting",
    task="pipelines.tasks.forecasting.task:Forecasting",
    defaults=ForecastingConfig(
        dataset="elnino",
        architecture="gru",
        model={"units": [32], "dropout": 0.2},
        recipe=Recipe(
            epochs=100,
            batch_size=32,
            patience=25,
            optimizer=Optimizer(learning_rate=3e-3, clip_norm=1.0),
        ),
    ),
)
