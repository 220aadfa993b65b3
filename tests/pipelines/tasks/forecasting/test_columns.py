"""Columns are chosen by name, by what they hold, and by the options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets.tables import Table
from pipelines.errors import UserError
from pipelines.tasks.forecasting import columns
from pipelines.tasks.forecasting.config import ForecastingConfig

DATE, TEXT, NUMBER = "2021-01-01", "Oslo", "17"


def chosen(first_row: dict[str, str], **options: Any) -> columns.Chosen:
    table = Table(Path("own.csv"), {name: [text] for name, text in first_row.items()}, [2])
    return columns.choose(table, replace(ForecastingConfig("", ""), **options))


@pytest.mark.parametrize(
    ("row", "options", "time", "values"),
    [
        ({"day": DATE, "units": NUMBER}, {}, "day", ["units"]),
        ({"when": DATE, "units": NUMBER}, {}, "when", ["units"]),
        ({"step": NUMBER, "units": NUMBER}, {}, "step", ["units"]),
        ({"units": NUMBER, "day": DATE}, {}, "day", ["units"]),
        ({"shop": TEXT, "Timestamp": DATE, "units": NUMBER}, {}, "Timestamp", ["units"]),
        ({"shop": TEXT, "sold date": DATE, "units": NUMBER}, {}, "sold date", ["units"]),
        ({"": NUMBER, "date": DATE, "units": NUMBER}, {}, "date", ["units"]),
        ({"units": NUMBER, "__index_level_0__": DATE}, {}, "__index_level_0__", ["units"]),
        ({"units": NUMBER}, {}, "", ["units"]),
        ({"a": NUMBER, "b": NUMBER}, {"column": "a"}, "", ["a"]),
        ({"a": NUMBER, "b": NUMBER}, {"column": "b"}, "a", ["b"]),
        ({"a": NUMBER, "b": NUMBER}, {"column": "b,a"}, "", ["b", "a"]),
        ({"day": DATE, "a": NUMBER, "b": NUMBER}, {"column": "a, b"}, "day", ["a", "b"]),
        ({"day": DATE, "a,b": NUMBER, "c": NUMBER}, {"column": "a,b"}, "day", ["a,b"]),
        ({"shop": TEXT, "units": NUMBER}, {"group": "shop"}, "", ["units"]),
        ({"shop": NUMBER, "day": DATE, "units": NUMBER}, {"group": "shop"}, "day", ["units"]),
        ({"clock": "23:00", "units": NUMBER}, {"missing": "keep"}, "", ["units"]),
        ({"day": "1/2", "units": NUMBER}, {"date_format": "%d/%m"}, "day", ["units"]),
    ],
)
def test_time_and_values_are_found(row, options, time, values):
    found = chosen(row, **options)
    assert (found.time, list(found.values)) == (time, values)


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"clock": "23:00", "units": NUMBER}, {}, "'clock' has times of day without a date"),
        ({"shop": TEXT, "units": NUMBER}, {}, "first column has to be the time, .* has 'Oslo'"),
        ({"a": TEXT, "b": TEXT}, {}, "forecasting needs a column of numbers, .* a, b"),
        ({"day": DATE, "a": NUMBER, "b": NUMBER}, {}, "has 2 numeric columns .*: day, a, b"),
        ({"day": DATE, "a": TEXT}, {"column": "a"}, "column 'a' of own.csv is not numeric"),
        ({"day": DATE, "a": NUMBER}, {"column": "a,c"}, "has no column 'c'; it has: day, a"),
        ({"day": DATE, "a": NUMBER}, {"column": "a", "group": "a"}, "--group and --column are bo"),
    ],
)
def test_what_is_unclear_is_told(row, options, message):
    with pytest.raises(UserError, match=message):
        chosen(row, **options)


@pytest.mark.parametrize(
    ("names", "is_data"),
    [
        (["2021-01-01", "5"], True),
        (["5"], True),
        (["23:00", "1,5"], True),
        (["day", "2021"], False),
        (["day"], False),
    ],
)
def test_a_first_row_of_data_is_no_header(names, is_data):
    table = Table(Path("own.csv"), {name: ["1"] for name in names}, [2], ";")
    if is_data:
        with pytest.raises(UserError, match=r"the first row of own.csv, .* is no header"):
            columns.check_header(table)
    else:
        columns.check_header(table)
        columns.check_header(replace(table, path=Path("own.parquet")))
