"""Which series can be forecast: long enough for a window in each split, and not constant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.series import Series

# Values that differ by less than this part of them differ in the last digits of float64 alone.
_RESOLUTION = 1e-13


def fit(
    series: Sequence[Series], place: str, season: int, config: ForecastingConfig
) -> tuple[list[Series], list[str], dict[str, int]]:
    """Returns the series that can be forecast.

    Args:
        series: At least one.
        place: Where they are, for messages.
        season: Steps of a season.
        config: Has history and horizon, and `skip_bad`.

    Returns:
        The series, notes, and by split the number of steps that are left out with their series.

    Raises:
        UserError: A series is too short, constant in train, or repeats itself exactly; with
            `skip_bad`, all of them.
    """
    problems = [problem(one, season, config.history, config.horizon) for one in series]
    bad = [index for index, found in enumerate(problems) if found]
    left_out = dict.fromkeys(SPLITS, 0)
    if not bad:
        return list(series), [], left_out
    first = series[bad[0]].name
    which = f"{place}, series {first!r}," if first else place
    sentence = f"{which} {problems[bad[0]]}"
    if len(bad) > 1:
        sentence += f"; {len(bad) - 1} more of the {len(series)} series cannot be used"
    if len(series) == 1 or not config.skip_bad:
        hint = "; pass --skip_bad true to leave such series out" if len(series) > 1 else ""
        raise UserError(sentence + hint)
    kept = [one for one, found in zip(series, problems, strict=True) if not found]
    if not kept:
        raise UserError(f"{place} has no series that can be used: {sentence}")
    for index in bad:
        lengths = np.diff([0, *series[index].ends.values()]).tolist()
        left_out = {split: left_out[split] + n for split, n in zip(SPLITS, lengths, strict=True)}
    return kept, [f"{len(bad)} of {len(series)} series are left out: {sentence}"], left_out


def problem(series: Series, season: int, history: int, horizon: int) -> str:
    """Returns why a series cannot be forecast, or ""."""
    lengths = dict(zip(SPLITS, np.diff([0, *series.ends.values()]).tolist(), strict=True))
    needed = max(history, 2 * season, 10) + horizon
    if lengths["train"] < needed or min(lengths.values()) < horizon:
        return (
            f"is too short: of its {len(series.values)} steps train has {lengths['train']}, "
            f"validation {lengths['validation']}, test {lengths['test']}; --history {history}, "
            f"--horizon {horizon} and a season of {season} need {needed} in train and {horizon} in "
            "each of the others"
        )
    known = series.known()
    low, high = known.min(), known.max()
    if low == high:
        part = "" if np.all(series.values == low) else " in train"
        return f"is constant{part}: every value is {low:.12g}; there is nothing to learn"
    if high - low < _RESOLUTION * max(abs(low), abs(high)):
        return (
            f"has values from {low!r} to {high!r}, which differ in the last digits of a float64 "
            "alone; subtract a constant from them"
        )
    with np.errstate(over="ignore", under="ignore"):
        deviation = known.std()
    if not (0 < deviation < np.inf):
        return f"has values from {low:g} to {high:g}, which are too extreme; change their unit"
    if not series.scale(season):
        return f"repeats itself exactly every {season} steps; there is nothing to learn"
    return ""
