"""What a calendar says of a time: known in advance, so that the horizon has it too.

Training computes it of the times of a series in numpy, the served graph of texts in TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# By each of `config.CALENDAR`, how many features there are.
FEATURES = {"hour": 24, "weekday": 7, "month": 12, "season": 4, "us_holidays": 11}
FIELDS = ("year", "month", "day", "hour")

# Federal holidays of the United States by month and day, or the weekday (0 is Monday) on or after
# a day of the month.
_FIXED = ((1, 1), (6, 19), (7, 4), (11, 11), (12, 25))
_FLOATING = ((1, 15, 0), (2, 15, 0), (5, 25, 0), (9, 1, 0), (10, 8, 0), (11, 22, 3))
# Mean lengths of months do, for the place of a day in its year.
_DAYS_A_MONTH, _DAYS_A_YEAR = 30.4375, 365.25


def of_times(times: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the `FIELDS` of times, datetime64 [...], int64 [...]."""
    months, days = times.astype("datetime64[M]"), times.astype("datetime64[D]")
    return {
        "year": times.astype("datetime64[Y]").astype(np.int64) + 1970,
        "month": months.astype(np.int64) % 12 + 1,
        "day": (days - months).astype(np.int64) + 1,
        "hour": (times.astype("datetime64[h]") - days).astype(np.int64),
    }


def width(names: Sequence[str]) -> int:
    """Returns how many features some names of `FEATURES` have together."""
    return sum(FEATURES[name] for name in names)


def features(fields: Mapping[str, Any], names: Sequence[str], xp: Any) -> Any:
    """Returns the features of times.

    Classes are one-hot. The season of the year is the sine and cosine of its day, of one and of two
    periods. The holidays of the United States are the federal ones of today, on their own days.

    Args:
        fields: `FIELDS`, int64 [...].
        names: Of `FEATURES`.
        xp: The array library they belong to, `numpy` or `tensorflow.experimental.numpy`.

    Returns:
        float32 [..., features].
    """
    month, day = fields["month"], fields["day"]
    weekday = _weekday(fields)
    found = {
        "hour": lambda: _one_hot(fields["hour"], 0, 24, xp),
        "weekday": lambda: _one_hot(weekday, 0, 7, xp),
        "month": lambda: _one_hot(month, 1, 12, xp),
        "season": lambda: _season(month, day, xp),
        "us_holidays": lambda: _us_holidays(month, day, weekday, xp),
    }
    return xp.concatenate([xp.asarray(found[name](), np.float32) for name in names], axis=-1)


def _weekday(fields: Mapping[str, Any]) -> Any:
    """Returns 0 for Mondays to 6 for Sundays (Sakamoto's method)."""
    # January and February belong to the year before, whose last days they follow.
    early = (14 - fields["month"]) // 12
    year, month = fields["year"] - early, fields["month"] + 12 * early - 2
    days = fields["day"] + year + year // 4 - year // 100 + year // 400 + 31 * month // 12
    return (days + 6) % 7


def _one_hot(numbers: Any, first: int, count: int, xp: Any) -> Any:
    return xp.equal(numbers[..., None], first + np.arange(count, dtype=np.int64))


def _season(month: Any, day: Any, xp: Any) -> Any:
    days = _DAYS_A_MONTH * xp.asarray(month - 1, np.float64) + xp.asarray(day - 1, np.float64)
    angle = 2 * np.pi / _DAYS_A_YEAR * days
    waves = (xp.sin(angle), xp.cos(angle), xp.sin(2 * angle), xp.cos(2 * angle))
    return xp.stack(waves, axis=-1)


def _us_holidays(month: Any, day: Any, weekday: Any, xp: Any) -> Any:
    fixed = [(month == m) & (day == d) for m, d in _FIXED]
    floating = [(month == m) & (weekday == w) & (day >= d) & (day < d + 7) for m, d, w in _FLOATING]
    return xp.stack(fixed + floating, axis=-1)
