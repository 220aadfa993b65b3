"""Rows in order, and what is missing between them: property tests of the interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UserError
from pipelines.tasks.forecasting.gaps import Rows, ascending, evenness, without_gaps


def rows(times: np.ndarray, values: np.ndarray | None = None, periods: object = None) -> Rows:
    count = len(times)
    return Rows(
        name="",
        values=np.arange(count, dtype=np.float64) if values is None else values,
        times=times,
        periods=np.zeros(count, int) if periods is None else np.asarray(periods),
        rows=np.arange(count),
        place=lambda row: f"FILE, line {row + 2}",
        covariates=np.arange(count)[:, np.newaxis] * [1.0, -2.0],
    )


DAYS = (np.datetime64("2021-01-01") + np.arange(40)).astype("datetime64[us]")


@given(st.sets(st.integers(1, 38), max_size=4), st.sets(st.integers(0, 39), max_size=15))
def test_a_line_comes_back_from_whatever_steps_are_left_of_it(absent, empty):
    values = 1e9 + 0.5 * np.arange(40)
    values[list(empty)] = np.nan
    kept = [step for step in range(40) if step not in absent]
    present = [step for step in kept if step not in empty]
    if not present:
        return
    whole = without_gaps(rows(DAYS[kept], values[kept]), "interpolate")
    first, last = present[0], present[-1]
    expected = 1e9 + 0.5 * np.arange(first, last + 1)
    np.testing.assert_allclose(whole.values, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(whole.times, DAYS[first : last + 1])
    known = np.isin(np.arange(first, last + 1), present)
    np.testing.assert_array_equal(whole.interpolated, ~known)
    longest = max(np.diff(present), default=1) - 1
    assert whole.longest[0] == longest
    assert len(whole.dropped) == sum(step < first or step > last for step in kept)


@given(st.permutations(range(8)))
def test_rows_out_of_order_are_never_taken(order):
    mixed = rows(DAYS[list(order)])
    ordered = list(order) in (sorted(order), sorted(order, reverse=True))
    assert (evenness(mixed) == 2) == ordered
    for missing in ("error", "interpolate", "keep"):
        if ordered:
            np.testing.assert_array_equal(without_gaps(mixed, missing).times, DAYS[:8])
        else:
            with pytest.raises(UserError, match=r"FILE, line \d+: .* comes after .* in order"):
                without_gaps(mixed, missing)


def test_each_table_of_a_split_may_be_newest_first():
    times = np.concatenate([DAYS[:20][::-1], DAYS[20:][::-1]])
    found, turned = ascending(rows(times, periods=[0] * 20 + [1] * 20))
    assert turned
    np.testing.assert_array_equal(found.times, DAYS)
    assert found.where(0) == "FILE, line 21"
    assert not ascending(rows(DAYS))[1]


def test_interpolated_steps_between_splits_belong_to_the_later_one():
    kept = np.delete(np.arange(40), range(18, 22))
    periods = (kept >= 20).astype(int)
    found = without_gaps(rows(DAYS[kept], kept.astype(np.float64), periods), "interpolate")
    np.testing.assert_array_equal(found.periods, np.arange(40) >= 18)
    np.testing.assert_allclose(found.values, np.arange(40))


def test_the_longest_gap_is_named_and_the_others_are_counted():
    kept = np.delete(np.arange(40), [3, 10, 11, 12, 20])
    with pytest.raises(UserError) as raised:
        without_gaps(rows(DAYS[kept]), "error")
    assert str(raised.value).startswith(
        "FILE, line 11: 3 steps of a day are missing between 2021-01-10 and 2021-01-14, "
        "and 2 more elsewhere; fill them"
    )


def test_interpolation_is_offered_only_if_most_steps_are_there():
    for count, offered in ((10, True), (30, False)):
        kept = [*range(6), *range(6 + count, 12 + count)]
        times = DAYS[0] + np.array(kept).astype("timedelta64[D]")
        with pytest.raises(UserError, match=f"{count} steps of a day are missing") as raised:
            without_gaps(rows(times), "error")
        assert ("--missing interpolate" in str(raised.value)) == offered
        assert ("--date_format" in str(raised.value)) != offered
        assert "--missing keep" in str(raised.value)


def test_a_time_that_is_there_twice_is_a_step_of_its_own_only_if_told_so():
    times = DAYS[[0, 1, 1, 2]]
    for missing in ("error", "interpolate"):
        with pytest.raises(UserError, match=r"line 4: 2021-01-02 is there twice, .* line 3"):
            without_gaps(rows(times), missing)
    found = without_gaps(rows(times), "keep")
    assert len(found.values) == 4
    assert found.notes[0] == "times that are there twice: 1"


def test_no_value_at_all_is_told():
    for missing in ("error", "interpolate", "keep"):
        with pytest.raises(UserError, match="FILE, line 2: none of its 40 rows has a value"):
            without_gaps(rows(DAYS, np.full(40, np.nan)), missing)
