"""Rows in time order, and steps without a value: named, interpolated, or taken as they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pipelines.errors import UserError
from pipelines.tasks.forecasting import steps
from pipelines.tasks.forecasting.times import shown

_KEEP = "pass --missing keep to take each row as one step"
_CLOCKS = "give times in UTC or with their offset from it, as 02:00+01:00, or " + _KEEP


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a series.

    Attributes:
        name: The series' name, "" for the only one.
        values: float64 [rows], NaN where there is none.
        times: datetime64[us] or numbers, [rows].
        periods: int [rows], the number of the split's table.
        rows: int [rows], their numbers in the tables.
        place: From a row's number to where it is, as "FILE, line 7".
        covariates: float64 [rows, columns].
        others: Columns that are not used, and may tell several series apart.
        parts: Columns that are not used, and may be a part of the time.
    """

    name: str
    values: np.ndarray
    times: np.ndarray
    periods: np.ndarray
    rows: np.ndarray
    place: Callable[[int], str]
    covariates: np.ndarray
    others: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def take(self, chosen: np.ndarray) -> Rows:
        """Returns some of the rows, int [n], in that order."""
        parts = {
            name: getattr(self, name)[chosen]
            for name in ("values", "times", "periods", "rows", "covariates")
        }
        return replace(self, **parts)

    def where(self, row: int) -> str:
        """Returns where a row is, with the series' name if it has one."""
        place = self.place(int(self.rows[row]))
        return place + (f", series {self.name!r}" if self.name else "")


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps of a series.

    Attributes:
        values: float64 [steps].
        times: [steps].
        periods: int [steps], as in `Rows`.
        interpolated: bool [steps], where a value is interpolated.
        dropped: int [rows], the first step behind each row that is left out.
        covariates: float64 [steps, columns]; where a row is missing, on a line between neighbors.
        longest: The longest run of interpolated steps in words, and its length.
        notes: What was found, in parts of sentences.
    """

    values: np.ndarray
    times: np.ndarray
    periods: np.ndarray
    interpolated: np.ndarray
    dropped: np.ndarray
    covariates: np.ndarray
    longest: tuple[int, str] = (0, "")
    notes: tuple[str, ...] = ()


def ascending(rows: Rows) -> tuple[Rows, bool]:
    """Returns rows, those of each split turned round if they are newest first, and whether one was.

    They may still be out of order.
    """
    order, turned = [], False
    for period in np.unique(rows.periods):
        part = np.flatnonzero(rows.periods == period)
        differences = np.diff(rows.times[part])
        zero = differences.dtype.type(0)
        if np.all(differences <= zero) and np.any(differences < zero):
            part, turned = part[::-1], True
        order.append(part)
    return (rows.take(np.concatenate(order)) if turned else rows), turned


def evenness(rows: Rows) -> int:
    """Returns 2 if rows are in order, with the same step between all; 1 if nearly, 0 if not."""
    times = ascending(rows)[0].times
    if not np.all(times[1:] > times[:-1]):
        return 0
    found = steps.find(times)
    if found is None or found.missing():
        return 0
    return 1 if found.note else 2


def without_gaps(rows: Rows, missing: str) -> Steps:
    """Returns the steps of a series in order of time.

    Args:
        rows: At least one, in order, or newest first.
        missing: "error"; "interpolate", linearly in float64; or "keep", which takes each row with
            a value as one step.

    Raises:
        UserError: Times are out of order, there twice, without a step, or missing; or values are.
    """
    rows, turned = ascending(rows)
    notes: tuple[str, ...] = ("its rows are newest first, and turned round",) * turned
    found_twice = _check_order(rows, missing)
    if found_twice:
        notes += (found_twice,)
    empty = np.isnan(rows.values)
    if empty.all():
        raise UserError(f"{rows.where(0)}: none of its {len(rows.values)} rows has a value")
    if missing == "keep":
        kept = np.flatnonzero(~empty)
        if empty.any():
            notes += (f"rows without a value, which are left out: {int(empty.sum())}",)
        step = steps.find(rows.times) if not found_twice else None
        if step is None:
            notes += ("its times have no step in common, and each row is one step",)
        elif step.missing():
            notes += (f"steps that are missing, and taken as no steps: {step.missing()}",)
        chosen = rows.take(kept)
        return Steps(
            chosen.values,
            chosen.times,
            chosen.periods,
            np.zeros(len(kept), bool),
            np.cumsum(~empty)[empty],
            chosen.covariates,
            notes=notes,
        )
    step = steps.find(rows.times)
    if step is None:
        raise UserError(_irregular(rows))
    notes += (step.note,) if step.note else ()
    if missing == "error":
        _check_complete(rows, step)
        nothing = np.zeros(len(empty), bool)
        return Steps(
            rows.values,
            rows.times,
            rows.periods,
            nothing,
            np.zeros(0, int),
            rows.covariates,
            notes=notes,
        )
    return _interpolated(rows, step, notes)


def _check_order(rows: Rows, missing: str) -> str:
    """Returns a note on times that are there twice and may be.

    Raises:
        UserError: Times do not increase.
    """
    times = rows.times
    back, same = times[1:] < times[:-1], times[1:] == times[:-1]
    if not back.any() and not same.any():
        return ""
    changed = [row for row in map(int, np.flatnonzero(back | same)) if _is_clock_change(times, row)]
    if len(changed) < np.sum(back | same) and (back.any() or missing != "keep"):
        row = int(np.setdiff1d(np.flatnonzero(back if back.any() else same), changed)[0])
        first, second = shown(times[row]), shown(times[row + 1])
        hint = ""
        if rows.parts:
            hint = (
                f"; if {rows.parts[0]!r} is a part of the time, join both into one column, as "
                "'2021-01-31 23:00'"
            )
        elif rows.others:
            hint = f"; if {rows.others[0]!r} tells series apart, pass it as --group"
        if back.any():
            raise UserError(
                f"{rows.where(row + 1)}: {second} comes after {first}; rows have to be in order of "
                f"time{hint}"
            )
        others = int(same.sum()) - 1
        raise UserError(
            f"{rows.where(row + 1)}: {second} is there twice, here and in "
            f"{rows.place(int(rows.rows[row])).rpartition(', ')[2]}"
            + (f", and {others} more times are" if others else "")
            + f"; a series has one row for each time{hint}"
        )
    if missing == "keep":
        return f"times that are there twice: {int(np.sum(back | same))}"
    row = changed[0]
    raise UserError(
        f"{rows.where(row + 1)}: {shown(times[row + 1])} follows {shown(times[row])}, as where "
        f"clocks are put back by an hour; {_CLOCKS}"
    )


def _is_clock_change(times: np.ndarray, row: int) -> bool:
    """Returns whether the clock may have changed behind a row of an hourly, or finer, series."""
    hour = np.timedelta64(1, "h")
    if times.dtype.kind != "M" or np.median(np.diff(times).astype(np.int64)) > 3_600_000_000:
        return False
    return abs(times[row + 1] - times[row]) <= 2 * hour and steps.clock_change(
        times[row], times[row + 1]
    )


def _check_complete(rows: Rows, step: steps.Steps) -> None:
    """Raises `UserError` for the first step, or value, that is missing."""
    sizes = np.diff(step.positions) - 1
    gaps = np.flatnonzero(sizes)
    if len(gaps):
        row = int(gaps[np.argmax(sizes[gaps])])
        place, clocks = rows.where(row + 1), _is_clock_change(rows.times, row)
        between = f"between {shown(rows.times[row])} and {shown(rows.times[row + 1])}"
        if clocks and all(_is_clock_change(rows.times, int(gap)) for gap in gaps):
            raise UserError(
                f"{place}: {_missing(int(sizes[row]), step.name)} {between}, as where clocks are "
                f"put forward by an hour; {_CLOCKS}"
            )
        others = f", and {int(sizes.sum() - sizes[row])} more elsewhere" if len(gaps) > 1 else ""
        if step.missing() > len(rows.times):  # Most values would be invented.
            raise UserError(
                f"{place}: {_missing(int(sizes[row]), step.name)} {between}{others}, which are "
                f"more than the table has; times may mean something else (--date_format says "
                f"what, --time which column they are), or {_KEEP}"
            )
        raise UserError(
            f"{place}: {_missing(int(sizes[row]), step.name)} {between}{others}; fill them, pass "
            f"--missing interpolate to draw a line between both ends, or {_KEEP}"
        )
    empty = np.flatnonzero(np.isnan(rows.values))
    if len(empty):
        others = f", and in {len(empty) - 1} more rows" if len(empty) > 1 else ""
        raise UserError(
            f"{rows.where(int(empty[0]))}: the value is missing{others}; fill it, pass --missing "
            "interpolate to draw a line between its neighbors, or --missing keep to leave such "
            "rows out"
        )


def _missing(number: int, step: str) -> str:
    return f"{number} steps of {step} are missing" if number > 1 else f"a step of {step} is missing"


def _interpolated(rows: Rows, step: steps.Steps, notes: tuple[str, ...]) -> Steps:
    known = ~np.isnan(rows.values)
    places, values = step.positions[known], rows.values[known]
    first, last = np.flatnonzero(known)[[0, -1]]
    after = len(known) - 1 - last
    if first + after:
        notes += (f"rows without a value at its ends, which are left out: {first + after}",)
    every = np.arange(places[0], places[-1] + 1)
    filled = np.interp(every, places, values)
    filled[places - places[0]] = values
    interpolated = np.ones(len(every), bool)
    interpolated[places - places[0]] = False
    times = step.times(every)
    times[places - places[0]] = rows.times[known]
    sizes = np.diff(places) - 1
    longest = (0, "")
    if sizes.any():
        row = int(np.argmax(sizes))
        ends = (shown(time) for time in rows.times[known][row : row + 2])
        longest = int(sizes[row]), " to ".join(ends)
    # A step between two splits belongs to the later one.
    periods = rows.periods[known][np.searchsorted(places, every)]
    dropped = np.repeat([0, len(every)], [first, after])
    covariates = np.empty((len(every), rows.covariates.shape[1]))
    for column, known_ahead in enumerate(rows.covariates.T):
        covariates[:, column] = np.interp(every, step.positions, known_ahead)
    return Steps(
        filled, times, periods, interpolated, dropped, covariates, longest=longest, notes=notes
    )


def _irregular(rows: Rows) -> str:
    differences = np.diff(rows.times)
    low, high = differences.min(), differences.max()
    if rows.times.dtype.kind == "M":
        low, high = (str(one.astype("timedelta64[s]").item()) for one in (low, high))
    else:
        low, high = f"{low:.6g}", f"{high:.6g}"
    return (
        f"{rows.where(0)}: times follow each other after {low} to {high}, without a step that they "
        f"have in common; bring them to one, or {_KEEP}"
    )
