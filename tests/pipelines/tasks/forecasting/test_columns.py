"""Columns are chosen by name, by what they hold, and by the options."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets.tables import Table
from pipelines.errors import UserError
from pipelines.tasks.forecasting import columns, time_column
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
        ({"units": NUMBER}, {}, None, ["units"]),
        ({"a": NUMBER, "b": NUMBER}, {"column": "a"}, None, ["a"]),
        ({"a": NUMBER, "b": NUMBER}, {"column": "b"}, "a", ["b"]),
        ({"a": NUMBER, "b": NUMBER}, {"column": "b,a"}, None, ["b", "a"]),
        ({"day": DATE, "a": NUMBER, "b": NUMBER}, {"column": "a, b"}, "day", ["a", "b"]),
        ({"day": DATE, "a,b": NUMBER, "c": NUMBER}, {"column": "a,b"}, "day", ["a,b"]),
        ({"shop": TEXT, "units": NUMBER}, {"group": "shop"}, None, ["units"]),
        ({"shop": NUMBER, "day": DATE, "units": NUMBER}, {"group": "shop"}, "day", ["units"]),
        ({"clock": "23:00", "units": NUMBER}, {"missing": "keep"}, None, ["units"]),
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
        ({"time": TEXT, "units": NUMBER}, {}, "'time' has no times that are known, as 'Oslo'"),
        ({"a": NUMBER, "b": DATE}, {"column": "a", "time": "a"}, "--time and --column are both"),
        ({"a": NUMBER, "b": DATE}, {"time": "c"}, "has no column 'c'; it has: a, b"),
        ({"day": DATE, "a": NUMBER, "b": NUMBER}, {}, "has 2 numeric columns .*: day, a, b"),
        *(
            ({"day": DATE, "p": text}, {}, f"p; 'p' has '{re.escape(text)}', and numbers have no")
            for text in ("5%", "$5", "12.5 €", "(12.5)", "12 kg", "12.5 kg")
        ),
        ({"day": DATE, "a": TEXT}, {"column": "a"}, "column 'a' of own.csv is not numeric"),
        ({"day": DATE, "a": NUMBER}, {"column": "a,c"}, "has no column 'c'; it has: day, a"),
        ({"day": DATE, "a": NUMBER}, {"column": "a", "group": "a"}, "--group and --column are bo"),
    ],
)
def test_what_is_unclear_is_told(row, options, message):
    with pytest.raises(UserError, match=message):
        chosen(row, **options)


NEWEST_FIRST = ["2021-01-03", "2021-01-02", "2021-01-01"]
RUNNING = ["1", "2", "3"]
OTHERS = ["5", "4", "9"]


@pytest.mark.parametrize(
    ("table", "options", "time"),
    [
        *(
            ({"id": RUNNING, name: NEWEST_FIRST, "units": OTHERS}, {"column": "units"}, name)
            for name in ("order_date", "sold_on", "invoice date", "Reported On")
        ),
        ({"id": RUNNING, "sold_on": NEWEST_FIRST, "units": OTHERS}, {}, "sold_on"),
        ({"units": OTHERS, "sold_on": NEWEST_FIRST}, {}, "sold_on"),
        ({"units": OTHERS, "sold_on": NEWEST_FIRST}, {"column": "units"}, "sold_on"),
        ({"": NEWEST_FIRST, "y": OTHERS}, {}, ""),
        ({"": NEWEST_FIRST, "y": OTHERS}, {"column": "y"}, ""),
        ({"y": OTHERS, "": NEWEST_FIRST}, {}, ""),
        ({"": ["0", "2", "7"], "y": OTHERS}, {}, None),
        ({"": RUNNING, "sold_on": NEWEST_FIRST, "y": OTHERS}, {}, "sold_on"),
        # Dates that never change are no time, nor are plain numbers that look like months.
        ({"step": RUNNING, "born": ["2001-01-01"] * 3, "y": OTHERS}, {}, "step"),
        ({"step": RUNNING, "y": ["202101", "202102", "202104"]}, {}, "step"),
        ({"time": RUNNING, "born": NEWEST_FIRST, "y": OTHERS}, {}, "time"),
        (
            {"STATIONS_ID": ["3"] * 3, "MESS_DATUM": ["20210101", "20210102", "20210103"]}
            | {"y": OTHERS},
            {"column": "y"},
            "MESS_DATUM",
        ),
        ({"station": ["3"] * 3, "valid": NEWEST_FIRST, "y": OTHERS}, {"column": "y"}, "valid"),
        (
            {"dateRep": NEWEST_FIRST, "day": ["1", "1", "2"], "y": OTHERS},
            {"column": "y"},
            "dateRep",
        ),
        # The years of each shop only rise.
        (
            {
                "shop": ["a", "b", "a"],
                "year": ["1", "1", "2"],
                "founded": NEWEST_FIRST,
                "y": OTHERS,
            },
            {"group": "shop"},
            "year",
        ),
        ({"day": NEWEST_FIRST, "other": NEWEST_FIRST, "y": OTHERS}, {"time": "other"}, "other"),
        (
            {"day": NEWEST_FIRST, "other": ["1/2", "2/2", "3/2"], "y": OTHERS},
            {"date_format": "%d/%m"},
            "other",
        ),
    ],
)
def test_dates_are_the_time_before_plain_numbers(table, options, time):
    own = Table(Path("own.csv"), table, [2, 3, 4])
    found = columns.choose(own, replace(ForecastingConfig("", ""), **options))
    assert found.time == time
    assert len(found.values) == 1
    usual = time in ("day", "time") and next(iter(table)) == time
    assert bool(time_column.note(own, found.time)) != usual


def test_digits_behind_whole_numbers_are_noted():
    def note(**more: list[str]) -> str:
        own = Table(Path("own.csv"), {"date": NEWEST_FIRST, **more}, [2, 3, 4], ",")
        return columns.unread_note(own, columns.Chosen(["p"], "date", []))

    assert "behind 'p' of own.csv is not read; if its digits, as '5'" in note(
        **{"p": RUNNING, "": OTHERS}
    )
    assert not note(**{"p": ["1.5", "2.5", "3.5"], "": OTHERS})
    assert not note(**{"p": RUNNING, "": ["a", "b", "c"]})


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
