"""Series: in time order, one split after the other, equal to what their sources say."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipelines.datasets.builders import series

MONTHS, YEARS, DAYS = "months", "years", "days"
SETS = {
    "elnino": (MONTHS, "1950-01-01", "2010-12-01", 23.11, 22.07),
    "sunspots": (YEARS, "1700-01-01", "2008-01-01", 5.0, 2.9),
    "co2": (MONTHS, "1958-03-01", "2001-12-01", 316.1, 371.02),
    "births": (DAYS, "1969-01-01", "1988-12-31", 8486, 9133),
}


@pytest.fixture(scope="module")
def whole(examples):
    """A function that returns all times and values of a set, split after split."""

    def read(name: str) -> tuple[list[date], np.ndarray]:
        steps = [step for members in examples(name).values() for step in members]
        times = [date.fromisoformat(step["time"].decode()) for step in steps]
        return times, np.array([step["value"] for step in steps])

    return read


def following(time: date, step: str) -> date:
    if step == DAYS:
        return date.fromordinal(time.toordinal() + 1)
    if step == YEARS or time.month == 12:
        return date(time.year + 1, 1, 1)
    return date(time.year, time.month + 1, 1)


@pytest.mark.parametrize("name", SETS)
def test_steps_follow_each_other_without_a_gap(name, whole):
    step, first, last, *_ = SETS[name]
    times, _ = whole(name)
    assert (times[0].isoformat(), times[-1].isoformat()) == (first, last)
    assert times[1:] == [following(time, step) for time in times[:-1]]


@pytest.mark.parametrize("name", SETS)
def test_values_are_the_source_s(name, whole):
    *_, first, last = SETS[name]
    _, values = whole(name)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    np.testing.assert_allclose((values[0], values[-1]), (first, last), rtol=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_values_are_most_alike_a_season_apart(name, whole):
    """Of all lags around it, the season's leaves the smallest differences."""
    _, values = whole(name)
    steps = np.arange(len(values))
    flat = values - np.polyval(np.polyfit(steps, values, 2), steps)
    season = series.SEASONS[name]
    lags = range(season // 2 + 1, season + season // 2)
    apart = {lag: np.abs(flat[lag:] - flat[:-lag]).mean() for lag in lags}
    assert min(apart, key=lambda lag: apart[lag]) == season


def test_every_series_has_a_season():
    assert set(series.SEASONS) == set(SETS)


def test_the_month_of_co2_is_the_mean_of_its_weeks_and_five_are_interpolated(whole):
    from statsmodels.datasets import co2

    times, values = whole("co2")
    weeks = co2.load_pandas().data["co2"].dropna()
    missing = []
    for index, (time, value) in enumerate(zip(times, values, strict=True)):
        in_month = weeks[(weeks.index.year == time.year) & (weeks.index.month == time.month)]
        if len(in_month):
            assert value == pytest.approx(in_month.mean(), rel=1e-6)
        else:
            missing.append(index)
    assert [times[index].isoformat()[:7] for index in missing] == [
        *("1958-06", "1958-10", "1964-02", "1964-03", "1964-04"),
    ]
    for first, last in ((3, 3), (7, 7), (71, 73)):
        steps = np.diff(values[first - 1 : last + 2])
        np.testing.assert_allclose(steps, steps.mean(), atol=1e-3)
        assert set(range(first, last + 1)) <= set(missing)


def test_births_are_fewer_on_weekends(whole):
    times, values = whole("births")
    weekend = np.array([time.weekday() >= 5 for time in times])
    assert values[weekend].mean() < 0.92 * values[~weekend].mean()


def test_reading_twice_gives_the_same_order(bundled, examples):
    again = [step["time"] for step in bundled("births").as_dataset(split="train")]
    assert [time.numpy() for time in again] == [
        step["time"] for step in examples("births")["train"]
    ]
