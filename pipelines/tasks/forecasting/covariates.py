"""Covariates: what is known in advance of every step, those of the horizon among them.

They are columns of the user's own table, as promotions, and what a calendar says of the time. The
network reads them over history and horizon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipelines.errors import UserError
from pipelines.tasks.forecasting import calendar_features
from pipelines.tasks.forecasting.series import Series


@dataclass(frozen=True)
class Covariates:
    """The covariates of a data set.

    Attributes:
        columns: Names of columns.
        level: Their means in train, float64 [columns].
        deviation: Their standard deviations there, 1 where they are constant.
        calendar: Names of features of the time, of `calendar_features.FEATURES`.
    """

    columns: Sequence[str] = ()
    level: Sequence[float] = ()
    deviation: Sequence[float] = ()
    calendar: Sequence[str] = ()

    @property
    def width(self) -> int:
        """The number of features of a step."""
        return len(self.columns) + calendar_features.width(self.calendar)

    def features(self, values: Any, fields: Mapping[str, Any] | None, xp: Any) -> Any:
        """Returns what the network reads, float32 [..., width].

        Args:
            values: The columns, float64 [..., columns]; None without any.
            fields: The times, as `calendar_features.features` has them; None without a calendar.
            xp: The array library they belong to, `numpy` or `tensorflow.experimental.numpy`.
        """
        parts = []
        if self.columns:
            standard = (values - np.array(self.level)) / np.array(self.deviation)
            parts.append(xp.asarray(standard, np.float32))
        if fields is not None:
            parts.append(calendar_features.features(fields, self.calendar, xp))
        return xp.concatenate(parts, axis=-1)

    def of(self, series: Series) -> np.ndarray:
        """Returns the features of each step of a series, float32 [steps, width]."""
        if not self.width:
            return np.zeros((len(series.values), 0), np.float32)
        fields = calendar_features.of_times(series.times) if self.calendar else None
        return self.features(series.covariates, fields, np)

    def windows(self, series: Series, starts: np.ndarray, length: int) -> np.ndarray:
        """Returns the features from each start on, float32 [windows, length, width]."""
        return windows(self.of(series), starts, length)


def of(
    series: Sequence[Series], columns: Sequence[str], calendar: Sequence[str], place: str
) -> Covariates:
    """Returns the covariates that a run asks for.

    Args:
        series: At least one, with the values of `columns`.
        columns: Names of columns.
        calendar: Names of features of the calendar.
        place: Where the series are, for messages.

    Raises:
        UserError: Times are no dates.
    """
    if calendar and series[0].times.dtype.kind != "M":
        raise UserError(
            f"--calendar {','.join(calendar)} needs dates, and the times of {place} are numbers, "
            f"as {series[0].times[0]}"
        )
    if not columns:
        return Covariates(calendar=tuple(calendar))
    known = np.concatenate([one.covariates[: one.ends["train"]] for one in series])
    deviation = known.std(axis=0)
    return Covariates(
        tuple(columns),
        tuple(known.mean(axis=0).tolist()),
        tuple(np.where(deviation > 0, deviation, 1.0).tolist()),
        tuple(calendar),
    )


def windows(steps: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Returns rows of steps, [steps, columns], from each start on: [windows, length, columns]."""
    return sliding_window_view(steps, length, axis=0)[starts].transpose(0, 2, 1)
