"""Which column of a table is the time: by its name, by its dates, or else by its place."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.datasets.tables import Table
from pipelines.errors import UserError
from pipelines.tasks.forecasting import numbers, times
from pipelines.tasks.forecasting.cells import ROWS_TRIED, filled, texts
from pipelines.tasks.forecasting.config import ForecastingConfig

_NAMES = {
    *("time", "times", "date", "dates", "datetime", "day", "timestamp", "ts", "ds", "month"),
    *("week", "quarter", "year", "hour", "period", "datum", "zeit", "zeitstempel", "fecha"),
}
_PARTS = {"hr", "minute", "min", "second", "clock", "stunde", "uhrzeit", "tag", "monat", "jahr"}
# Columns without a name, as an index that pandas wrote has.
_UNNAMED = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
_KEEP = "pass --missing keep to take each row as one step"


def find(
    table: Table,
    free: Sequence[str],
    wanted: Sequence[str],
    groups: Sequence[str],
    config: ForecastingConfig,
) -> str | None:
    """Returns the column of times, or none if the table has only values, or times do not matter.

    Dates come before plain numbers, which may be those of rows; but numbers that only rise, or
    only fall, under a name of times are the time.

    Args:
        table: The table.
        free: The columns that may be the time.
        wanted: The columns of values, empty if that is still to be found.
        groups: The columns that tell series apart.
        config: Its options.

    Raises:
        UserError: No column has times, and they matter.
    """
    if config.time:
        return config.time
    if len(free) < (1 if wanted else 2):
        return None
    parts = [name for name in free if set(re.split("[^a-z]+", name.lower())) & _NAMES]
    unnamed = [name for name in free if is_unnamed(name) and not counts_rows(table, name)]
    candidates = [*filter(is_usual, free), *unnamed, free[0], *parts]
    dated = [name for name in (*candidates, *free) if has_dates(table, name)]
    if config.date_format:
        fitting = [name for name in (*candidates, *free) if _fits(table, name, config.date_format)]
        return (fitting or candidates)[0]
    rising = [name for name in filter(is_usual, free) if _goes_one_way(table, name, groups)]
    first_is_value = bool(wanted) and next(iter(table.columns)) in wanted
    numbered = [name for name in candidates if _are_times(filled(table, name))]
    if first_is_value and not any(map(is_usual, free)):
        numbered = []
    usual = [name for name in free if is_usual(name) and (name in dated or name in rising)]
    varied = [name for name in dated if len(table) == 1 or len(set(filled(table, name))) > 1]
    for names in (usual, varied, numbered, dated):
        if names:
            return names[0]
    if config.missing == "keep" or first_is_value:
        return None
    raise UserError(_none(table, candidates[0]))


def note(table: Table, time: str | None) -> str:
    """Returns a note on which column is the time, or "" if that is plain."""
    if time is None:
        return f"no column of {table.path} is taken as the time: each row is one step"
    if time == next(iter(table.columns)) and is_usual(time):
        return ""
    return f"the time of {table.path} is {called(time)}"


def called(name: str) -> str:
    """Returns what a column is called in a sentence."""
    return f"the column {name!r}" if name else "the column without a name"


def is_usual(name: str) -> bool:
    """Returns whether a column is called "date", "time" or the like."""
    return name.strip().lower() in _NAMES


def is_part(table: Table, name: str) -> bool:
    """Returns whether a column may be a part of a time, as of hours or of months."""
    if is_usual(name) or name.strip().lower() in _PARTS:
        return True
    found = filled(table, name)[:1]
    return bool(found) and times.is_clock(found[0])


def is_unnamed(name: str) -> bool:
    """Returns whether a column has no name of its own."""
    return _UNNAMED.fullmatch(name) is not None


def counts_rows(table: Table, name: str) -> bool:
    """Returns whether a column counts the rows, from whatever number on."""
    found = filled(table, name)
    if not found or not found[0].isdecimal():
        return False
    return found == [str(int(found[0]) + row) for row in range(len(found))]


def has_dates(table: Table, name: str) -> bool:
    """Returns whether most texts of a column are dates.

    Plain digits, as 202101, are dates only where the name says so, or where there is none.
    """
    found = filled(table, name)
    words = set(re.split("[^a-z]+", name.lower()))
    digits = is_unnamed(name) or bool(words & _NAMES)
    dates = [text for text in found if times.is_date(text)]
    if not digits:
        dates = [text for text in dates if not numbers.is_number(text)]
    return bool(dates) and len(dates) >= len(found) / 2


def _goes_one_way(table: Table, name: str, groups: Sequence[str]) -> bool:
    """Returns whether the numbers of each series only rise, or only fall, none of them twice."""
    series: dict[tuple[str, ...], list[float]] = {}
    found = texts(table, name)[:ROWS_TRIED]
    names = zip(*(texts(table, group) for group in groups), strict=True) if groups else None
    for text in found:
        value = numbers.value(text, ".")
        one = next(names) if names else ()
        if value is not None:
            series.setdefault(one, []).append(value)
    return sum(map(len, series.values())) >= max(1, len(found) / 2) and all(
        len(set(values)) == len(values) and values in (sorted(values), sorted(values)[::-1])
        for values in series.values()
    )


def _fits(table: Table, name: str, form: str) -> bool:
    found = filled(table, name)[:1]
    return bool(found) and bool(times.formatted(found, form)[0])


def _are_times(found: Sequence[str]) -> bool:
    return bool(found) and len(times.odd(found)) <= len(found) / 2


def _none(table: Table, first: str) -> str:
    """Returns the sentence on a table in which no column has times."""
    example = next(iter(filled(table, first)), "")
    if times.is_clock(example):
        return (
            f"{table.place(0)}: {first!r} has times of day without a date ({example!r}); a time "
            f"needs its date, as '2021-01-31 {example}', or {_KEEP}"
        )
    if is_usual(first):
        return (
            f"{table.place(0)}: {first!r} has no times that are known, as {example!r}; pass "
            f"--date_format with their form, or --time with another column, or {_KEEP}"
        )
    return (
        f"{table.place(0)}: the first column has to be the time, or one that is called time or "
        f"date; {first!r} has {example!r}; name the column as --time, or {_KEEP}"
    )
