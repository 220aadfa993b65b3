"""Tables of series as they come: read as they are meant, or one sentence that says what is unclear.

The series is that of 200 days, 10.000, 12.355, 12.945, …, a swing of 3 with the week.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.errors import UserError
from pipelines.tasks.forecasting import cells
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.reading import Found, read
from pipelines.tasks.forecasting.series import Series

STEPS = np.arange(200)
VALUES = np.round(10 + 3 * np.sin(STEPS * 0.8976) + STEPS * 0.01, 3)
DAYS = pd.date_range("2021-01-01", periods=200, freq="D")
SPLITS = {"train": 140, "validation": 170, "test": 200}


def german(values: Sequence[float], places: int = 3, thousands: bool = True) -> list[str]:
    texts = [f"{value:,.{places}f}" if thousands else f"{value:.{places}f}" for value in values]
    return [text.translate(str.maketrans(".,", ",.")) for text in texts]


def table(
    times: Sequence[Any] = DAYS.strftime("%Y-%m-%d"),
    values: Sequence[Any] | None = None,
    separator: str = ",",
    header: str = "day,units",
) -> str:
    if values is None:
        values = [f"{value:.3f}" for value in np.resize(VALUES, len(times))]
    rows = [f"{time}{separator}{text}" for time, text in zip(times, values, strict=True)]
    return "\n".join([header.replace(",", separator), *rows, ""])


@pytest.fixture
def own(tmp_path) -> Callable[..., Found]:
    """A function that reads a table from its content."""

    def read_own(content: str | bytes, name: str = "own.csv", **options: Any) -> Found:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read(path, replace(ForecastingConfig("", ""), **options))

    return read_own


def the_only(found: Found) -> Series:
    (series,) = found.series
    return series


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (table(), ""),
        (table(separator="\t"), "a decimal point: '10.000' is 10"),
        (table(separator="|"), "a decimal point: '10.000' is 10"),
        (table().encode("utf-16"), "is read as utf-16"),
        (table(header="Größe,Höhe").encode("latin-1"), "is read as cp1252"),
        (table(values=german(VALUES), separator=";"), "a decimal comma: '10,000' is 10"),
        (table(values=german(VALUES), separator="\t"), "a decimal comma: '10,000' is 10"),
        (table(values=[f'"{text}"' for text in german(VALUES, 4)]), "a decimal comma: '10,0000'"),
        (table(values=[f"{value:.4e}" for value in VALUES]), ""),
        ("sep=;\n" + table(values=german(VALUES), separator=";"), "a decimal comma"),
    ],
)
def test_separators_encodings_and_decimal_marks_are_recognized(own, content, note):
    found = own(content)
    np.testing.assert_allclose(the_only(found).values, VALUES, rtol=1e-4)
    np.testing.assert_array_equal(the_only(found).times, DAYS.to_numpy("datetime64[D]"))
    assert the_only(found).ends == SPLITS
    assert any(note in one for one in found.notes) if note else found.notes == []


@pytest.mark.parametrize(
    ("texts", "separator", "example"),
    [
        (german(VALUES * 1000, 1), ";", "'10.000,0' is 10000"),
        ([f'"{value:,.1f}"' for value in VALUES * 1000], ",", "'10,000.0' is 10000"),
        ([f"{value:,.1f}".replace(",", " ") for value in VALUES * 1000], ",", "'10 000.0' is 1"),
    ],
)
def test_marks_between_thousands_are_recognized_by_their_form(own, texts, separator, example):
    found = own(table(values=texts, separator=separator))
    np.testing.assert_allclose(the_only(found).values, VALUES * 1000, atol=0.06)
    assert example in found.notes[0]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (table(values=[f'"{text}"' for text in german(VALUES)]), "is separated by ',' and has"),
        (table(separator=";"), "is separated by ';' and has"),
        (table(values=german(VALUES * 100, 0), separator=";"), "is separated by ';' and has"),
    ],
)
def test_decimals_that_may_be_thousands_are_asked_for(own, content, shown):
    with pytest.raises(UserError, match=shown) as raised:
        own(content)
    assert "pass --decimal . or --decimal ," in str(raised.value)
    assert the_only(own(content, decimal=".")).values[0] != the_only(
        own(content, decimal=",")
    ).values[0] or "'1.000'" in str(raised.value)


FREQUENCIES = {
    "%Y-%m": "MS",
    "%Y-%m-%d": "ME",
    "%Y/%m/%d": "B",
    "%d.%m.%Y": "W-MON",
    "%m/%d/%Y": "QS",
    "%d-%b-%Y": "QE",
    "%B %Y": "MS",
    "%Y-%m-%dT%H:%M:%SZ": "h",
    "%Y-%m-%d %H:%M:%S+02:00": "30min",
    "%d/%m/%Y %H:%M": "6h",
    "%Y": "YS",
    "%Y%m%d": "D",
}


@pytest.mark.parametrize("form", FREQUENCIES)
@pytest.mark.parametrize("descending", [False, True])
def test_times_of_many_forms_have_their_step(own, form, descending):
    times = pd.date_range("1990-01-01", periods=100, freq=FREQUENCIES[form])
    rows = times[::-1] if descending else times
    values = VALUES[:100][::-1] if descending else VALUES[:100]
    found = own(table(rows.strftime(form), values))
    expected = times.strftime("%Y").astype(int) if form == "%Y" else times.to_numpy("M8[us]")
    np.testing.assert_array_equal(the_only(found).times, expected)
    np.testing.assert_array_equal(the_only(found).values, VALUES[:100])
    assert ("newest first" in "".join(found.notes)) == descending


@pytest.mark.parametrize("times", [range(1700, 1900), [f"{1958 + i / 12:.3f}" for i in STEPS]])
def test_numbers_are_times(own, times):
    series = the_only(own(table(list(times))))
    np.testing.assert_allclose(series.times, np.array(times, np.float64))


def test_a_missing_month_and_a_missing_year_are_named(own):
    months = pd.date_range("1990-01-01", periods=100, freq="MS").strftime("%Y-%m-%d")
    with pytest.raises(UserError, match=r"line 12: 2 steps of a month are missing between 1990-10"):
        own(table(months.delete([10, 11])))
    with pytest.raises(UserError, match="line 3: a step of 1 is missing between 1700 and 1702"):
        own(table([1700, *range(1702, 1800)]))


def test_day_first_or_month_first_is_what_gives_even_steps(own):
    months = pd.date_range("2005-01-01", periods=200, freq="MS")
    found = own(table(months.strftime("%d/%m/%Y")))
    np.testing.assert_array_equal(the_only(found).times, months.to_numpy("datetime64[D]"))
    assert "'01/02/2005' is read as day/month/year, in which the steps are even" in found.notes[0]
    american = own(table(months.strftime("%m/%d/%Y")))
    np.testing.assert_array_equal(the_only(american).times, months.to_numpy("datetime64[D]"))


@pytest.mark.parametrize(
    "times",
    [
        [f"01/{month:02d}/2005" for month in range(1, 13)],  # Months, or days of January.
        ["01/02/2005", "03/01/2005", "02/04/2005"],  # Neither is even.
    ],
)
def test_day_and_month_are_asked_for_if_both_or_neither_is_even(own, times):
    with pytest.raises(UserError, match="may be day/month/year or month/day/year, as ") as raised:
        own(table(times))
    assert "pass --date_format" in str(raised.value)
    found = own(table(times[:1]), date_format="%d/%m/%Y")
    assert the_only(found).times[0].astype("datetime64[Y]") == np.datetime64("2005")
    with pytest.raises(UserError, match=r"line 2: 'day' is not as --date_format %Y-%m-%d has it"):
        own(table(times), date_format="%Y-%m-%d")


LOCAL = pd.date_range("2021-03-20", periods=400, freq="h", tz="Europe/Berlin")
AUTUMN = pd.date_range("2021-10-25", periods=180, freq="h", tz="Europe/Berlin")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (LOCAL[:199], "between 2021-03-28 01:00 and 2021-03-28 03:00, as where clocks are put for"),
        (AUTUMN, "2021-10-31 02:00 follows 2021-10-31 02:00, as where clocks are put back"),
    ],
)
def test_hours_that_a_change_of_clocks_takes_or_repeats_are_named_as_such(own, times, message):
    content = table(times.strftime("%Y-%m-%d %H:%M"))
    with pytest.raises(UserError, match=message) as raised:
        own(content)
    assert "give times in UTC or with their offset from it" in str(raised.value)
    assert len(the_only(own(content, missing="keep")).values) == len(times)
    zoned = own(table([time.isoformat() for time in times]))
    assert np.all(np.diff(the_only(zoned).times) == np.timedelta64(1, "h"))
    assert "they are taken in UTC" in zoned.notes[0]


def test_days_whose_offset_changes_are_even_in_local_time(own):
    days = pd.date_range("2021-03-20", periods=100, freq="D", tz="Europe/Berlin")
    series = the_only(own(table([day.isoformat() for day in days])))
    np.testing.assert_array_equal(series.times, np.datetime64("2021-03-20") + np.arange(100))


DAY_TEXTS = list(DAYS.strftime("%Y-%m-%d"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table(DAY_TEXTS[:80] + DAY_TEXTS[110:]), "line 82: 30 steps of a day are missing between"),
        (table(DAY_TEXTS[:50] + DAY_TEXTS[49:]), "line 52: 2021-02-19 is there twice, .* line 51"),
        (table([*DAY_TEXTS[:50], "2021-01-05"]), "line 52: 2021-01-05 comes after 2021-02-19"),
        (table(DAY_TEXTS * 2, ["1"] * 400), "line 202: 2021-01-01 comes after 2021-07-19"),
        (table([*DAY_TEXTS[:50], "Total"]), "line 52: 'day' is no time as '2021-01-01': 'Total'"),
        (table([*DAY_TEXTS[:50], "20.2.2021"]), "line 52: 'day' is no time as '2021-01-01'"),
        (table([*DAY_TEXTS[:50], ""]), "line 52: 'day' is empty"),
        (table(["00:00", "01:00"]), "line 2: 'day' has times of day without a date"),
        (table(["A", "B"]), "line 2: 'day' has no times that are known, as 'A'; pass"),
        (table([0, 1, 7, 19, 50, 51]), "without a step that they have in common"),
        (table(DAY_TEXTS[:3], ["1", "abc", "2"]), r"line 3: 'units' is no number .*: 'abc'"),
        (table(DAY_TEXTS[:3], ["1", "1_0", "2"]), r"line 3: 'units' is no number .*: '1_0'"),
        (table(DAY_TEXTS[:3], ["1", "-inf", "2"]), "line 3: 'units' is infinite: '-inf'"),
        (table(DAY_TEXTS[:3], ["1", "1e999", "2"]), "line 3: 'units' is infinite: '1e999'"),
        (table(DAY_TEXTS[:3], ["1", "NA", "2"]), "line 3: the value is missing; fill it"),
        (table(DAY_TEXTS[:3], ["1,5", "1.5", "2"], ";"), "with a decimal comma .* and with a deci"),
        ("2021-01-01,5\n2021-01-02,6\n", "the first row of .*, '2021-01-01,5', is no header"),
        ("5\n6\n", "the first row of .*, '5', is no header"),
        ("text,label\ngood,yes\nbad,no\n", "needs a column of numbers, .* text, label"),
        ("day,a,b\n2021-01-01,1,2\n", "2 numeric columns .* --column, or several as a,b: day, a"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence_with_its_place(own, content, message):
    with pytest.raises(UserError, match=message) as raised:
        own(content)
    assert "own.csv" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_table_that_is_read_in_parts_has_its_mistakes_in_the_same_lines(own, monkeypatch):
    monkeypatch.setattr(cells, "_PART", 3)
    rows = [f"2021-01-0{day},{'x' if day == 8 else day},7" for day in range(1, 10)]
    content = "\n".join(["day,units,known", *rows])
    with pytest.raises(UserError, match=r"line 9: 'units' is no number .*: 'x'; mend it"):
        own(content, column="units")
    with pytest.raises(UserError, match="line 6: 'known' is empty, and has to be known in advance"):
        own(content.replace("05,5,7", "05,5,"), column="units", covariates="known")
    assert len(own(content.replace("x", "8"), column="units").series[0].values) == 9


def test_other_data_are_named(own, tmp_path):
    (tmp_path / "images" / "cats").mkdir(parents=True)
    (tmp_path / "images" / "cats" / "1.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"forecasting needs a table .* holds 1 image in cats"):
        read(tmp_path / "images", ForecastingConfig("", ""))
    with pytest.raises(UserError, match=r"holds one \.txt file"):
        own("10\n", name="own.txt")


GAP = table(
    DAY_TEXTS[:80] + DAY_TEXTS[110:], [f"{value}" for value in np.delete(STEPS, range(80, 110))]
)


def test_missing_steps_are_interpolated_if_told_so_and_counted(own):
    found = own(GAP, missing="interpolate")
    np.testing.assert_allclose(the_only(found).values, STEPS)
    np.testing.assert_array_equal(the_only(found).times, DAYS.to_numpy("datetime64[D]"))
    assert the_only(found).ends == SPLITS
    (note,) = found.notes
    assert "interpolated steps: 30 (30 in train, 0 in validation, 0 in test)" in note
    assert "the longest gap has 30, from 2021-03-21 to 2021-04-21" in note


def test_interpolated_steps_of_test_are_told(own):
    texts = [*map(str, STEPS[:190]), "", "NA", *map(str, STEPS[192:199]), "-"]
    found = own(table(values=texts), missing="interpolate")
    np.testing.assert_allclose(the_only(found).values, STEPS[:199])
    assert "rows without a value at its ends, which are left out: 1" in found.notes[0]
    assert "interpolated steps: 2 (0 in train, 0 in validation, 2 in test)" in found.notes[1]
    assert found.left_out == {"train": 0, "validation": 0, "test": 1}


def test_rows_are_steps_if_told_so(own):
    found = own(GAP, missing="keep")
    assert len(the_only(found).values) == 170
    assert "steps that are missing, and taken as no steps: 30" in found.notes[0]
    texts = ["NA", *map(str, STEPS[1:])]
    found = own(table(values=texts), missing="keep")
    assert len(the_only(found).values) == 199
    assert found.left_out == {"train": 1, "validation": 0, "test": 0}
    clock = own(table([f"{hour:02d}:00" for hour in range(24)]), missing="keep")
    np.testing.assert_array_equal(the_only(clock).times, np.arange(24))


def test_working_days_are_steps_and_a_holiday_is_missing(own):
    days = pd.date_range("2021-01-01", periods=100, freq="B").strftime("%Y-%m-%d")
    assert len(the_only(own(table(days))).values) == 100
    with pytest.raises(UserError, match="a step of a day of Monday to Friday is missing between"):
        own(table(days.delete(40)))


def test_bad_rows_are_left_out_if_told_so_and_are_missing_then(own):
    content = table(DAY_TEXTS[:50], ["abc", *map(str, STEPS[1:50])])
    found = own(content, skip_bad=True)
    np.testing.assert_array_equal(the_only(found).values, STEPS[1:50])
    assert found.left_out["train"] == 1
    assert "1 row of" in found.notes[0]
    middle = table(DAY_TEXTS[:50], ["0", "abc", *map(str, STEPS[2:50])])
    with pytest.raises(UserError, match="a step of a day is missing"):
        own(middle, skip_bad=True)
    np.testing.assert_allclose(
        the_only(own(middle, skip_bad=True, missing="interpolate")).values, STEPS[:50]
    )


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(["units", *(f"{value:.3f}" for value in VALUES)]),
        "\n".join(["units", *german(VALUES * 10, 2, thousands=False)]).replace("x", ""),
    ],
)
def test_one_column_has_its_rows_as_steps(own, content):
    series = the_only(own(content))
    np.testing.assert_allclose(series.values / series.values[0], VALUES / VALUES[0], rtol=1e-3)
    np.testing.assert_array_equal(series.times, STEPS)


def test_one_row_is_one_step(own):
    assert the_only(own(table(DAY_TEXTS[:1]))).values == [10]


def test_a_placeholder_is_noted(own):
    texts = [*map(str, STEPS[:199]), "-9999"]
    assert "line 201: -9999 is far from all other values" in own(table(values=texts)).notes[0]
    texts = [*map(str, STEPS[:199]), "99999.99"]
    assert "line 201: 99999.99 is far from all other" in own(table(values=texts)).notes[0]


WIDE = "\n".join(
    ["day;north;south", *(f"{day};{i},5;{2 * i},25" for i, day in enumerate(DAY_TEXTS))]
)
LONG = "\n".join(
    [
        "day,shop,units",
        *(
            f"{day},{shop},{i * k}"
            for i, day in enumerate(DAY_TEXTS)
            for k, shop in ((1, "Oslo"), (7, "Rome"))
        ),
    ]
)


def test_several_columns_are_several_series(own):
    north, south = own(WIDE, column="north, south").series
    assert (north.name, south.name) == ("north", "south")
    np.testing.assert_allclose(north.values, STEPS + 0.5)
    np.testing.assert_allclose(south.values, 2 * STEPS + 0.25)


def test_the_values_of_a_group_column_are_several_series(own):
    oslo, rome = own(LONG, group="shop").series
    assert (oslo.name, rome.name) == ("Oslo", "Rome")
    np.testing.assert_array_equal(rome.values, 7 * STEPS)
    np.testing.assert_array_equal(rome.times, DAYS.to_numpy("datetime64[D]"))
    with pytest.raises(UserError, match="if 'shop' tells series apart, pass it as --group"):
        own(LONG)
    without = LONG.replace("2021-03-01,Rome,413\n", "")
    with pytest.raises(UserError, match="line 122, series 'Rome': a step of a day is missing"):
        own(without, group="shop")
    with pytest.raises(UserError, match="has no column 'store'; it has: day, shop, units"):
        own(LONG, group="store")


def test_a_folder_of_splits_is_one_series_and_missing_splits_are_cut_off(tmp_path):
    parts = {"train": slice(0, 120), "validation": slice(120, 150), "test": slice(150, 200)}
    for split, part in parts.items():
        content = table(DAY_TEXTS[part], VALUES[part])
        (tmp_path / f"{split}.csv").write_text(content)
    config = ForecastingConfig("", "")
    series = the_only(read(tmp_path, config))
    np.testing.assert_array_equal(series.values, VALUES)
    assert series.ends == {"train": 120, "validation": 150, "test": 200}
    (tmp_path / "test.csv").unlink()
    assert the_only(read(tmp_path, config)).ends == {"train": 120, "validation": 135, "test": 150}
    (tmp_path / "validation.csv").unlink()
    (tmp_path / "test.csv").write_text(table(DAY_TEXTS[120:150], VALUES[120:150]))
    assert the_only(read(tmp_path, config)).ends == {"train": 99, "validation": 120, "test": 150}
    (tmp_path / "train.csv").rename(tmp_path / "validation.csv")
    with pytest.raises(UserError, match="has no table train; it has: validation, test"):
        read(tmp_path, config)
    (tmp_path / "test.csv").unlink()
    (tmp_path / "validation.csv").rename(tmp_path / "sales.csv")
    assert the_only(read(tmp_path, config)).ends == {"train": 84, "validation": 102, "test": 120}


def test_splits_have_to_follow_each_other(tmp_path):
    (tmp_path / "train.csv").write_text(table(DAY_TEXTS[50:]))
    (tmp_path / "test.csv").write_text(table(DAY_TEXTS[:50]))
    with pytest.raises(UserError, match=r"test.csv, line 2: 2021-01-01 comes after 2021-07-19"):
        read(tmp_path, ForecastingConfig("", ""))


@pytest.mark.parametrize("name", ["date", None])
def test_parquet_keeps_times_as_columns_or_as_the_index(tmp_path, name):
    frame = pd.DataFrame({"units": VALUES}, index=pd.Index(DAYS, name=name))
    frame.to_parquet(tmp_path / "own.parquet")
    series = the_only(read(tmp_path / "own.parquet", ForecastingConfig("", "")))
    np.testing.assert_array_equal(series.values, VALUES)
    np.testing.assert_array_equal(series.times, DAYS.to_numpy("datetime64[D]"))


def test_json_lines_and_an_index_without_a_name_are_read(own):
    lines = [
        f'{{"ds": "{day}", "y": {value}}}' for day, value in zip(DAY_TEXTS, VALUES, strict=True)
    ]
    np.testing.assert_array_equal(the_only(own("\n".join(lines), name="own.jsonl")).values, VALUES)
    rows = [
        f"{i},{day},{value}" for i, (day, value) in enumerate(zip(DAY_TEXTS, VALUES, strict=True))
    ]
    series = the_only(own("\n".join([",day,units", *rows])))
    np.testing.assert_array_equal(series.values, VALUES)
    assert series.times[0] == np.datetime64("2021-01-01")


def test_an_index_without_a_name_has_its_gaps_and_its_order(own):
    with pytest.raises(UserError, match="30 steps of a day are missing"):
        own("," + GAP.partition("day,")[2])
    rows = [f"{day},{i}" for i, day in enumerate(DAY_TEXTS)]
    found = own("\n".join([",units", *rows[::-1]]))
    np.testing.assert_array_equal(the_only(found).values, STEPS)
    assert "the column without a name" in found.notes[0]
    assert "newest first" in found.notes[1]


def test_series_stacked_under_a_running_id_are_told(own):
    rows = LONG.splitlines()[1:]
    content = "\n".join(["id,sold_on,shop,units", *(f"{i},{row}" for i, row in enumerate(rows))])
    with pytest.raises(UserError, match="if 'shop' tells series apart"):
        own(content, column="units")
    assert len(own(content, column="units", group="shop").series) == 2


@pytest.mark.parametrize(
    ("first", "second", "texts"),
    [
        ("date", "hour", [(day, hour) for day in DAY_TEXTS[:3] for hour in range(24)]),
        ("date", "time", [(day, f"{hour:02d}:00") for day in DAY_TEXTS[:3] for hour in range(24)]),
        ("year", "month", [(year, month) for year in range(2000, 2003) for month in range(1, 13)]),
    ],
)
def test_columns_of_one_time_are_to_be_joined(own, first, second, texts):
    rows = [f"{one},{other},{i}" for i, (one, other) in enumerate(texts)]
    with pytest.raises(UserError, match=f"if '{second}' is a part of the time, join") as raised:
        own("\n".join([f"{first},{second},units", *rows]), column="units")
    assert "--group" not in str(raised.value)


def test_several_columns_tell_series_apart(own):
    rows = [
        f"{day},{store},{item},{i}"
        for i, day in enumerate(DAY_TEXTS[:20])
        for store in "AB"
        for item in (1, 2)
    ]
    found = own("\n".join(["day,store,item,units", *rows]), column="units", group="store, item")
    assert [one.name for one in found.series] == ["A, 1", "A, 2", "B, 1", "B, 2"]
    rows = ['2021-01-01,"a, b",c,1', '2021-01-01,a,"b, c",2']
    content = "\n".join(["day,store,item,units", *rows])
    assert len(own(content, column="units", group="store,item").series) == 2


def test_a_test_table_without_values_is_left_out_and_test_is_cut_off(tmp_path):
    (tmp_path / "train.csv").write_text(table(DAY_TEXTS))
    (tmp_path / "test.csv").write_text("day,id\n2021-07-20,1\n2021-07-21,2\n")
    for column in ("", "units"):
        found = read(tmp_path, replace(ForecastingConfig("", ""), column=column))
        assert the_only(found).ends == SPLITS
        assert "test.csv has no column 'units' and is left out" in found.notes[0]
    (tmp_path / "train.csv").rename(tmp_path / "own.csv")
    (tmp_path / "test.csv").rename(tmp_path / "train.csv")
    with pytest.raises(UserError, match="has no column 'units'"):
        read(tmp_path, replace(ForecastingConfig("", ""), column="units"))


def test_a_time_need_not_be_the_first_column(own):
    rows = [f"shop {i % 3},{day},{i}" for i, day in enumerate(DAY_TEXTS)]
    for header in ("shop,date,units", "shop,order date,units"):
        series = the_only(own("\n".join([header, *rows])))
        assert series.times[-1] == np.datetime64("2021-07-19")
