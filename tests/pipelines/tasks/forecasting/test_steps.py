"""Steps between times: found, counted, and continued where one is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tasks.forecasting import steps


def dates(frequency: str, count: int = 60, start: str = "2000-01-31") -> np.ndarray:
    return pd.date_range(start, periods=count, freq=frequency).to_numpy("datetime64[us]")


def found(times: np.ndarray) -> steps.Steps:
    step = steps.find(times)
    assert step is not None
    return step


KINDS = {
    "D": "a day",
    "h": "an hour",
    "15min": "15 minutes",
    "s": "a second",
    "W-MON": "a week",
    "10D": "10 days",
    "MS": "a month",
    "ME": "a month",
    "BME": "a month",
    "QS": "a quarter",
    "QE": "a quarter",
    "YS": "a year",
    "2YE": "24 months",
    "B": "a day of Monday to Friday",
}


@pytest.mark.parametrize("frequency", KINDS)
@given(gap=st.integers(1, 5), at=st.integers(2, 57))
def test_a_step_is_found_and_so_is_what_is_missing(frequency, gap, at):
    times = dates(frequency)
    step = found(times)
    assert step.name == KINDS[frequency]
    np.testing.assert_array_equal(step.positions, np.arange(60))
    assert not step.missing()
    kept = np.delete(times, np.arange(at, min(at + gap, 59)))
    again = found(kept)
    assert again.missing() == 60 - len(kept)
    if frequency != "BME":
        np.testing.assert_array_equal(again.times(np.arange(60)), times)


@pytest.mark.parametrize(
    ("times", "name"),
    [
        (np.arange(0, 60, 5), "5"),
        (1958 + (np.arange(100) + 0.5).round(3) / 12, "0.08333"),
        (np.round(1958 + (np.arange(100) + 0.5) / 12, 3), "0.083"),
    ],
)
def test_numbers_have_steps_too(times, name):
    step = found(times)
    assert step.name == name
    np.testing.assert_array_equal(step.positions, np.arange(len(times)))
    without = found(np.delete(times, [4, 5, 9]))
    assert without.missing() == 3
    np.testing.assert_allclose(without.times(np.arange(len(times))), times, atol=2e-3)


def test_days_without_sundays_are_steps_if_they_are_always_missing():
    days = dates("D", 60, "2021-03-01")
    monday_to_saturday = days[(np.arange(60) % 7) != 6]
    assert found(monday_to_saturday).name == "a day of Monday to Saturday"
    assert not found(monday_to_saturday).missing()
    two = days[(np.arange(60) % 7 != 6) | (np.arange(60) > 30)]
    assert found(two).name == "a day"
    assert found(two).missing() == 4


@pytest.mark.parametrize(
    "times",
    [
        np.array([0, 1, 3, 7, 12, 20]),
        np.array([0.0, 0.4, 1.9, 2.1, 7.7]),
        np.array(["2021-01-03", "2021-01-20", "2021-03-28", "2021-04-01"], "datetime64[us]"),
        np.cumsum([1, 50, 3, 80, 7, 1000]).astype("datetime64[s]").astype("datetime64[us]"),
    ],
)
def test_irregular_times_have_no_step(times):
    assert steps.find(times) is None


def test_times_that_are_nearly_even_are_steps_with_a_note():
    jitter = np.random.default_rng(0).integers(0, 5_000_000, 50)
    times = (np.arange(50) * 600_000_000 + jitter).astype("datetime64[us]")
    step = found(times)
    assert step.name == "10 minutes"
    assert step.note.startswith("its steps are 10 minutes, but for up to ")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("2021-03-28T01:00", "2021-03-28T03:00", True),
        ("2021-10-31T02:45", "2021-10-31T02:00", True),
        ("2021-11-06T23:00", "2021-11-07T01:00", True),
        ("2021-03-27T01:00", "2021-03-27T03:00", False),
        ("2021-03-28T11:00", "2021-03-28T13:00", False),
    ],
)
def test_clocks_change_early_on_a_sunday(before, after, expected):
    pair = (np.datetime64(before, "us"), np.datetime64(after, "us"))
    assert steps.clock_change(*pair) == expected
