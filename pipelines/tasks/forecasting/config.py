"""The pipeline `forecasting`: its options and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pipelines.bounds import Between
from pipelines.config import Config, Pipeline
from pipelines.errors import UserError
from pipelines.recipe import Optimizer, Recipe

# What can be read of a calendar.
CALENDAR = ("hour", "weekday", "month", "season", "us_holidays")


@dataclass(frozen=True)
class ForecastingConfig(Config):
    """Forecasting options."""

    column: str = ""
    """Columns of own tables to forecast, a series each, as a,b; empty takes the only numeric."""
    group: str = ""
    """Column of own tables, or several as a,b, whose values tell several series apart."""
    time: str = ""
    """Column of own tables that is the time; empty recognizes it."""
    decimal: Literal["", ".", ","] = ""
    """Decimal mark of own tables, point or comma; empty recognizes it."""
    date_format: str = ""
    """Format of times in own tables, in the codes of strptime; empty recognizes it."""
    missing: Literal["error", "interpolate", "keep"] = "error"
    """Missing steps of own series: an error, a line between neighbors, or no steps at all."""
    covariates: str = ""
    """Columns of own tables known in advance, over the horizon too, as price,promotion."""
    calendar: str = "auto"
    """What times say in advance, of hour,weekday,month,season,us_holidays; auto: as bundled set."""
    season: Annotated[int, Between(0, 100_000)] = 0
    """Season length in steps; 0 takes that of a bundled data set, else none."""
    history: Annotated[int, Between(1, 100_000)] = 60
    """Input window in steps."""
    horizon: Annotated[int, Between(1, 10_000)] = 12
    """Forecast horizon in steps."""
    jitter: Annotated[float, Between(0.0, 1.0)] = 0.0
    """Noise on training histories: its deviation, in units of the series' own (Um et al. 2017)."""
    random_scaling: Annotated[float, Between(0.0, 1.0)] = 0.0
    """Deviation of the random factor of training histories and futures around 1; 0: none."""
    scaling: Literal["auto", "series", "window"] = "auto"
    """Standardize by the training split or by each input window; auto: by window if several."""

    def calendar_names(self) -> tuple[str, ...]:
        """Returns what is read of the calendar; nothing where that follows from the data set."""
        names = (name.strip() for name in self.calendar.split(","))
        return tuple(dict.fromkeys(name for name in names if name not in ("", "auto", "none")))

    def check(self) -> None:
        """Raises `UserError` for options of classes, and for what no calendar has."""
        if unknown := [name for name in self.calendar_names() if name not in CALENDAR]:
            raise UserError(
                f"--calendar cannot be {unknown[0]}; there are: {', '.join(CALENDAR)}, and none"
            )
        if self.recipe.label_smoothing:
            raise UserError("--label_smoothing is for targets that are classes, not for numbers")


PIPELINE = Pipeline(
    summary="Probabilistic forecasting",
    task="pipelines.tasks.forecasting.task:Forecasting",
    defaults=ForecastingConfig(
        dataset="births",
        architecture="gru",
        model={"units": [32], "dropout": 0.1},
        history=28,
        horizon=14,
        scaling="window",
        recipe=Recipe(
            epochs=10,
            batch_size=32,
            optimizer=Optimizer(learning_rate=3e-3, clip_norm=1.0),
        ),
    ),
)
