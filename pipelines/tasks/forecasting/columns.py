"""Which columns of a table are the time, the values to forecast, and the names of series."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.datasets import tables
from pipelines.datasets.tables import Table
from pipelines.errors import UserError
from pipelines.tasks.forecasting import numbers, times
from pipelines.tasks.forecasting.config import ForecastingConfig

_TIMES = {
    *("time", "times", "date", "dates", "datetime", "day", "timestamp", "ts", "ds", "month"),
    *("week", "quarter", "year", "hour", "period", "datum", "zeit", "zeitstempel", "fecha"),
}
# Columns without a name, as an index that pandas wrote has.
_UNNAMED = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
_CSV = (".csv", ".tsv", ".tab")
_ROWS_TRIED = 1000


@dataclass(frozen=True)
class Chosen:
    """Columns by name.

    Attributes:
        values: What to forecast, at least one.
        time: The time, or "" if there is none.
        group: What tells series apart, or "".
        others: Columns that none of these are.
    """

    values: Sequence[str]
    time: str
    group: str
    others: Sequence[str] = ()


def texts(table: Table, name: str) -> list[str]:
    """Returns a column as text, "" for nothing."""
    return ["" if value is None else str(value) for value in table.columns[name]]


def check_header(table: Table) -> None:
    """Raises `UserError` if the first row of a CSV file is data and not names."""
    names = [name for name in table.columns if name]
    if table.path.suffix.lower() in _CSV and names and all(map(_is_data, names)):
        example = "day,units" if len(names) > 1 else "units"
        raise UserError(
            f"the first row of {table.path}, {table.separator.join(names)!r}, is no header; put "
            f"the names of the columns above it, as {example.replace(',', table.separator)!r}"
        )


def _is_data(name: str) -> bool:
    return numbers.is_number(name) or times.is_date(name) or times.is_clock(name)


def choose(table: Table, config: ForecastingConfig) -> Chosen:
    """Returns the columns that a series is read from.

    Raises:
        UserError: A column is not there, it is unclear which to forecast, or none is the time.
    """
    names = [name for name in table.columns if name or any(filled(table, name))]
    wanted = _wanted(names, config.column)
    tables.check_columns(table, [*wanted, *filter(None, [config.group])])
    if config.group in wanted:
        raise UserError(f"--group and --column are both {config.group!r}; a series needs values")
    free = [name for name in names if name not in (*wanted, config.group)]
    if not wanted and not any(_is_numeric(table, name) for name in free):
        raise UserError(
            "forecasting needs a column of numbers, with a row for each step, but "
            f"{table.path} has none: its columns are {', '.join(names)}"
        )
    time = "" if names[0] in wanted and not _named(free) else _time(table, free, wanted, config)
    free = [name for name in free if name != time]
    if not wanted:
        numeric = [name for name in free if _is_numeric(table, name) and not _is_index(table, name)]
        if not numeric:
            raise UserError(
                f"{table.path} has no column of numbers beside {time!r}; its columns are "
                f"{', '.join(names)}"
            )
        if len(numeric) > 1:
            raise UserError(
                f"{table.path} has {len(numeric)} numeric columns to forecast; choose one of its "
                f"columns as --column, or several as a,b: {', '.join(names)}"
            )
        wanted = numeric
    for name in wanted:
        if not _is_numeric(table, name):
            example = next(iter(filled(table, name)), "")
            raise UserError(f"column {name!r} of {table.path} is not numeric, as {example!r}")
    return Chosen(wanted, time, config.group, [name for name in free if name not in wanted])


def filled(table: Table, name: str) -> list[str]:
    """Returns the first texts of a column that are not missing."""
    return [text for text in texts(table, name)[:_ROWS_TRIED] if not numbers.is_missing(text)]


def _wanted(names: Sequence[str], column: str) -> list[str]:
    if not column or column in names:  # A name may have a comma.
        return [column] if column else []
    return list(dict.fromkeys(name.strip() for name in column.split(",") if name.strip()))


def _named(names: Sequence[str]) -> list[str]:
    """Returns the columns that are called "date", "time" or the like."""
    return [name for name in names if name.strip().lower() in _TIMES]


def _time(
    table: Table, free: Sequence[str], wanted: Sequence[str], config: ForecastingConfig
) -> str:
    """Returns the column of times, or "" if the table has only values, or times do not matter."""
    if len(free) < (1 if wanted else 2):
        return ""
    parts = [name for name in free if set(re.split("[^a-z]+", name.lower())) & _TIMES]
    unnamed = [name for name in free if _UNNAMED.fullmatch(name) and not _is_index(table, name)]
    candidates = [*_named(free), *unnamed, free[0], *parts]
    for name in candidates if config.date_format == "" else candidates[:1]:
        found = filled(table, name)
        if config.date_format or _are_times(found):
            return name
    if config.missing == "keep":
        return ""
    first = candidates[0]
    example = next(iter(filled(table, first)), "")
    if times.is_clock(example):
        raise UserError(
            f"{table.place(0)}: {first!r} has times of day without a date ({example!r}); a time "
            f"needs its date, as '2021-01-31 {example}', or pass --missing keep to take each row "
            "as one step"
        )
    raise UserError(
        f"{table.place(0)}: the first column has to be the time, or one that is called time or "
        f"date; {first!r} has {example!r}; name one so, or pass --missing keep to take each row "
        "as one step"
    )


def _are_times(found: Sequence[str]) -> bool:
    return bool(found) and len(times.odd(found)) <= len(found) / 2


def _is_numeric(table: Table, name: str) -> bool:
    """Returns whether a column is meant to have numbers: most of its texts are."""
    found = filled(table, name)
    return bool(found) and sum(map(numbers.is_number, found)) >= len(found) / 2


def _is_index(table: Table, name: str) -> bool:
    """Returns whether a column without a name counts the rows."""
    if not _UNNAMED.fullmatch(name):
        return False
    found = filled(table, name)
    if not found or not found[0].isdigit():
        return False
    return found == [str(int(found[0]) + row) for row in range(len(found))]
