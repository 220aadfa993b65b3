"""Features of the calendar, against pandas, the same in numpy and in TensorFlow."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow.experimental.numpy as tnp
from pandas.tseries.holiday import AbstractHolidayCalendar, Holiday, USFederalHolidayCalendar

from pipelines.tasks.forecasting.calendar_features import FEATURES, features, of_times, width
from pipelines.tasks.forecasting.config import CALENDAR
from pipelines.tasks.forecasting.signatures import read_times

HOURS = np.arange("1967-12-30T00", "2032-01-05T00", 7, dtype="datetime64[h]")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hour", lambda days: days.hour),
        ("weekday", lambda days: days.day_of_week),
        ("month", lambda days: days.month - 1),
    ],
)
def test_classes_are_those_of_pandas(name, expected):
    found = features(of_times(HOURS), [name], np)
    assert found.dtype == np.float32
    assert found.shape == (len(HOURS), FEATURES[name])
    np.testing.assert_array_equal(found.sum(-1), 1)
    np.testing.assert_array_equal(found.argmax(-1), expected(pd.DatetimeIndex(HOURS)))


def test_holidays_are_the_federal_ones_of_today_in_all_years():
    rules = [
        Holiday(rule.name, month=rule.month, day=rule.day, offset=rule.offset)
        for rule in USFederalHolidayCalendar.rules
    ]
    days = np.arange("1960-01-01", "2040-01-01", dtype="datetime64[D]")
    found = features(of_times(days), ["us_holidays"], np)
    expected = AbstractHolidayCalendar(rules=rules).holidays(days[0], days[-1])
    assert set(days[found.any(-1)]) == set(expected.values)
    np.testing.assert_array_equal(found.sum(0), 80)


def test_the_season_is_a_year_long_and_has_no_jump():
    days = np.arange("2020-01-01", "2024-01-01", dtype="datetime64[D]")
    found = features(of_times(days), ["season"], np)
    assert np.abs(np.diff(found, axis=0)).max() < 0.12
    np.testing.assert_allclose(found[366 + 40], found[366 + 365 + 40], atol=1e-6)
    assert np.abs(found[40] - found[40 + 182]).max() > 1


def test_texts_in_the_graph_mean_what_times_mean_in_training():
    chosen = HOURS[::101].reshape(-1, 1)
    texts = np.datetime_as_string(chosen, unit="m").astype(object)
    texts[::2] = np.char.replace(texts[::2].astype(str), "T", " ")
    fields = tf.function(read_times)(tf.constant(texts))
    for name, values in of_times(chosen).items():
        np.testing.assert_array_equal(fields[name], values)
    one, other = (features(of_times(chosen), CALENDAR, np), features(fields, CALENDAR, tnp))
    assert one.shape == (*chosen.shape, width(CALENDAR))
    np.testing.assert_allclose(other, one, atol=1e-6)
    day = read_times(tf.constant(["2021-01-31"]))
    assert [int(value[0]) for value in day.values()] == [2021, 1, 31, 0]


def test_every_choice_has_features():
    assert tuple(FEATURES) == CALENDAR
