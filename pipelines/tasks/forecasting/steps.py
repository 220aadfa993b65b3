"""The step between times: a fixed interval, a working day, months; and where steps are missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_DAY = 86_400_000_000  # Microseconds.
_UNITS = (
    (7 * _DAY, "week"),
    (_DAY, "day"),
    (3_600_000_000, "hour"),
    (60_000_000, "minute"),
    (1_000_000, "second"),
    (1000, "millisecond"),
    (1, "microsecond"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# Times that are read off a clock may be off by this part of a step.
_JITTER = 0.1
# Days in a month on which its step may fall, as the last working day does.
_SPREAD = 6


@dataclass(frozen=True, eq=False)
class Steps:
    """Times as numbers of steps.

    Attributes:
        name: What a step is, as "a day".
        positions: int [rows], from 0 on; where one is missing, a step is.
        times: From positions to times.
        note: What is worth knowing, or "".
    """

    name: str
    positions: np.ndarray
    times: Callable[[np.ndarray], np.ndarray]
    note: str = ""

    def missing(self) -> int:
        """Returns the number of missing steps."""
        return int(self.positions[-1]) + 1 - len(self.positions)


def find(times: np.ndarray) -> Steps | None:
    """Returns the step between times, or none if there is none.

    At least half of the times follow each other by one step, the others by several.

    Args:
        times: [rows], datetime64[us] or numbers, ascending.
    """
    if len(times) < 2:
        return Steps("one row", np.zeros(len(times), int), lambda positions: times[:1])
    if times.dtype.kind != "M":
        return _numbers(times)
    return _working_days(times) or _fixed(times) or _calendar(times) or _about(times)


def _numbers(times: np.ndarray) -> Steps | None:
    differences = np.diff(times)
    if times.dtype.kind == "i":
        positions = _multiples(differences, int(differences.min()))
        if positions is None:
            return None
        step, first = int(differences.min()), int(times[0])
        return Steps(f"{step}", positions, lambda chosen: first + step * chosen)
    positions, size = _near(differences)
    if positions is None:
        return None
    return Steps(f"{size:.4g}", positions, _interpolated(times, positions))


def _fixed(times: np.ndarray) -> Steps | None:
    whole = times.astype(np.int64)
    step = int(np.diff(whole).min())
    positions = _multiples(np.diff(whole), step)
    if positions is None:
        return None
    first = times[0]
    return Steps(
        _interval(step), positions, lambda chosen: first + (step * chosen).astype("timedelta64[us]")
    )


def _working_days(times: np.ndarray) -> Steps | None:
    """Returns the step of a series without certain days of the week, at least two of each."""
    days = times.astype("datetime64[D]")
    hours = times - days
    if np.any(hours != hours[0]) or np.diff(days).min() != np.timedelta64(1, "D"):
        return None
    everyday = np.arange(days[0], days[-1] + 1)
    mask = np.isin(np.arange(7), _weekday(days))
    absent = _weekday(everyday[~mask[_weekday(everyday)]])
    if not len(absent) or np.bincount(absent)[~mask[: absent.max() + 1]].min() < 2:
        return None
    if not mask.any() or len(days) < 2 * mask.sum():
        return None
    positions = np.busday_count(days[0], days, weekmask=mask)
    if np.mean(np.diff(positions) == 1) < 0.5:
        return None
    kept = [name for name, there in zip(_WEEKDAYS, mask, strict=True) if there]
    run = np.diff(np.flatnonzero(mask)).max(initial=1) == 1 and len(kept) > 2
    named = f"{kept[0]} to {kept[-1]}" if run else ", ".join(kept)
    return Steps(
        f"a day of {named}",
        positions,
        lambda chosen: np.busday_offset(days[0], chosen, weekmask=mask) + hours[0],
    )


def _calendar(times: np.ndarray) -> Steps | None:
    """Returns a step of months, on about the same day of each."""
    months = times.astype("datetime64[M]")
    size = int(np.diff(months).astype(int).min())
    positions = _multiples(np.diff(months).astype(int), size)
    if positions is None:
        return None
    from_start = (times - months).astype(np.int64) // _DAY
    lengths = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(int)
    from_end = lengths - from_start
    if min(np.ptp(from_start), np.ptp(from_end)) > _SPREAD:
        return None
    hours = (times - times.astype("datetime64[D]"))[0]
    at_end = bool(np.ptp(from_end) < np.ptp(from_start))
    day = int(np.median(from_end if at_end else from_start))
    first = months[0]

    def on(chosen: np.ndarray) -> np.ndarray:
        month = first + size * chosen
        length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(int)
        offset = length - day if at_end else np.minimum(day, length - 1)
        return month.astype("datetime64[us]") + (offset * _DAY).astype("timedelta64[us]") + hours

    names = {1: "a month", 3: "a quarter", 12: "a year"}
    return Steps(names.get(size, f"{size} months"), positions, on)


def _about(times: np.ndarray) -> Steps | None:
    """Returns a fixed step that times keep to within a tenth of it."""
    whole = times.astype(np.int64)
    positions, size = _near(np.diff(whole))
    if positions is None:
        return None
    unit = next(unit for unit, _ in _UNITS if abs(size - unit * round(size / unit)) < 0.01 * size)
    name = _interval(unit * round(size / unit))
    between = _interpolated(whole.astype(np.float64), positions)
    off = float(np.abs(np.diff(whole) - size * np.diff(positions)).max())
    return Steps(
        name,
        positions,
        lambda chosen: between(chosen).astype(np.int64).astype("datetime64[us]"),
        f"its steps are {name}, but for up to {off / 1e6:.3g} seconds",
    )


def _multiples(differences: np.ndarray, step: int) -> np.ndarray | None:
    """Returns positions if all differences are multiples of the step, half of them one step."""
    if step < 1 or np.any(differences % step) or np.mean(differences == step) < 0.5:
        return None
    return np.concatenate([[0], np.cumsum(differences // step)])


def _near(differences: np.ndarray) -> tuple[np.ndarray | None, float]:
    """Returns positions by the median difference, and it, if all are nearly multiples of it."""
    size = float(np.median(differences))
    counts = np.rint(differences / size) if size > 0 else np.zeros(len(differences))
    off = np.abs(differences - counts * size)
    if np.any(off > _JITTER * size) or np.any(counts < 1) or np.mean(counts == 1) < 0.5:
        return None, 0.0
    return np.concatenate([[0], np.cumsum(counts.astype(int))]), size


def _interpolated(times: np.ndarray, positions: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda chosen: np.interp(chosen, positions, times)


def _interval(step: int) -> str:
    size, name = next((size, name) for size, name in _UNITS if step % size == 0)
    if step == size:
        return f"an {name}" if name == "hour" else f"a {name}"
    return f"{step // size} {name}s"


def _weekday(days: np.ndarray) -> np.ndarray:
    """Returns 0 for Mondays to 6 for Sundays."""
    return (days.astype(int) + 3) % 7


def clock_change(before: np.datetime64, after: np.datetime64) -> bool:
    """Returns whether clocks may have changed between two local times of an hourly series.

    Almost everywhere that is early on a Sunday: clocks are put forward or back by an hour, so that
    an hour is missing or is there twice.
    """
    night = np.max([before, after]).astype("datetime64[D]")
    start = min(before, after) - night.astype("datetime64[us]")
    end = max(before, after) - night.astype("datetime64[us]")
    hour = np.timedelta64(1, "h")
    sunday = _weekday(np.array([night]))[0] == 6
    return bool(sunday and start >= -hour and end <= 4 * hour)
