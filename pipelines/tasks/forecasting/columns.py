"""Which columns of a table are the time, the values to forecast, and the names of series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.datasets import tables
from pipelines.datasets.tables import Table
from pipelines.errors import UserError
from pipelines.tasks.forecasting import numbers, time_column, times
from pipelines.tasks.forecasting.cells import filled
from pipelines.tasks.forecasting.config import ForecastingConfig

_CSV = (".csv", ".tsv", ".tab")


@dataclass(frozen=True)
class Chosen:
    """Columns by name.

    Attributes:
        values: What to forecast, at least one.
        time: The time, which may have the name "", or none.
        groups: What tells series apart, together; none for a single series.
        others: Columns that none of these are, and that may tell series apart.
        parts: Columns beside the time that may be a part of it, as an hour beside a date.
        covariates: What is known in advance.
    """

    values: Sequence[str]
    time: str | None
    groups: Sequence[str]
    others: Sequence[str] = ()
    parts: Sequence[str] = ()
    covariates: Sequence[str] = ()

    def numbers(self) -> list[str]:
        """Returns the columns of numbers."""
        return [*self.values, *self.covariates]

    def needed(self) -> list[str]:
        """Returns the columns of which each row needs a text: the time and the groups."""
        time = [] if self.time is None else [self.time]
        return [*time, *self.groups]


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
    wanted, groups = _wanted(names, config.column), _wanted(names, config.group)
    covariates = _wanted(names, config.covariates)
    tables.check_columns(table, [*wanted, *groups, *covariates, *filter(None, [config.time])])
    if config.time and config.time in (*wanted, *groups):
        other = "group" if config.time in groups else "column"
        raise UserError(f"--time and --{other} are both {config.time!r}; choose two columns")
    if both := [name for name in groups if name in wanted]:
        raise UserError(f"--group and --column are both {both[0]!r}; a series needs values")
    taken = {"column": wanted, "group": groups, "time": [config.time]}
    for option, chosen in taken.items():
        if both := [name for name in covariates if name in chosen]:
            raise UserError(
                f"--covariates and --{option} are both {both[0]!r}; what is known in advance is "
                "another column"
            )
    free = [name for name in names if name not in (*wanted, *groups, *covariates)]
    # A column without a name is the time or none at all, as numbers of rows are.
    free = [name for name in free if name or time_column.has_dates(table, name)]
    if not wanted and not any(_is_numeric(table, name) for name in free):
        raise UserError(
            "forecasting needs a column of numbers, with a row for each step, but "
            f"{table.path} has none: its columns are {', '.join(names)}{_nearly(table, free)}"
        )
    time = time_column.find(table, free, wanted, groups, config)
    free = [name for name in free if name != time]
    if not wanted:
        numeric = [name for name in free if _is_numeric(table, name) and not _is_index(table, name)]
        if len(numeric) > 1 and time is not None and time_column.counts_rows(table, names[0]):
            numeric = [name for name in numeric if name != names[0]]
        if not numeric:
            raise UserError(
                f"{table.path} has no column of numbers beside {time!r}; its columns are "
                f"{', '.join(names)}{_nearly(table, free)}"
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
    for name in covariates:
        if not _is_numeric(table, name):
            example = next(iter(filled(table, name)), "")
            raise UserError(
                f"covariate {name!r} of {table.path} is not numeric, as {example!r}; write classes "
                "as columns of 0 and 1"
            )
    others = [name for name in free if name not in wanted]
    parts = [name for name in others if time_column.is_part(table, name)]
    others = [
        name for name in others if name not in parts and not time_column.counts_rows(table, name)
    ]
    return Chosen(wanted, time, groups, others, parts, covariates)


def _wanted(names: Sequence[str], column: str) -> list[str]:
    if not column or column in names:  # A name may have a comma.
        return [column] if column else []
    return list(dict.fromkeys(name.strip() for name in column.split(",") if name.strip()))


def _nearly(table: Table, names: Sequence[str]) -> str:
    """Returns a part of a sentence with a text that is a number but for its signs or unit."""
    for name in names:
        for text in filled(table, name)[:1]:
            bare = text.strip("%$€£¥()").strip()
            bare = bare if numbers.is_number(bare) else bare.partition(" ")[0]
            if not _is_data(text) and numbers.is_number(bare):
                return f"; {name!r} has {text!r}, and numbers have no signs, units or brackets"
    return ""


def _is_numeric(table: Table, name: str) -> bool:
    """Returns whether a column is meant to have numbers: most of its texts are."""
    found = filled(table, name)
    return bool(found) and sum(map(numbers.is_number, found)) >= len(found) / 2


def _is_index(table: Table, name: str) -> bool:
    """Returns whether a column without a name counts the rows."""
    return time_column.is_unnamed(name) and time_column.counts_rows(table, name)


def unread_note(table: Table, chosen: Chosen) -> str:
    """Returns a note on digits without a name behind whole numbers, as of 115,77 between commas."""
    names = list(table.columns)
    for name in chosen.values:
        behind = names[names.index(name) + 1 :][:1]
        whole = all(text.lstrip("+-").isdecimal() for text in filled(table, name))
        if table.separator == "," and behind == [""] and chosen.time != "" and whole:
            fractions = filled(table, "")
            if fractions and all(map(str.isdecimal, fractions)):
                return (
                    f"the column without a name behind {name!r} of {table.path} is not read; if "
                    f"its digits, as {fractions[0]!r}, are decimals of {name!r}, put such numbers "
                    "in quotes"
                )
    return ""
