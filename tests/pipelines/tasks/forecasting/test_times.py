"""Times as people write them: each in one way, or in several if it is unclear."""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tasks.forecasting import cells, times

DAY = "2021-02-03"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((DAY, DAY), ("2021/2/3", DAY), ("2021.02.03", DAY), ("20210203", DAY)),
        *(("23.12.2021", "2021-12-23"), ("12/23/2021", "2021-12-23"), ("23.12.99", "1999-12-23")),
        *(("3 February 2021", DAY), ("Feb 3, 2021", DAY), ("03-FEB-2021", DAY), ("3Feb2021", DAY)),
        *(("Wed, 03 Feb 2021", DAY), ("2021 Feb", "2021-02-01"), ("Feb-21", "2021-02-01")),
        *(("2021-02", "2021-02-01"), ("202102", "2021-02-01"), ("02/2021", "2021-02-01")),
        *(("2021-Q2", "2021-04-01"), ("2021Q2", "2021-04-01"), ("Q2 2021", "2021-04-01")),
        *(("2021M02", "2021-02-01"), ("2021-W05", "2021-02-01"), ("2021-W05-3", DAY)),
        *(("2021-02-03 04:05", f"{DAY}T04:05"), ("2021-02-03T04:05:06.5Z", f"{DAY}T04:05:06.5")),
        *(("2021-02-03 24:00", "2021-02-04"), ("12/23/2021 1:05 PM", "2021-12-23T13:05")),
        *(("12/23/2021 12:05 am", "2021-12-23T00:05"), ("20210203T0405", f"{DAY}T04:05")),
        *(("2021020304", f"{DAY}T04"), ("202102030405", f"{DAY}T04:05")),
        *(("20210203040506", f"{DAY}T04:05:06"), ("20210203.0", DAY), ("202102,00", "2021-02-01")),
        *(("2021-02-03T04:05+01:00", f"{DAY}T04:05"), ("1609459200", "2021-01-01")),
        *(("1609459200000", "2021-01-01"), ("1609459200000000001", "2021-01-01")),
    ],
)
def test_a_text_is_the_time_that_it_says(text, expected):
    (reading,) = times.readings([text])
    assert reading.values[0] == np.datetime64(expected)


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "2021-13-01",
        "2021-02-30",
        "31/02/2021",
        "23:00",
        "2021-W60",
        "1:5",
        "2021-01-01 25:00",
    ],
)
def test_other_texts_are_no_times(text):
    assert times.readings([text]) == []
    assert not times.is_date(text)
    assert times.is_clock(text) == (text == "23:00")


def test_numbers_are_times_as_they_are():
    for texts, expected in ((["1", "2"], [1, 2]), (["1958.5", "1959"], [1958.5, 1959])):
        (reading,) = times.readings(texts)
        np.testing.assert_array_equal(reading.values, expected)
    assert times.readings(["1958,5"], ",")[0].values[0] == 1958.5
    assert times.readings(["inf"]) == []


@given(st.lists(st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1)), min_size=1))
def test_iso_times_come_back(moments):
    moments = [moment.replace(microsecond=0) for moment in moments]
    expected = np.array(moments, "datetime64[us]")
    for texts in (
        [str(moment) for moment in moments],
        [moment.isoformat() for moment in moments],
        [f"{moment:%d.%m.%Y %H:%M:%S}" for moment in moments],
    ):
        values = [reading.values for reading in times.readings(texts)]
        assert any(np.array_equal(expected, one) for one in values)


def test_days_and_months_may_be_either_and_some_are_not():
    forms = [reading.form for reading in times.readings(["01/02/2005", "03/04/2005"])]
    assert forms == ["day/month/year", "month/day/year"]
    (only,) = times.readings(["01/02/2005", "13/04/2005"])
    assert only.form == "day/month/year"
    assert len(times.readings(["01/02/05"])) == 3


def test_dates_that_are_the_same_either_way_have_one_reading():
    texts = [f"01/01/{year}" for year in range(1970, 1980)]
    assert [reading.form for reading in times.readings(texts)] == ["day/month/year"]


def test_weeks_in_digits_go_on_in_the_next_year_and_other_numbers_are_none():
    (weeks,) = times.readings(["201851", "201852", "201901"])
    assert np.all(np.diff(weeks.values) == np.timedelta64(7, "D"))
    (months,) = times.readings(["201811", "201812", "201901"])
    assert months.form == "yearmonth"
    for texts in (["201851", "201852", "201854"], ["201813", "201814"], ["1609459200", "170100"]):
        (plain,) = times.readings(texts)
        assert plain.values.dtype.kind == "i"


def test_times_with_several_offsets_are_in_utc_or_local():
    utc, local = times.readings(["2021-03-28T01:00+01:00", "2021-03-28T03:00+02:00"])
    assert np.diff(utc.values) == np.timedelta64(1, "h")
    assert utc.values[0] == np.datetime64("2021-03-28T00:00")
    assert np.diff(local.values) == np.timedelta64(2, "h")
    assert times.readings(["2021-03-28T01:00+01:00", "2021-03-28T03:00"]) == []


def test_odd_ones_are_found_among_the_others():
    assert times.odd(["2021-01-01", "Total", "2021-01-02", "3.4.2021"]) == [1, 3]
    assert times.odd(["1", "2", "x"]) == [2]


def test_a_format_reads_or_names_the_first_row_that_does_not_fit():
    (reading,), row = times.formatted(["01/02/2005"], "%d/%m/%Y")
    assert (row, reading.values[0]) == (-1, np.datetime64("2005-02-01"))
    assert times.formatted(["01/02/2005", "2005"], "%d/%m/%Y") == ([], 1)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("2021-01-02", "D"), ("2021-01-02 03:04", "m"), ("2021-01-02 03:04:05", "s"), ("17", "")],
)
def test_times_are_shown_as_short_as_they_are(text, unit):
    values = times.readings([text])[0].values
    assert times.shown(values[0]) == text
    shortest = times.shortest(values)
    assert not unit or np.datetime_data(shortest.dtype)[0] == unit


@pytest.mark.parametrize(
    "texts",
    [
        [f"2021-01-0{day} {clock}" for day in (1, 2) for clock in ("00", "23:59", "23:59:59")],
        ["2021-01-01", "2021-01-02T24:00", "2021-02-28 23"],
        ["2021-01-01", "2021-02-28", "2021-02-30"],
        ["2021-01-01T01:02:03.5", "2021-01-01 01:02:04.000001", "2021-01-01 01:02:05"],
        ["2021-01-01T01Z", "2021-01-01 01:02Z", "2021-01-01T01:02:03.25Z"],
        ["2021-01-01T01Z", "2021-01-01 01:02Z", "2021-01-01T01:02:03"],
        ["01/02/2005", "03/04/2005", "05/06/2005 7pm"],
        ["2021-03-28T01:00+01:00", "2021-03-28T03:00+01:00", "2021-03-28T03:00+02:00"],
        ["201851", "201852", "201901"],
        ["1609459200", "1609459201", "1609459202.0"],
        ["1958.5", "1959", "Total"],
    ],
)
def test_times_that_are_read_in_parts_are_those_of_the_whole_column(monkeypatch, texts):
    def found() -> list:
        return [(one.form, one.note, one.values.tolist()) for one in times.readings(texts)]

    whole, odd = found(), times.odd(texts)
    monkeypatch.setattr(cells, "_PART", 2)
    assert (found(), times.odd(texts)) == (whole, odd)
    # What NumPy reads is what the forms say.
    monkeypatch.setattr(times, "_ISO", re.compile("nothing"))
    assert found() == whole
